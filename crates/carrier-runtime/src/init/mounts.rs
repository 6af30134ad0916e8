//! Steps that build the container's tree, each mount by descriptor.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::mount::{Attributes, set_attributes};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::{Machine, errno, path};
use crate::plan::{Bind, DeviceNode, Devices, Filesystem, Kind, OverlayMount, Target};

const NULL_DEVICE: (u32, u32) = (1, 3);

impl Machine<'_> {
    pub(super) fn mount_overlay(&mut self, overlay: &OverlayMount) -> Result<(), Errno> {
        for (path, place) in &overlay.directories {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::open(&**path, flags, Mode::empty())?;
            carrier_sys::fd::replace(place.as_fd(), &directory, self.token)
                .map_err(|e| errno(&e))?;
        }
        // fsconfig(2) takes values of at most 255 bytes and overlay's `lowerdir+` is younger than
        // the oldest kernel that we support, so that this is the one mount made by path: the host's.
        let flags = MountFlags::empty();
        rustix::mount::mount(
            c"overlay",
            &*overlay.target,
            c"overlay",
            flags,
            &*overlay.options,
        )?;
        self.root = Some(open_root(&overlay.target)?);
        Ok(())
    }

    pub(super) fn bind_root(&mut self, source: &CStr) -> Result<(), Errno> {
        let tree = clone_tree(CWD, source, true)?;
        let place = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        attach(tree.as_fd(), place.as_fd())?;
        self.root = Some(open_root(source)?);
        Ok(())
    }

    pub(super) fn mount_filesystem(&mut self, filesystem: &Filesystem) -> Result<(), Errno> {
        let context = rustix::mount::fsopen(&*filesystem.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in &filesystem.options {
            match value {
                Some(value) => rustix::mount::fsconfig_set_string(&context, &**key, &**value)?,
                None => rustix::mount::fsconfig_set_flag(&context, &**key)?,
            }
        }
        rustix::mount::fsconfig_create(&context)?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let mount = rustix::mount::fsmount(&context, flags, filesystem.attributes)?;
        let target = path::open_or_create(self.root()?, &filesystem.target, Kind::Directory)?;
        attach(mount.as_fd(), target.as_fd())?;
        if filesystem.target.path.to_bytes() == b"dev" {
            self.devices = Some(mount);
        }
        Ok(())
    }

    pub(super) fn bind(&mut self, bind: &Bind) -> Result<(), Errno> {
        let tree = clone_tree(CWD, &bind.source, bind.recursive)?;
        if !bind.attributes.is_empty() {
            set_attributes(tree.as_fd(), bind.attributes, bind.recursive).map_err(|e| errno(&e))?;
        }
        let target = path::open_or_create(self.root()?, &bind.target, bind.kind)?;
        attach(tree.as_fd(), target.as_fd())
    }

    /// Fills the filesystem that was just mounted on `/dev`: by descriptor, since the image decides
    /// what the path `/dev` means (CVE-2026-41579).
    pub(super) fn populate_devices(&mut self, devices: &Devices) -> Result<(), Errno> {
        let directory = self.devices.as_ref().ok_or(Errno::BADF)?.as_fd();
        for name in &devices.directories {
            rustix::fs::mkdirat(directory, &**name, Mode::from_raw_mode(0o755))?;
        }
        for (name, text) in &devices.links {
            rustix::fs::symlinkat(&**text, directory, &**name)?;
        }
        devices
            .nodes
            .iter()
            .try_for_each(|node| add_device(directory, node))
    }

    pub(super) fn mask(&mut self, target: &Target) -> Result<(), Errno> {
        let place = match path::open(self.root()?, target) {
            // A kernel without the feature has nothing to hide.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
        if path::file_type(place.as_fd())? != FileType::Directory {
            return attach(
                clone_device(c"/dev/null", NULL_DEVICE)?.as_fd(),
                place.as_fd(),
            );
        }
        let tree = match &self.empty {
            Some(empty) => clone_tree(empty, c"", false)?,
            None => empty_directory()?,
        };
        attach(tree.as_fd(), place.as_fd())?;
        self.empty.get_or_insert(tree);
        Ok(())
    }

    pub(super) fn protect_path(&mut self, target: &Target) -> Result<(), Errno> {
        let place = match path::open(self.root()?, target) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
        let tree = clone_tree(&place, c"", true)?;
        let attributes = Attributes::READ_ONLY
            | Attributes::NO_SUID
            | Attributes::NO_DEVICES
            | Attributes::NO_EXEC;
        set_attributes(tree.as_fd(), attributes, true).map_err(|e| errno(&e))?;
        attach(tree.as_fd(), place.as_fd())
    }

    pub(super) fn protect_root(&mut self) -> Result<(), Errno> {
        set_attributes(self.root()?, Attributes::READ_ONLY, false).map_err(|e| errno(&e))
    }

    pub(super) fn make_directory(&mut self, target: &Target) -> Result<(), Errno> {
        path::open_or_create(self.root()?, target, Kind::Directory).map(drop)
    }

    pub(super) fn write_file(&mut self, target: &Target, content: &[u8]) -> Result<(), Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let file = path::open_with(self.root()?, &target.path, OFlags::WRONLY, resolve)?;
        write_whole(&file, content)
    }

    /// Writes below `/proc/sys` of a proc filesystem of our own: what the container's `/proc` holds
    /// is not ours to trust (CVE-2025-52881).
    pub(super) fn set_sysctl(&mut self, path: &CStr, value: &CStr) -> Result<(), Errno> {
        let proc = match self.proc.take() {
            Some(proc) => proc,
            None => private_proc()?,
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let file = path::open_with(proc.as_fd(), path, OFlags::WRONLY, resolve)?;
        self.proc = Some(proc);
        write_whole(&file, value.to_bytes())
    }

    /// Makes the root the root, pivot_root(2), and lets go of the old one.
    pub(super) fn enter_root(&mut self) -> Result<(), Errno> {
        rustix::process::fchdir(self.root()?)?;
        rustix::process::pivot_root(c".", c".")?;
        // Both roots are mounted at "/" now, the old one on top.
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    }
}

fn add_device(directory: BorrowedFd<'_>, node: &DeviceNode) -> Result<(), Errno> {
    let tree = clone_device(&node.source, node.number)?;
    let attributes = Attributes::NO_SUID | Attributes::NO_EXEC;
    set_attributes(tree.as_fd(), attributes, false).map_err(|e| errno(&e))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let place = rustix::fs::openat(directory, &*node.name, flags, mode)?;
    attach(tree.as_fd(), place.as_fd())
}

/// Clones the mount of a device node of the host, after a look at what it is (CVE-2025-31133).
fn clone_device(source: &CStr, (major, minor): (u32, u32)) -> Result<OwnedFd, Errno> {
    let tree = clone_tree(CWD, source, false)?;
    let stat = rustix::fs::statat(&tree, c"", AtFlags::EMPTY_PATH)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if is_device && stat.st_rdev == rustix::fs::makedev(major, minor) {
        Ok(tree)
    } else {
        Err(Errno::NXIO)
    }
}

fn empty_directory() -> Result<OwnedFd, Errno> {
    use rustix::mount::MountAttrFlags as Attr;
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, c"mode", c"555")?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = Attr::MOUNT_ATTR_RDONLY
        | Attr::MOUNT_ATTR_NOSUID
        | Attr::MOUNT_ATTR_NODEV
        | Attr::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn private_proc() -> Result<OwnedFd, Errno> {
    use rustix::mount::MountAttrFlags as Attr;
    let context = rustix::mount::fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

pub(super) fn clone_tree(
    directory: impl AsFd,
    path: &CStr,
    recursive: bool,
) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(directory, path, flags)
}

pub(super) fn attach(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", place, c"", flags)
}

fn open_root(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Files of the kernel take their content in one write or refuse it.
fn write_whole(file: &OwnedFd, content: &[u8]) -> Result<(), Errno> {
    match rustix::io::write(file, content) {
        Ok(written) if written == content.len() => Ok(()),
        Ok(_) => Err(Errno::IO),
        Err(errno) => Err(errno),
    }
}
