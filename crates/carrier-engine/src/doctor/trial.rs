//! What the kernel allows is found out by trying, in processes that end at once.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::OnceLock;

use carrier_runtime::{IdMaps, IdRange};
use carrier_sys::process::{ExitStatus, Namespaces};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::view::View;
use crate::bridge::try_filter;
use crate::fallback;
use crate::unpacker::spawn;

/// The caller as root, and nobody else: no helper is needed.
fn alone(view: &View) -> IdMaps {
    let only = |outside| {
        let range = IdRange {
            inside: 0,
            outside,
            count: 1,
        };
        vec![range]
    };
    IdMaps {
        users: only(view.caller.uid),
        groups: only(view.caller.gid),
    }
}

/// Runs `work` as root of a user namespace; the number of its error is the exit code.
fn attempt(
    view: &View,
    namespaces: Namespaces,
    work: impl FnOnce() -> io::Result<()>,
) -> Result<(), String> {
    let child = spawn(&alone(view), namespaces, |_token| match work() {
        Ok(()) => 0,
        Err(error) => error
            .raw_os_error()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(255),
    });
    let child = child.map_err(|error| match &error {
        crate::error::Error::Runtime(carrier_runtime::Error::Clone(source)) => words(source),
        other => other.line(),
    })?;
    match child.wait().map_err(|error| words(&error))? {
        ExitStatus::Exited(0) => Ok(()),
        ExitStatus::Exited(code) => Err(words(&io::Error::from_raw_os_error(i32::from(code)))),
        ExitStatus::Signaled(signal) => {
            Err(format!("the process that tried it got signal {signal}"))
        }
    }
}

pub(super) fn user_namespace(view: &View) -> Result<(), String> {
    if view.is_host {
        attempt(view, Namespaces::USER, || Ok(()))
    } else {
        Ok(())
    }
}

/// Mounts two directories on each other on the file system of `place`, writes, and deletes; nothing
/// where it cannot be tried.
pub(super) fn overlay(view: &View, place: &Path) -> Option<Result<(), String>> {
    /// Two checks ask for it.
    static TRIED: OnceLock<Option<Result<(), String>>> = OnceLock::new();
    if !view.is_host {
        return None;
    }
    TRIED
        .get_or_init(|| {
            let name = format!(".carrier-doctor-{}", std::process::id());
            let top = place.join(&name);
            fs::DirBuilder::new().mode(0o700).create(&top).ok()?;
            let tried = attempt(view, Namespaces::USER | Namespaces::MOUNT, || {
                mount_overlay(&top)
            });
            if let Ok(place) = fs::File::open(place) {
                // What is left of a trial is in nobody's way.
                let _ = carrier_store::tree::remove(place.as_fd(), name.as_ref());
            }
            Some(tried)
        })
        .clone()
}

fn mount_overlay(top: &Path) -> io::Result<()> {
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", propagation)?;
    // The options have no way to write a colon or comma of a path.
    std::env::set_current_dir(top)?;
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(name)?;
    }
    fs::write("lower/old", "")?;
    let options = c"lowerdir=lower,upperdir=upper,workdir=work,userxattr";
    rustix::mount::mount("overlay", "merged", "overlay", MountFlags::empty(), options)?;
    fs::write("merged/new", "")?;
    // What is deleted leaves a device node in the upper directory.
    fs::remove_file("merged/old")?;
    rustix::mount::unmount("merged", UnmountFlags::DETACH)?;
    Ok(())
}

/// Makes the tables of networks of the user; nothing where it cannot be tried.
pub(super) fn filter(view: &View) -> Option<Result<(), String>> {
    let namespaces = Namespaces::USER | Namespaces::NETWORK;
    view.is_host.then(|| attempt(view, namespaces, try_filter))
}

/// An error without its number.
pub(super) fn words(error: &io::Error) -> String {
    match rustix::io::Errno::from_io_error(error) {
        Some(errno) => fallback::words(errno),
        None => error.to_string(),
    }
}
