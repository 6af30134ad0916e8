//! What a login gives.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::finding::{Check, Finding};
use super::remedy::{OwnFix, Remedy, quoted};
use super::view::{View, nearest};

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

pub(super) fn runtime_directory(view: &View) -> Finding {
    let check = Check::RuntimeDirectory;
    let (uid, gid) = (view.caller.uid, view.caller.gid);
    let Some((name, path)) = &view.runtime else {
        return unset(view);
    };
    let shown = path.display();
    let broken = |found: String, remedy| {
        let consequence =
            "no command works on containers: it is where they leave what ends with a boot";
        Finding::failed(check, found, consequence, remedy)
    };
    let give = Remedy::Root(format!(
        "install -d -m 700 -o {uid} -g {gid} {}",
        quoted(path)
    ));
    let Ok(found) = fs::metadata(path) else {
        let above = path.parent().map_or(Path::new("/"), nearest);
        let writable = may_write(above);
        let remedy = if writable {
            Remedy::Own(OwnFix::MakeDirectory(path.clone()))
        } else {
            give
        };
        return broken(format!("{name} is {shown}, which does not exist"), remedy);
    };
    if !found.is_dir() {
        let remedy = elsewhere(name);
        return broken(format!("{name} is {shown}, which is no directory"), remedy);
    }
    if found.uid() != uid {
        let remedy = elsewhere(name);
        let owner = found.uid();
        return broken(
            format!("{name} is {shown}, which is user {owner}'s"),
            remedy,
        );
    }
    if found.mode() & 0o700 != 0o700 || !may_write(path) {
        let remedy = Remedy::Own(OwnFix::Close(path.clone()));
        return broken(
            format!("{name} is {shown}, which you may not write to"),
            remedy,
        );
    }
    if found.mode() & 0o077 != 0 {
        return Finding::warning(
            check,
            format!("others may enter {shown} (mode {:o})", found.mode() & 0o777),
            "they can reach sockets of your programs there",
            Remedy::Own(OwnFix::Close(path.clone())),
        );
    }
    let kind = rustix::fs::statfs(path).map_or(TMPFS, |found| found.f_type.cast_unsigned());
    if view.is_host && ![TMPFS, RAMFS].contains(&(kind & 0xffff_ffff)) {
        return Finding::warning(
            check,
            format!("{shown} is on a disk"),
            "each start writes to that disk, and what should end with a boot stays until the next command",
            // Never a mount on it: containers that run would be forgotten.
            Remedy::Advice(
                "log in so that systemd makes one in memory, or name one with `export XDG_RUNTIME_DIR=`"
                    .to_owned(),
            ),
        );
    }
    Finding::ok(check, format!("{shown}"))
}

fn elsewhere(name: &str) -> Remedy {
    Remedy::Advice(match name {
        "XDG_RUNTIME_DIR" => {
            "`unset XDG_RUNTIME_DIR`, which su and sudo keep of whoever calls them".to_owned()
        }
        _ => format!("name a directory of your own with {name}"),
    })
}

/// The engine uses the directory of a login all the same, if there is one.
fn unset(view: &View) -> Finding {
    let check = Check::RuntimeDirectory;
    let uid = view.caller.uid;
    let login = view.path(format!("run/user/{uid}"));
    let is_mine =
        |found: fs::Metadata| found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0;
    if fs::symlink_metadata(login).is_ok_and(is_mine) {
        return Finding::ok(
            check,
            format!("XDG_RUNTIME_DIR is not set: /run/user/{uid} is used"),
        );
    }
    let remedy = if has_systemd(view) {
        Remedy::Own(OwnFix::Linger(view.user()))
    } else {
        Remedy::Root(format!(
            "install -d -m 700 -o {uid} -g {} /run/user/{uid}",
            view.caller.gid
        ))
    };
    Finding::warning(
        check,
        format!(
            "XDG_RUNTIME_DIR is not set, and there is no /run/user/{uid}: /tmp/carrier-{uid} is used"
        ),
        "systemd of the user is out of reach, and whoever cleans /tmp makes containers forget that they run",
        remedy,
    )
}

fn may_write(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD};
    rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// sd_booted(3)
pub(super) fn has_systemd(view: &View) -> bool {
    view.path("run/systemd/system").is_dir()
}

pub(super) fn lingering(view: &View) -> Finding {
    let check = Check::Lingering;
    if !has_systemd(view) {
        return Finding::skipped(
            check,
            "there is no systemd that ends what is a user's at logout",
        );
    }
    let user = view.user();
    let mark = view.path("var/lib/systemd/linger").join(&user);
    if view.is_root() || fs::symlink_metadata(mark).is_ok() {
        return Finding::ok(check, format!("{user} lingers"));
    }
    Finding::warning(
        check,
        format!("{user} does not linger"),
        format!("containers come back when {user} logs in, and end when {user} logs out"),
        Remedy::Own(OwnFix::Linger(user.clone())),
    )
}
