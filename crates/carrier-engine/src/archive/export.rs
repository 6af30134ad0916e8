//! A container's files as an archive.
//!
//! They are read by root of the container's user namespace, so that owners are those that the
//! container sees, from the same layers that the container has for its root: whatever is mounted into it
//! is not among them. A container that runs may change its files meanwhile; nothing that it does leads
//! the reader elsewhere, or makes it wait.

mod tree;

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use carrier_sys::process::{ExitStatus, Namespaces};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, mount};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::unpacker;

/// What the reading process says is short.
const MAX_REPORT: u64 = 64 * 1024;
const BUFFER: usize = 256 * 1024;

impl Engine {
    /// Writes the files of the container that `word` names, running or not, as a tar archive.
    /// Returns the names of files that changed while they were read.
    ///
    /// # Errors
    /// When there is no such container, or its files cannot be read, or `output` cannot be written.
    pub fn export(&self, word: &str, output: BorrowedFd<'_>) -> Result<Vec<String>, Error> {
        let record = self.find_container(word)?;
        let record = record.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        let directories = self.directories(&record)?;
        let failed = |reason: String| Error::Export {
            container: word.to_owned(),
            reason,
        };
        let (report, told) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.to_string()))?;
        let namespaces = Namespaces::USER | Namespaces::MOUNT | Namespaces::NETWORK;
        let mut told = Some(told);
        let child = unpacker::spawn(&self.host.maps, namespaces, |_token| {
            let Some(told) = told.take() else { return 1 };
            tell(told, archive(&directories, output))
        })?;
        drop(told);
        let mut text = String::new();
        let read = File::from(report)
            .take(MAX_REPORT)
            .read_to_string(&mut text);
        read.map_err(|error| failed(error.to_string()))?;
        match child.wait() {
            Ok(ExitStatus::Exited(0)) => Ok(text.lines().map(str::to_owned).collect()),
            _ if text.is_empty() => Err(failed("the process that reads it has died".to_owned())),
            _ => Err(failed(text)),
        }
    }

    /// What the container's root is made of, the topmost first.
    fn directories(&self, record: &ContainerRecord) -> Result<Vec<PathBuf>, Error> {
        let mut directories = vec![self.store.container(&record.id).upper()];
        for id in record.layers.iter().rev() {
            if !self.store.has_layer(id) {
                return Err(Error::LayerMissing(id.clone()));
            }
            directories.push(self.store.layer_dir(id));
        }
        Ok(directories)
    }
}

/// Tells the parent what went wrong, or which files changed.
fn tell(told: OwnedFd, result: io::Result<Vec<String>>) -> u8 {
    let (text, code) = match result {
        Ok(changed) => (changed.join("\n"), 0),
        Err(error) => (error.to_string(), 1),
    };
    // A parent that is gone needs to know nothing.
    let _ = File::from(told).write_all(text.as_bytes());
    code
}

fn archive(directories: &[PathBuf], output: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let root = merged(directories)?;
    let output = BufWriter::with_capacity(BUFFER, File::from(output.try_clone_to_owned()?));
    tree::write(root, output)
}

/// Mounts the directories on each other, read-only, in this process's own mount namespace.
fn merged(directories: &[PathBuf]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &PathBuf| rustix::fs::open(path, flags, Mode::empty());
    let opened: Vec<OwnedFd> = directories.iter().map(open).collect::<Result<_, _>>()?;
    let Some(target) = directories.first() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if opened.len() == 1 {
        // An image without layers; overlay wants two directories.
        return Ok(rustix::fs::open(target, flags, Mode::empty())?);
    }
    // By descriptor: no path needs to be escaped, and any number fits into mount(2)'s page.
    let lower = opened
        .iter()
        .map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let options = format!("lowerdir={},userxattr", lower.collect::<Vec<_>>().join(":"));
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    let failed = |errno: rustix::io::Errno| {
        io::Error::other(format!(
            "its layers cannot be mounted: {}",
            io::Error::from(errno)
        ))
    };
    mount("overlay", target, "overlay", MountFlags::RDONLY, &*options).map_err(failed)?;
    Ok(rustix::fs::open(target, flags, Mode::empty())?)
}
