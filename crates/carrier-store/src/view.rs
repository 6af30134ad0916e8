//! What a path holds in a stack of layers, without mounting them.
//!
//! The rules are overlay's: the topmost layer that has a name decides, a whiteout hides it, an
//! opaque directory hides what lies below, and directories merge until something else is in the way.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;

/// The kernel's own limit on links in one resolution.
const MAX_LINKS: usize = 40;

const OPAQUE: &str = "user.overlay.opaque";

/// Layers, the topmost first.
#[derive(Debug)]
pub struct LayerView {
    layers: Vec<OwnedFd>,
}

/// Why a file of an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Something that is no regular file: reading it could block for ever.
    #[error("it is not a regular file")]
    NotRegular,
    /// A file that is larger than it has reason to be.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// Links that lead to each other.
    #[error("too many symbolic links")]
    TooManyLinks,
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for ViewError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// What a name is in the merged view.
enum Found {
    Directory(Vec<OwnedFd>),
    Link(Vec<u8>),
    Other(OwnedFd),
}

impl LayerView {
    /// Opens the layers in `directories`, the topmost first.
    ///
    /// # Errors
    /// [`Error::Io`] when one does not exist.
    pub fn open(directories: impl IntoIterator<Item = PathBuf>) -> Result<Self, Error> {
        let open = |path: PathBuf| {
            crate::store::open_directory(&path).map_err(Error::errno("open", &path))
        };
        Ok(Self {
            layers: directories
                .into_iter()
                .map(open)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Reads the regular file at `path`, of at most `max` bytes; nothing where there is none.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn read_file(&self, path: &str, max: u64) -> Result<Option<Vec<u8>>, ViewError> {
        match self.find(path)? {
            None => Ok(None),
            Some(Found::Other(file)) => read_regular(&file, max).map(Some),
            Some(_) => Err(ViewError::NotRegular),
        }
    }

    /// The directory at `path` as each layer has it, the topmost first; nothing where something else
    /// is, or nothing.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn directory(&self, path: &str) -> Result<Option<Vec<OwnedFd>>, ViewError> {
        match self.find(path)? {
            Some(Found::Directory(parts)) => Ok(Some(parts)),
            _ => Ok(None),
        }
    }

    /// Follows `path` through the merged tree, as far as it leads.
    fn find(&self, path: &str) -> Result<Option<Found>, ViewError> {
        let mut pending: Vec<Vec<u8>> = components(path.as_bytes());
        let mut stack: Vec<Vec<OwnedFd>> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == b".." {
                stack.pop();
                continue;
            }
            let here = stack.last().unwrap_or(&self.layers);
            match look_up(here, &name)? {
                None => return Ok(None),
                Some(Found::Directory(merged)) => stack.push(merged),
                Some(Found::Other(file)) if pending.is_empty() => {
                    return Ok(Some(Found::Other(file)));
                }
                Some(Found::Other(_)) => return Ok(None),
                Some(Found::Link(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(ViewError::TooManyLinks);
                    }
                    if target.starts_with(b"/") {
                        stack.clear();
                    }
                    pending.extend(components(&target));
                }
            }
        }
        let again = |layer: &OwnedFd| Ok(rustix::io::fcntl_dupfd_cloexec(layer, 0)?);
        let found = match stack.pop() {
            Some(parts) => parts,
            None => self.layers.iter().map(again).collect::<io::Result<_>>()?,
        };
        Ok(Some(Found::Directory(found)))
    }
}

/// The parts of a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts
        .filter(|part| !matches!(*part, b"" | b"."))
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn look_up(layers: &[OwnedFd], name: &[u8]) -> Result<Option<Found>, ViewError> {
    let name = OsStr::from_bytes(name);
    let mut merged = Vec::new();
    for layer in layers {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match rustix::fs::openat(layer, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let stat = rustix::fs::statat(&entry, "", AtFlags::EMPTY_PATH)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let opaque = is_opaque(&entry);
                merged.push(entry);
                if opaque {
                    break;
                }
            }
            // Below a directory, anything else is hidden and hides.
            _ if !merged.is_empty() => break,
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(None),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&entry, "", Vec::new())?;
                return Ok(Some(Found::Link(target.into_bytes())));
            }
            _ => return Ok(Some(Found::Other(entry))),
        }
    }
    Ok((!merged.is_empty()).then_some(Found::Directory(merged)))
}

fn is_opaque(directory: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd as _;
    let mut value = [0; 1];
    // fgetxattr(2) takes no O_PATH descriptor, but its entry in /proc.
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    rustix::fs::getxattr(path, OPAQUE, &mut value).is_ok_and(|length| length == 1 && value == *b"y")
}

