//! The ids of the users and groups of containers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use carrier_runtime::{HELPER_DIRECTORIES, IdRange};
use rustix::fs::StatVfsMountFlags;

use super::finding::{Check, Finding};
use super::remedy::{Package, Remedy, install, quoted};
use super::view::View;
use crate::shared_ids::{SharedIds, free_range};
use crate::subordinate::id_maps;

/// What useradd(8) gives, and images count on: `nobody` is 65534.
const USUAL: u64 = 65_536;

const HELPERS: [&str; 2] = ["newuidmap", "newgidmap"];

pub(super) fn subordinate(view: &View) -> Finding {
    let check = Check::SubordinateIds;
    let files = view.accounts();
    let maps = id_maps(&view.caller, &files.subuid, &files.subgid);
    let add = || match free_range(&files) {
        Some(free) => Remedy::Root(format!(
            "usermod --add-subuids {free} --add-subgids {free} {}",
            quoted(view.user().as_ref())
        )),
        None => Remedy::Advice("free a range of ids in /etc/subuid and /etc/subgid".to_owned()),
    };
    if maps.is_single() {
        return Finding::failed(
            check,
            format!("{} has none in /etc/subuid or /etc/subgid", view.user()),
            "images with files of several users cannot be pulled, and programs can only be root",
            add(),
        );
    }
    if !view.allows_shared_ids
        && let Some(found) = SharedIds::find(&view.caller, &files)
    {
        return shared(&found);
    }
    let count = |ranges: &[IdRange]| ranges.iter().map(|it| u64::from(it.count)).sum::<u64>() - 1;
    let few = count(&maps.users).min(count(&maps.groups));
    if few < USUAL {
        return Finding::warning(
            check,
            format!(
                "{} has {few} of them, and images count on {USUAL}",
                view.user()
            ),
            "images with files of users above that cannot be pulled",
            add(),
        );
    }
    Finding::ok(check, format!("{} has {few} of its own", view.user()))
}

/// What is said of ids that are somebody else's too.
pub(crate) fn shared(found: &SharedIds) -> Finding {
    Finding::failed(
        Check::SubordinateIds,
        found.to_string(),
        "whoever has them too would have power over your containers, so none is started; images have to \
         be pulled again afterwards, or CARRIER_ALLOW_SHARED_IDS=1 trusts the other",
        Remedy::Root(found.command()),
    )
}

pub(super) fn helpers(view: &View) -> Finding {
    let check = Check::IdHelpers;
    let files = view.accounts();
    if view.is_root() {
        return Finding::skipped(check, "root needs none");
    }
    if id_maps(&view.caller, &files.subuid, &files.subgid).is_single() {
        return Finding::skipped(check, "without subordinate ids none is needed");
    }
    let wrong = |found: String, remedy| {
        Finding::failed(
            check,
            found,
            "no image can be pulled and no container started",
            remedy,
        )
    };
    let mut paths = Vec::new();
    for name in HELPERS {
        let places = HELPER_DIRECTORIES.iter();
        let mut all = places.map(|place| Path::new(place).join(name));
        let is_program = |path: &PathBuf| {
            let found = fs::metadata(view.path(path));
            found.is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
        };
        match all.find(is_program) {
            Some(path) => paths.push(path),
            None => {
                let found = format!("{name} is not installed");
                return wrong(found, install(view, Package::Uidmap));
            }
        }
    }
    if let Some(path) = paths.iter().find(|path| !is_privileged(view, path)) {
        let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
        let paths = paths.join(" ");
        return wrong(
            format!(
                "{} has neither root's set-user-ID bit nor a capability",
                path.display()
            ),
            Remedy::Root(format!("chown root {paths} && chmod 4755 {paths}")),
        );
    }
    if let Some(path) = paths.iter().find(|path| is_nosuid(view, path)) {
        let point = view.mount_point(path);
        return wrong(
            format!(
                "{} is on a file system that is mounted nosuid",
                path.display()
            ),
            Remedy::Root(format!("mount -o remount,suid {}", quoted(point.as_ref()))),
        );
    }
    let status = view.read("proc/self/status");
    if status
        .lines()
        .any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]))
    {
        return wrong(
            "this process can gain no privileges (no_new_privs), so that newuidmap has none"
                .to_owned(),
            Remedy::Advice(
                "start carrier from another shell: this one is in a sandbox, or in a unit with \
                 NoNewPrivileges="
                    .to_owned(),
            ),
        );
    }
    Finding::ok(check, "newuidmap and newgidmap have their privilege")
}

fn is_privileged(view: &View, path: &Path) -> bool {
    let path = view.path(path);
    let is_roots = fs::metadata(&path)
        .is_ok_and(|found| found.uid() == view.owner_of_root() && found.mode() & 0o4000 != 0);
    let mut value = [0; 64];
    is_roots || rustix::fs::getxattr(&path, "security.capability", &mut value).is_ok()
}

fn is_nosuid(view: &View, path: &Path) -> bool {
    let mount = rustix::fs::statvfs(view.path(path));
    // A directory that stands for a host may be anywhere.
    view.is_host && mount.is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOSUID))
}
