//! System call filters, seccomp(2): profiles, and the programs that the kernel runs for them.
//!
//! A [`Profile`] comes from Carrier's default ([`default_profile`]), from a bundle
//! ([`Profile::from_oci`]) or from a file of Docker or Podman ([`Profile::from_docker_json`]), and
//! [`compile`] makes a program of it. The program of the default profile with the default
//! capabilities is made when Carrier is built.
//!
//! ```
//! use carrier_runtime::{Capabilities, seccomp};
//!
//! // A capability that opens no system call leaves the built-in program in use.
//! let capabilities = Capabilities::DEFAULT.with(Capabilities::named("CAP_NET_ADMIN")?);
//! assert_eq!(*seccomp::program_for(capabilities)?, *seccomp::default_program());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arch;
mod bpf;
mod compile;
mod default_profile;
mod docker;
mod multiplex;
mod oci;
mod profile;
pub(crate) mod supported;
mod tables;
mod verdict;

use std::borrow::Cow;

use oci_spec::runtime::LinuxSeccomp;

pub use carrier_sys::seccomp::Instruction;

pub use arch::Arch;
pub use compile::CompileError;
pub use docker::{DockerHost, KernelVersion};
pub use oci::{ProfileError, load_flags};
pub use profile::{Action, ArgTest, Enosys, Op, Profile, Rule, Syscall};

use crate::Capabilities;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The profile is not one.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The profile has no program.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl Arch {
    /// The architecture that this program is built for.
    pub const NATIVE: Self = if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::X86_64
    };
}

/// The program of the default profile for [`Capabilities::DEFAULT`].
#[must_use]
pub const fn default_program() -> &'static [Instruction] {
    include!(concat!(env!("OUT_DIR"), "/default_program.rs"))
}

/// The program of the default profile for a container with this bounding set.
///
/// # Errors
/// When the program is too long for the kernel.
pub fn program_for(capabilities: Capabilities) -> Result<Cow<'static, [Instruction]>, Error> {
    if default_profile::is_same(capabilities.bits(), default_profile::DEFAULT_CAPABILITIES) {
        return Ok(Cow::Borrowed(default_program()));
    }
    compile(&default_profile(Arch::NATIVE, capabilities)).map(Cow::Owned)
}

/// The profile of a container that asks for none and has this bounding set, on a machine whose
/// native architecture is `machine`.
///
/// A known call that is not allowed fails with `EPERM`, a number that no table knows with `ENOSYS`.
/// Rules may be added: one without arguments wins over those with arguments here.
#[must_use]
pub fn default_profile(machine: Arch, capabilities: Capabilities) -> Profile {
    default_profile::default_profile(machine, capabilities.bits())
}

/// The program of the `linux.seccomp` section of a bundle.
///
/// # Errors
/// When a field has a value that it cannot have, or the program is too long for the kernel.
pub fn compile_oci(seccomp: &LinuxSeccomp) -> Result<Vec<Instruction>, Error> {
    compile(&Profile::try_from(seccomp)?)
}

/// The program of `profile`.
///
/// # Errors
/// When the profile names an argument or number that cannot be, no architecture, or so much that the
/// program is too long for the kernel.
pub fn compile(profile: &Profile) -> Result<Vec<Instruction>, Error> {
    Ok(compile::program(
        profile,
        &tables::of(&profile.architectures),
    )?)
}
