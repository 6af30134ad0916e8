//! Steps that build the container's tree, each mount by descriptor.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::mount::{Attributes, Change, set_attributes};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::{Machine, copy, errno, path};
use crate::plan::{
    Bind, DeviceNode, Devices, Filesystem, Kind, OverlayBelow, OverlayMount, Target, Tree,
};

const NULL_DEVICE: (u32, u32) = (1, 3);

impl Machine<'_> {
    pub(super) fn mount_overlay(&mut self, overlay: &OverlayMount) -> Result<(), Errno> {
        self.mount_layers(overlay)?;
        self.root = Some(open_root(&overlay.target)?);
        Ok(())
    }

    fn mount_layers(&self, overlay: &OverlayMount) -> Result<(), Errno> {
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
        )
    }

    pub(super) fn mount_overlay_below(&mut self, below: &OverlayBelow) -> Result<(), Errno> {
        self.mount_layers(&below.overlay)?;
        // Of mounts of this namespace only there are clones, so that it is mounted somewhere first.
        let tree = clone_part(&below.overlay.target, below.subpath.as_deref(), false);
        rustix::mount::unmount(&*below.overlay.target, UnmountFlags::DETACH)?;
        let tree = tree?;
        let mut change = below.change;
        if change.propagation == 0 {
            change.propagation = rustix::mount::MountPropagationFlags::PRIVATE.bits().into();
        }
        carrier_sys::mount::change(tree.as_fd(), change, false).map_err(|e| errno(&e))?;
        let kind = kind_of(tree.as_fd())?;
        let target = path::open_or_create(self.root()?, &below.target, kind)?;
        refuse_proc(target.as_fd(), &below.target)?;
        attach_alike(tree.as_fd(), target.as_fd())
    }

    pub(super) fn bind_root(&mut self, source: &CStr) -> Result<(), Errno> {
        let tree = clone_tree(CWD, source, true)?;
        let place = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        attach(tree.as_fd(), place.as_fd())?;
        self.root = Some(open_root(source)?);
        Ok(())
    }

    pub(super) fn mount_filesystem(&mut self, filesystem: &Filesystem) -> Result<(), Errno> {
        let mode = match filesystem.takes_mode {
            true => self.mode_of_covered(&filesystem.target)?,
            false => None,
        };
        let mount = match (new_mount(filesystem, mode), &filesystem.fallback) {
            (Err(Errno::PERM | Errno::ACCESS | Errno::NODEV | Errno::BUSY), Some(source)) => {
                borrowed_mount(source, filesystem)?
            }
            (mount, _) => mount?,
        };
        let target = path::open_or_create(self.root()?, &filesystem.target, Kind::Directory)?;
        refuse_proc(target.as_fd(), &filesystem.target)?;
        if filesystem.copy_up {
            copy::copy_tree(target.as_fd(), mount.as_fd())?;
        }
        attach(mount.as_fd(), target.as_fd())?;
        if filesystem.propagation != 0 {
            let change = Change {
                propagation: filesystem.propagation,
                ..Change::default()
            };
            carrier_sys::mount::change(mount.as_fd(), change, false).map_err(|e| errno(&e))?;
        }
        if filesystem.target.path.to_bytes() == b"dev" {
            self.devices = Some(mount);
        }
        Ok(())
    }

    fn mode_of_covered(&self, target: &Target) -> Result<Option<Mode>, Errno> {
        match path::open(self.root()?, target) {
            Ok(covered) => path::mode(covered.as_fd()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn bind(&mut self, bind: &Bind) -> Result<(), Errno> {
        let cloned;
        let tree = match &bind.tree {
            Tree::Open(tree) => tree,
            Tree::Source => {
                cloned = clone_part(&bind.source, bind.subpath.as_deref(), bind.recursive)?;
                &cloned
            }
            // Never unmapped: whoever owns the files would not be who should.
            Tree::Mapped(_) => return Err(Errno::INVAL),
        };
        for (change, recursive) in [
            (bind.change, false),
            (bind.recursive_change, bind.recursive),
        ] {
            if !change.is_empty() {
                carrier_sys::mount::change(tree.as_fd(), change, recursive)
                    .map_err(|e| errno(&e))?;
            }
        }
        let kind = match bind.subpath {
            Some(_) => kind_of(tree.as_fd())?,
            None => bind.kind,
        };
        let target = path::open_or_create(self.root()?, &bind.target, kind)?;
        refuse_proc(target.as_fd(), &bind.target)?;
        attach_alike(tree.as_fd(), target.as_fd())?;
        if bind.target.path.to_bytes() == b"dev" {
            self.devices = Some(rustix::io::fcntl_dupfd_cloexec(tree, 0)?);
        }
        Ok(())
    }

    /// Fills the filesystem that was just mounted on `/dev`: by descriptor, since the image decides
    /// what the path `/dev` means (CVE-2026-41579).
    pub(super) fn populate_devices(&mut self, devices: &Devices) -> Result<(), Errno> {
        let directory = match &self.devices {
            Some(directory) => directory,
            None => {
                let target = &devices.directory;
                let directory = path::open_or_create(self.root()?, target, Kind::Directory)?;
                self.devices.insert(directory)
            }
        };
        for name in &devices.directories {
            let made = rustix::fs::mkdirat(directory, &**name, Mode::from_raw_mode(0o755));
            or_exists(made)?;
        }
        for (name, text) in &devices.links {
            or_exists(rustix::fs::symlinkat(&**text, directory, &**name))?;
        }
        for node in &devices.nodes {
            add_device(directory.as_fd(), node)?;
        }
        Ok(())
    }

    pub(super) fn add_device(&mut self, node: &DeviceNode, parent: &Target) -> Result<(), Errno> {
        let directory = path::open_or_create(self.root()?, parent, Kind::Directory)?;
        add_device(directory.as_fd(), node)
    }

    pub(super) fn protect_devices(&mut self, change: Change) -> Result<(), Errno> {
        let devices = self.devices.as_ref().ok_or(Errno::BADF)?;
        carrier_sys::mount::change(devices.as_fd(), change, false).map_err(|e| errno(&e))
    }

    pub(super) fn mask(&mut self, target: &Target) -> Result<(), Errno> {
        let place = match path::open(self.root()?, target) {
            // A kernel without the feature has nothing to hide.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
        if path::file_type(place.as_fd())? != FileType::Directory {
            return attach(null_device()?.as_fd(), place.as_fd());
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
        set_attributes(tree.as_fd(), Attributes::READ_ONLY, true).map_err(|e| errno(&e))?;
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

/// Clones what is at `path`, or a part of it, which no link leads out of (CVE-2017-1002101).
fn clone_part(path: &CStr, subpath: Option<&CStr>, recursive: bool) -> Result<OwnedFd, Errno> {
    let Some(subpath) = subpath else {
        return clone_tree(CWD, path, recursive);
    };
    let whole = open_root(path)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let part = path::open_with(whole.as_fd(), subpath, OFlags::PATH, resolve)?;
    clone_tree(&part, c"", recursive)
}

fn kind_of(tree: BorrowedFd<'_>) -> Result<Kind, Errno> {
    match path::file_type(tree)? {
        FileType::Directory => Ok(Kind::Directory),
        _ => Ok(Kind::File),
    }
}

/// No link of the image leads a mount into `/proc`, where it would stand between the kernel and those
/// who write there (CVE-2019-16884).
fn refuse_proc(place: BorrowedFd<'_>, target: &Target) -> Result<(), Errno> {
    let is_said = target.path.to_bytes().starts_with(b"proc/");
    if !is_said && rustix::fs::fstatfs(place)?.f_type == rustix::fs::PROC_SUPER_MAGIC {
        return Err(Errno::ACCESS);
    }
    Ok(())
}

fn or_exists(made: Result<(), Errno>) -> Result<(), Errno> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn new_mount(filesystem: &Filesystem, mode: Option<Mode>) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(&*filesystem.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in &filesystem.options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, &**key, &**value)?,
            None => rustix::mount::fsconfig_set_flag(&context, &**key)?,
        }
    }
    if let Some(mode) = mode {
        let digits = octal(mode);
        let digits = CStr::from_bytes_until_nul(&digits).map_err(|_| Errno::INVAL)?;
        rustix::mount::fsconfig_set_string(&context, c"mode", digits)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    rustix::mount::fsmount(&context, flags, filesystem.attributes)
}

/// Four digits and a null.
fn octal(mode: Mode) -> [u8; 5] {
    let mut digits = [0; 5];
    for (place, shift) in digits.iter_mut().zip([9, 6, 3, 0]) {
        *place = b'0' + u8::try_from(mode.as_raw_mode() >> shift & 7).unwrap_or(0);
    }
    digits
}

/// The host's own mount of the same kind, as read-only as the new one would have been.
fn borrowed_mount(source: &CStr, filesystem: &Filesystem) -> Result<OwnedFd, Errno> {
    let tree = clone_tree(CWD, source, true)?;
    let set = Attributes::from_bits_truncate(filesystem.attributes.bits().into());
    set_attributes(tree.as_fd(), set, true).map_err(|e| errno(&e))?;
    Ok(tree)
}

fn add_device(directory: BorrowedFd<'_>, node: &DeviceNode) -> Result<(), Errno> {
    if node.make {
        match make_device(directory, node) {
            Err(Errno::PERM) => {}
            other => return other,
        }
    }
    let tree = clone_device(&node.source, node)?;
    let attributes = Attributes::NO_SUID | Attributes::NO_EXEC;
    set_attributes(tree.as_fd(), attributes, false).map_err(|e| errno(&e))?;
    let place = place_for_file(directory, &node.name, Mode::from_raw_mode(0o644))?;
    attach(tree.as_fd(), place.as_fd())
}

/// Makes a file to mount on. What is there already, in a `/dev` that others have too, is only mounted
/// on, be it a link.
pub(super) fn place_for_file(
    directory: BorrowedFd<'_>,
    name: &CStr,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, mode) {
        Err(Errno::EXIST) => open_unfollowed(directory, name),
        other => other,
    }
}

fn open_unfollowed(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Makes a node of a name that is not there yet.
fn make_device(directory: BorrowedFd<'_>, node: &DeviceNode) -> Result<(), Errno> {
    let (major, minor) = node.number;
    let device = rustix::fs::makedev(major, minor);
    let mode = Mode::from_raw_mode(node.mode);
    // The mode is that of the moment at which the node is made: a moment later the name could be that of
    // a link to a file of the host.
    let umask = rustix::process::umask(Mode::empty());
    let made = rustix::fs::mknodat(directory, &*node.name, node.kind, mode, device);
    rustix::process::umask(umask);
    match made {
        Err(Errno::EXIST) => return is_device(directory, &node.name, node),
        other => other?,
    }
    let made = open_unfollowed(directory, &node.name)?;
    is_device(made.as_fd(), c"", node)?;
    let (owner, group) = node.owner;
    rustix::fs::chownat(&made, c"", Some(owner), Some(group), AtFlags::EMPTY_PATH)
}

/// Clones the mount of a device node of the host, after a look at what it is (CVE-2025-31133).
fn clone_device(source: &CStr, node: &DeviceNode) -> Result<OwnedFd, Errno> {
    let tree = clone_tree(CWD, source, false)?;
    is_device(tree.as_fd(), c"", node)?;
    Ok(tree)
}

fn is_device(directory: BorrowedFd<'_>, name: &CStr, node: &DeviceNode) -> Result<(), Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statat(directory, name, flags)?;
    let (major, minor) = node.number;
    let same = FileType::from_raw_mode(stat.st_mode) == node.kind
        && (node.kind == FileType::Fifo || stat.st_rdev == rustix::fs::makedev(major, minor));
    if same { Ok(()) } else { Err(Errno::NXIO) }
}

/// `/dev/null` of the host, after a look at what it is.
fn null_device() -> Result<OwnedFd, Errno> {
    let tree = clone_tree(CWD, c"/dev/null", false)?;
    let stat = rustix::fs::statat(&tree, c"", AtFlags::EMPTY_PATH)?;
    let (major, minor) = NULL_DEVICE;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(major, minor);
    if is_null { Ok(tree) } else { Err(Errno::NXIO) }
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

pub(super) fn private_proc() -> Result<OwnedFd, Errno> {
    use rustix::mount::MountAttrFlags as Attr;
    let mount = || {
        let context = rustix::mount::fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(&context)?;
        let attributes = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    match mount() {
        // The PID namespace is the host's; so is the tree, as long as the root has not changed.
        Err(Errno::PERM) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let proc = rustix::fs::open(c"/proc", flags, Mode::empty())?;
            let kind = rustix::fs::fstatfs(&proc)?.f_type;
            if kind == rustix::fs::PROC_SUPER_MAGIC {
                Ok(proc)
            } else {
                Err(Errno::PERM)
            }
        }
        other => other,
    }
}

pub(crate) fn clone_tree(
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

/// [`attach`]; where one is a directory and the other is none, the error that mount(2) would give, which
/// move_mount(2) does not.
fn attach_alike(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
    if kind_of(mount)? == kind_of(place)? {
        attach(mount, place)
    } else {
        Err(Errno::NOTDIR)
    }
}

fn open_root(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Files of the kernel take their content in one write or refuse it.
pub(super) fn write_whole(file: &OwnedFd, content: &[u8]) -> Result<(), Errno> {
    match rustix::io::write(file, content) {
        Ok(written) if written == content.len() => Ok(()),
        Ok(_) => Err(Errno::IO),
        Err(errno) => Err(errno),
    }
}
