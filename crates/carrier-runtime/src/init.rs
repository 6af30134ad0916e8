//! The child's side: interprets an [`InitPlan`] with system calls on prepared data.
//!
//! Nothing in this module and below it allocates, formats, logs or unwinds: between clone and exec
//! a child reports what failed as the number of the step and of the error, and leaves.

mod identity;
mod mounts;
mod path;
mod process;
mod terminal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::ChildToken;
use rustix::io::Errno;

use crate::channel::ChildEnd;
use crate::plan::{InitPlan, Step};

/// The exit code of a child that reported why it could not become the container's process.
const SETUP_FAILED: u8 = 125;

/// What earlier steps leave for later ones.
struct Machine<'a> {
    token: &'a ChildToken,
    channel: &'a ChildEnd,
    /// The container's root, as a mount of this namespace.
    root: Option<OwnedFd>,
    /// The filesystem that was mounted on `/dev` just now.
    devices: Option<OwnedFd>,
    /// An empty read-only directory, mounted at the first masked directory.
    empty: Option<OwnedFd>,
    /// A proc filesystem that no one else can reach, for writing sysctls.
    proc: Option<OwnedFd>,
}

/// Carries the plan out. Returns only on failure, which it has then reported.
pub(crate) fn run(plan: &InitPlan, channel: &ChildEnd, token: &ChildToken) -> u8 {
    let mut machine = Machine {
        token,
        channel,
        root: None,
        devices: None,
        empty: None,
        proc: None,
    };
    for (index, planned) in plan.steps.iter().enumerate() {
        if let Err(errno) = machine.take(&planned.step) {
            channel.report_failure(index, errno);
            break;
        }
    }
    SETUP_FAILED
}

impl Machine<'_> {
    fn take(&mut self, step: &Step) -> Result<(), Errno> {
        match step {
            Step::AwaitIdMaps => self.channel.await_go(),
            Step::HideFromTracers => process::hide_from_tracers(),
            Step::SetPropagation(flags) => rustix::mount::mount_change(c"/", *flags),
            Step::MountOverlay(overlay) => self.mount_overlay(overlay),
            Step::BindRoot { source } => self.bind_root(source),
            Step::MountFilesystem(filesystem) => self.mount_filesystem(filesystem),
            Step::Bind(bind) => self.bind(bind),
            Step::PopulateDevices(devices) => self.populate_devices(devices),
            Step::Mask(target) => self.mask(target),
            Step::ProtectPath(target) => self.protect_path(target),
            Step::MakeDirectory(target) => self.make_directory(target),
            Step::WriteFile { target, content } => self.write_file(target, content),
            Step::SetSysctl { path, value } => self.set_sysctl(path, value),
            Step::OpenTerminal { owner } => self.open_terminal(*owner),
            Step::NullStdin => self.null_stdin(),
            Step::ProtectRoot => self.protect_root(),
            Step::EnterRoot => self.enter_root(),
            Step::NewSession => rustix::process::setsid().map(drop),
            Step::SetHostname(name) => rustix::system::sethostname(name.to_bytes()),
            Step::SetDomainname(name) => rustix::system::setdomainname(name.to_bytes()),
            Step::BringLoopbackUp => process::bring_loopback_up(),
            Step::ChangeDirectory(path) => process::change_directory(path),
            Step::SetResourceLimit(resource, limit) => {
                process::set_resource_limit(*resource, *limit)
            }
            Step::OwnStdio(owner) => identity::own_stdio(*owner),
            Step::SetUmask(mask) => {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(*mask));
                Ok(())
            }
            Step::DropBoundingSet(keep) => identity::drop_bounding_set(*keep),
            Step::BecomeUser(user) => identity::become_user(user),
            Step::SetCapabilities { sets, ambient } => identity::set_capabilities(*sets, *ambient),
            Step::SetNoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Step::DieWithParent => process::die_with_parent(),
            Step::LoadFilter { filter, flags } => process::load_filter(filter, *flags),
            Step::AwaitStart => {
                self.channel.report_ready()?;
                self.channel.await_go()
            }
            Step::Execute(execution) => process::execute(execution, self.token),
        }
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }
}

/// The number behind an error of carrier-sys.
fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}