/// Reads a file that was found to be regular, without waiting for anything.
fn read_regular(entry: &OwnedFd, max: u64) -> Result<Vec<u8>, ViewError> {
    use std::os::fd::AsRawFd as _;
    let stat = rustix::fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ViewError::NotRegular);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        Err(ViewError::TooLarge(max))
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Layers(tempfile::TempDir);

    impl Layers {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            for layer in ["top/etc", "low/etc"] {
                fs::create_dir_all(home.path().join(layer)).unwrap();
            }
            Self(home)
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn read(&self, path: &str) -> Result<Option<String>, ViewError> {
            let view = LayerView::open([self.path("top"), self.path("low")]).unwrap();
            let content = view.read_file(path, 100)?;
            Ok(content.map(|bytes| String::from_utf8(bytes).unwrap()))
        }
    }

    #[test]
    fn the_topmost_layer_decides() {
        let layers = Layers::new();
        fs::write(layers.path("low/etc/a"), "low").unwrap();
        fs::write(layers.path("low/etc/b"), "low").unwrap();
        fs::write(layers.path("top/etc/a"), "top").unwrap();
        assert_eq!(layers.read("/etc/a").unwrap().as_deref(), Some("top"));
        assert_eq!(layers.read("/etc/b").unwrap().as_deref(), Some("low"));
        assert_eq!(layers.read("/etc/c").unwrap(), None);
        assert_eq!(layers.read("/etc/a/b").unwrap(), None);
    }

    #[test]
    fn links_are_followed_in_the_view_and_nowhere_else() {
        let layers = Layers::new();
        fs::write(layers.path("low/etc/real"), "inside").unwrap();
        symlink("/etc/real", layers.path("top/etc/absolute")).unwrap();
        symlink("../../../etc/real", layers.path("top/etc/relative")).unwrap();
        symlink("loop", layers.path("top/etc/loop")).unwrap();
        for name in ["/etc/absolute", "/etc/relative"] {
            assert_eq!(layers.read(name).unwrap().as_deref(), Some("inside"));
        }
        assert!(matches!(
            layers.read("/etc/loop"),
            Err(ViewError::TooManyLinks)
        ));
    }

    #[test]
    fn opaque_directories_hide_what_is_below() {
        let layers = Layers::new();
        fs::write(layers.path("low/etc/a"), "low").unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(layers.path("top/etc"), OPAQUE, b"y", flags).unwrap();
        assert_eq!(layers.read("/etc/a").unwrap(), None);
    }

    #[test]
    fn pipes_and_large_files_are_refused() {
        let layers = Layers::new();
        let fifo = layers.path("top/etc/fifo");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        fs::write(layers.path("top/etc/large"), [b'x'; 101]).unwrap();
        assert!(matches!(
            layers.read("/etc/fifo"),
            Err(ViewError::NotRegular)
        ));
        assert!(matches!(
            layers.read("/etc/large"),
            Err(ViewError::TooLarge(100))
        ));
        assert!(matches!(layers.read("/etc"), Err(ViewError::NotRegular)));
    }

    /// Three layers with everything that overlayfs merges; nothing where this process may not mount.
    fn mounted(layers: &Layers) -> Option<PathBuf> {
        use rustix::mount::{MountFlags, mount};
        let merged = layers.path("merged");
        fs::create_dir(&merged).unwrap();
        let lower = ["top", "middle", "low"].map(|layer| layers.path(layer).display().to_string());
        let options = format!("userxattr,lowerdir={}", lower.join(":"));
        let options = std::ffi::CString::new(options).unwrap();
        let made = mount(
            "overlay",
            &merged,
            "overlay",
            MountFlags::empty(),
            &*options,
        );
        if let Err(errno) = made {
            println!("skipped: overlayfs cannot be mounted here: {errno}");
            return None;
        }
        Some(merged)
    }

    #[test]
    fn the_view_is_what_overlayfs_shows() {
        let layers = Layers::new();
        let whiteout = |path: &str| {
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, layers.path(path), kind, Mode::empty(), 0)
        };
        for (path, content) in [
            ("low/etc/a", "low"),
            ("low/etc/gone", "low"),
            ("low/etc/back", "low"),
            ("low/d/hidden", "low"),
            ("low/d/sub/deep", "low"),
            ("low/f/x", "low"),
            ("middle/etc/back", "middle"),
            ("middle/d/shown", "middle"),
            ("middle/f", "a file"),
            ("top/etc/a", "top"),
            ("top/d/sub/above", "top"),
            ("top/f/y", "top"),
        ] {
            fs::create_dir_all(layers.path(path).parent().unwrap()).unwrap();
            fs::write(layers.path(path), content).unwrap();
        }
        symlink("/etc/back", layers.path("top/link")).unwrap();
        symlink("d/sub", layers.path("middle/through")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(layers.path("middle/d"), OPAQUE, b"y", flags).unwrap();
        if let Err(errno) = whiteout("top/etc/gone").and_then(|()| whiteout("middle/etc/back2")) {
            println!("skipped: whiteouts cannot be made here: {errno}");
            return;
        }
        let Some(merged) = mounted(&layers) else {
            return;
        };
        let view = ["top", "middle", "low"].map(|layer| layers.path(layer));
        let view = LayerView::open(view).unwrap();
        for path in [
            "etc/a",
            "etc/gone",
            "etc/back",
            "etc/back2",
            "d/hidden",
            "d/shown",
            "d/sub/deep",
            "d/sub/above",
            "f/x",
            "f/y",
            "through/deep",
            "through/above",
            "etc/a/b",
            "none",
        ] {
            let expected = fs::read(merged.join(path)).ok();
            assert_eq!(view.read_file(path, 100).unwrap(), expected, "{path}");
        }
        // Outside of a chroot, only the view takes an absolute link for one of its own.
        let linked = view.read_file("link", 100).unwrap();
        assert_eq!(linked, fs::read(merged.join("etc/back")).ok());
        rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}
