//! `HOME`, where a configuration does not say it: other runtimes look the user up in the container's own
//! `/etc/passwd`, and engines count on that.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Process, Spec};
use rustix::fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};

const PASSWD: &str = "/etc/passwd";

/// What is read of a file that a container may have made as long as it likes.
const LONGEST: u64 = 1 << 20;

/// The home of who is not in the file.
const NO_HOME: &str = "/";

/// Says it in the environment of a process, unless it is there; `users` is the text of `/etc/passwd`.
pub(super) fn complete(process: &mut Process, users: impl FnOnce() -> Option<Vec<u8>>) {
    let mut environment = process.env().clone().unwrap_or_default();
    let is_said = |line: &String| {
        line.strip_prefix("HOME=")
            .is_some_and(|home| !home.is_empty())
    };
    if environment.iter().any(is_said) {
        return;
    }
    environment.retain(|line| !line.starts_with("HOME="));
    let users = users().unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    let home = home_of(process.user().uid(), &users);
    environment.push(format!("HOME={home}"));
    process.set_env(Some(environment));
}

/// The text of `/etc/passwd` of a container that is to be made: a mount may cover the file.
pub(super) fn users_of(spec: &Spec, rootfs: &Path) -> Option<Vec<u8>> {
    let mounts = spec.mounts().iter().flatten();
    let mut covering = mounts.filter(|mount| mount.destination() == Path::new(PASSWD));
    if let Some(mount) = covering.next_back() {
        let source = mount.source().as_ref()?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        return read(&rustix::fs::open(source, flags, Mode::empty()).ok()?);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    users_below(rustix::fs::open(rootfs, flags, Mode::empty()).ok()?)
}

/// The text of `/etc/passwd` below a root that is not to be trusted.
pub(super) fn users_below(root: impl AsFd) -> Option<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    read(&rustix::fs::openat2(root, PASSWD, flags, Mode::empty(), resolve).ok()?)
}

/// Opens a file only where that does nothing: a device may be a watchdog, a file of `/proc` the host's log.
fn read(place: &OwnedFd) -> Option<Vec<u8>> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(place).ok()?.st_mode);
    if kind != FileType::RegularFile || rustix::fs::fstatfs(place).ok()?.f_type == PROC_SUPER_MAGIC
    {
        return None;
    }
    let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    Some(text)
}

/// passwd(5): the third field of a line is the user's number, the sixth his home.
fn home_of(uid: u32, users: &str) -> &str {
    let home = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_his = fields.nth(2)?.parse() == Ok(uid);
        fields.nth(2).filter(|home| is_his && !home.is_empty())
    });
    home.unwrap_or(NO_HOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(environment: &[&str]) -> Vec<String> {
        let process = serde_json::json!({
            "cwd": "/", "user": {"uid": 7, "gid": 0}, "env": environment,
        });
        let mut process: Process = serde_json::from_value(process).unwrap();
        let users = "root:x:0:0::/root:/bin/sh\n#\nshort:x:7\nother:x:7:7::/other:/bin/sh\n";
        complete(&mut process, || Some(users.into()));
        process.env().clone().unwrap()
    }

    #[test]
    fn what_is_said_stays() {
        assert_eq!(completed(&["HOME=/said"]), ["HOME=/said"]);
        assert_eq!(completed(&["A=b", "HOME="]), ["A=b", "HOME=/other"]);
        assert_eq!(completed(&[]), ["HOME=/other"]);
    }

    #[test]
    fn who_is_not_known_is_at_home_at_the_root() {
        assert_eq!(home_of(8, "other:x:7:7::/other:/bin/sh\n"), "/");
        assert_eq!(home_of(7, "other:x:7:7:::/bin/sh\n"), "/");
        assert_eq!(home_of(0, ""), "/");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let pipe = root.path().join("etc/passwd");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR).unwrap();
        let open = File::open(root.path()).unwrap();
        assert_eq!(users_below(&open), None);
        std::fs::remove_file(&pipe).unwrap();
        std::os::unix::fs::symlink("/etc/users", &pipe).unwrap();
        std::fs::write(root.path().join("etc/users"), "inside").unwrap();
        assert_eq!(users_below(&open).unwrap(), b"inside");
    }

    #[test]
    fn what_is_of_proc_is_not_read() {
        let place = rustix::fs::open("/proc/version", OFlags::PATH, Mode::empty()).unwrap();
        assert_eq!(read(&place), None);
    }
}
