//! A user namespace inside of another one, whose maps are written by hand: that can be done only from
//! there, and needs no helper with privileges.

use std::os::fd::AsFd as _;

use carrier_sys::process::{Child, Namespaces, SingleThreaded, aside, clone_sibling};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;

use crate::channel::{ChildEnd, ParentEnd};
use crate::compile::Nest;
use crate::error::{Error, IdMapError};
use crate::init;
use crate::plan::InitPlan;

/// `/proc/`, the digits of a number, `/uid_map` and the end of the string.
const LONGEST_PATH: usize = 6 + 10 + 8 + 1;

/// Clones a process into `new` namespaces, with a user namespace inside of that of `nest`; it carries
/// `plan` out.
pub(crate) fn clone_nested(
    nest: &Nest,
    new: Namespaces,
    plan: &InitPlan,
    (parent_end, child_end): (&mut Option<ParentEnd>, &ChildEnd),
    proof: &SingleThreaded,
) -> Result<Child, Error> {
    // No container can look into this process while it is there, and in its memory nothing is changed.
    let cloned = aside(proof, |token| {
        let kind = Some(LinkNameSpaceType::User);
        rustix::thread::move_into_link_name_space(nest.users.as_fd(), kind)
            .map_err(Failure::Enter)?;
        let run = |token| {
            // The child's copy would keep it from ever seeing that its parent is gone.
            drop(parent_end.take());
            init::run(plan, child_end, &token)
        };
        let sibling = clone_sibling(new, &token, run);
        let (pid, pidfd) = sibling.map_err(|error| Failure::Clone(init::errno(&error)))?;
        Ok((pid, pidfd, write_maps(nest, pid)))
    });
    match cloned.map_err(Error::Clone)? {
        Ok((pid, pidfd, mapped)) => {
            let child = Child::adopt(pid, pidfd);
            let file = "uid_map";
            let refused = |errno: Errno| IdMapError::Write {
                file,
                source: errno.into(),
            };
            mapped.map_err(refused)?;
            Ok(child)
        }
        Err(Failure::Enter(errno)) => Err(Error::Namespace {
            path: "around the container's".to_owned(),
            source: errno.into(),
        }),
        Err(Failure::Clone(errno)) => Err(Error::Clone(errno.into())),
    }
}

enum Failure {
    Enter(Errno),
    Clone(Errno),
}

/// Writes the maps of process `pid`, which waits in its new user namespace.
fn write_maps(nest: &Nest, pid: u32) -> Result<(), Errno> {
    write(pid, b"/gid_map", nest.gid_map.as_bytes())?;
    write(pid, b"/uid_map", nest.uid_map.as_bytes())
}

/// The kernel takes a map in one write only, user_namespaces(7).
fn write(pid: u32, file: &[u8; 8], map: &[u8]) -> Result<(), Errno> {
    let mut space = [0; LONGEST_PATH];
    let path = path(&mut space, pid, file).ok_or(Errno::INVAL)?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let open = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::io::write(&open, map)? {
        written if written == map.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// `/proc/PID/FILE`, written into `space`.
fn path<'a>(
    space: &'a mut [u8; LONGEST_PATH],
    pid: u32,
    file: &[u8; 8],
) -> Option<&'a std::ffi::CStr> {
    let mut digits = [0; 10];
    let mut rest = pid;
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).ok()?;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(digits.len() - count..)?;
    let text = b"/proc/".iter().chain(digits).chain(file);
    for (place, byte) in space.iter_mut().zip(text) {
        *place = *byte;
    }
    std::ffi::CStr::from_bytes_until_nul(space).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_process_fit() {
        for (pid, expected) in [
            (0, c"/proc/0/uid_map"),
            (1, c"/proc/1/uid_map"),
            (4_194_304, c"/proc/4194304/uid_map"),
            (u32::MAX, c"/proc/4294967295/uid_map"),
        ] {
            let mut space = [0; LONGEST_PATH];
            assert_eq!(path(&mut space, pid, b"/uid_map"), Some(expected));
        }
    }
}
