//! Where images and containers are.

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, StatVfs, StatVfsMountFlags};

use super::finding::{Check, Finding};
use super::remedy::{Package, Remedy, install, quoted};
use super::trial;
use super::view::{View, nearest};

const ELSEWHERE: &str = "`export XDG_DATA_HOME=DIRECTORY`, with a directory on a local disk";

/// File systems that cannot hold images, linux/magic.h.
const UNFIT: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x794c_7630, "overlay"),
    (0x0102_1997, "9p"),
    (0xf15f, "eCryptfs"),
    (0x4d44, "FAT"),
    (0x2011_bab0, "exFAT"),
    (0x5346_414f, "AFS"),
];

const TMPFS: u64 = 0x0102_1994;

pub(super) fn home(view: &View) -> Finding {
    let check = Check::Home;
    let Some(data) = &view.data else {
        return Finding::failed(
            check,
            "neither HOME nor XDG_DATA_HOME is an absolute path",
            "there is no place for images and containers",
            Remedy::Advice("`export HOME=DIRECTORY`, with a directory of your own".to_owned()),
        );
    };
    let place = nearest(data);
    let shown = data.display();
    let flags = rustix::fs::statvfs(place).map_or(StatVfsMountFlags::empty(), |found| found.f_flag);
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return unusable(
            data,
            format!("{shown} is on a file system that is mounted read-only"),
        );
    }
    if rustix::fs::accessat(CWD, place, Access::WRITE_OK, AtFlags::EACCESS).is_err() {
        return unusable(data, format!("you may not write to {}", place.display()));
    }
    if flags.contains(StatVfsMountFlags::NOEXEC) {
        let point = view.mount_point(place);
        return Finding::warning(
            check,
            format!("{shown} is on a file system that is mounted noexec"),
            "programs in volumes cannot be executed; those of images can, but where layers have to be copied",
            Remedy::Root(format!("mount -o remount,exec {}", quoted(point.as_ref()))),
        );
    }
    let kind = rustix::fs::statfs(place).map_or(0, |found| found.f_type.cast_unsigned());
    let kind = kind & 0xffff_ffff;
    if let Some((_, name)) = UNFIT.iter().find(|(magic, _)| *magic == kind) {
        return Finding::warning(
            check,
            format!("{shown} is on {name}"),
            "such a file system may not keep the owners, devices and attributes of an image's files: pulls \
             can fail, and starts are slow",
            Remedy::Advice(ELSEWHERE.to_owned()),
        );
    }
    if kind == TMPFS {
        return Finding::warning(
            check,
            format!("{shown} is in memory (tmpfs)"),
            "images and containers are gone after a reboot",
            Remedy::Advice(ELSEWHERE.to_owned()),
        );
    }
    Finding::ok(check, shown.to_string())
}

fn unusable(data: &Path, found: String) -> Finding {
    let remedy = format!("{ELSEWHERE}, instead of {}", data.display());
    Finding::failed(
        Check::Home,
        found,
        "no image can be stored and no container made",
        Remedy::Advice(remedy),
    )
}

/// Below this, the next layer does not fit.
const LITTLE: u64 = 64 << 20;
/// Below this, the next image may not fit.
const SCARCE: u64 = 1 << 30;
const FEW_FILES: u64 = 2_000;
const SCARCE_FILES: u64 = 50_000;

pub(super) fn disk(view: &View) -> Finding {
    let check = Check::Disk;
    let Some(data) = &view.data else {
        return Finding::skipped(check, "there is no place for the store");
    };
    match rustix::fs::statvfs(nearest(data)) {
        Ok(space) => room(data, &space),
        Err(errno) => Finding::skipped(check, format!("{}: {errno}", data.display())),
    }
}

pub(super) fn room(place: &Path, space: &StatVfs) -> Finding {
    let check = Check::Disk;
    let bytes = space.f_bavail.saturating_mul(space.f_frsize);
    // Some file systems count no files.
    let files = if space.f_files == 0 {
        u64::MAX
    } else {
        space.f_favail
    };
    let shown = place.display();
    let found = if files < SCARCE_FILES && bytes >= LITTLE {
        format!("{files} more files (inodes) fit on the file system of {shown}")
    } else {
        format!("{} MiB are free on the file system of {shown}", bytes >> 20)
    };
    let remedy = || {
        Remedy::Advice(
            "`carrier system df` tells what takes room, `carrier system prune -a` removes what no \
             container needs"
                .to_owned(),
        )
    };
    if bytes < LITTLE || files < FEW_FILES {
        return Finding::failed(
            check,
            found,
            "pulls fail, and what containers write too",
            remedy(),
        );
    }
    if bytes < SCARCE || files < SCARCE_FILES {
        return Finding::warning(check, found, "a larger image does not fit", remedy());
    }
    Finding::ok(check, found)
}

pub(super) fn overlay(view: &View) -> Finding {
    let check = Check::Overlay;
    let Some(data) = &view.data else {
        return Finding::skipped(check, "there is no place for the store");
    };
    match trial::overlay(view, nearest(data)) {
        None => Finding::skipped(check, "it was not tried"),
        Some(Ok(())) => Finding::ok(check, "the kernel mounts layers on each other"),
        Some(Err(error)) => Finding::warning(
            check,
            format!("it cannot be mounted on {} ({error})", data.display()),
            "containers start through fuse-overlayfs, which is slow, or on a copy of all their layers, \
             which is slower",
            no_overlay(view),
        ),
    }
}

/// A kernel that has it is asked for another directory, and one that does not load it by itself for that.
fn no_overlay(view: &View) -> Remedy {
    let kinds = view.read("proc/filesystems");
    if kinds.lines().any(|line| line.ends_with("\toverlay")) {
        return Remedy::Advice(ELSEWHERE.to_owned());
    }
    Remedy::Root("modprobe overlay && echo overlay >>/etc/modules-load.d/carrier.conf".to_owned())
}

/// What serves roots where the kernel cannot.
pub(super) fn fuse(view: &View) -> Finding {
    let check = Check::Fuse;
    let works = match &view.data {
        Some(data) => trial::overlay(view, nearest(data)).is_some_and(|tried| tried.is_ok()),
        None => false,
    };
    if works {
        return Finding::skipped(check, "it is not needed where the kernel mounts overlays");
    }
    let consequence = "all layers of an image are copied for each container";
    let device = view.path("dev/fuse");
    let opened = std::fs::File::options().read(true).write(true).open(device);
    match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let remedy = Remedy::Root("modprobe fuse".to_owned());
            return Finding::warning(check, "there is no /dev/fuse", consequence, remedy);
        }
        Err(error) => {
            let found = format!("/dev/fuse cannot be opened ({})", trial::words(&error));
            let remedy = Remedy::Root("chmod 666 /dev/fuse".to_owned());
            return Finding::warning(check, found, consequence, remedy);
        }
        Ok(_) => {}
    }
    match view.find_of_system("fuse-overlayfs") {
        Ok(path) => Finding::ok(check, format!("{}", path.display())),
        Err(found) => {
            let remedy = install(view, Package::Same("fuse-overlayfs"));
            Finding::warning(check, found, consequence, remedy)
        }
    }
}
