//! Roots where the kernel cannot mount the layers on each other: by `fuse-overlayfs`, or copied.
//!
//! The kernel refuses file systems that overlay cannot write to (NFS, FUSE, overlay on overlay), and
//! kernels before 5.11 refuse it to everybody but root. That is found out by its answer, so that the
//! usual way costs nothing.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use carrier_runtime::{IdMaps, MountedRoot, Overlay, RootSource};
use carrier_store::{COPIED, copy_layer};
use carrier_sys::process::{Child, Namespaces};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;

use crate::error::Error;
use crate::helper;
use crate::system::in_namespace;
use crate::unpacker::spawn;

const PROGRAM: &str = "fuse-overlayfs";

/// How long the program may take to mount something.
const PATIENCE: Duration = Duration::from_secs(10);

/// A root that `fuse-overlayfs` serves. Dropped, the process and with it the mount are gone; they do
/// not outlive this process either.
#[derive(Debug)]
pub(crate) struct FuseMount {
    child: Child,
    path: PathBuf,
}

impl FuseMount {
    /// Mounts the layers at `path` in a user and a mount namespace of their own.
    ///
    /// # Errors
    /// Why not, in words: the program is missing or has failed.
    pub(crate) fn start(maps: &IdMaps, overlay: &Overlay, path: PathBuf) -> Result<Self, String> {
        let program = helper::find(PROGRAM)?;
        let said = memfd_create("fuse-overlayfs", MemfdFlags::CLOEXEC).map(File::from);
        let said = said.map_err(|errno| errno.to_string())?;
        let namespaces = Namespaces::USER | Namespaces::MOUNT;
        let child = spawn(maps, namespaces, |_token| {
            let error = execute(&program, overlay, &path, &said);
            // Whoever waits for the mount reads that instead.
            let _ = io::Write::write_all(&mut &said, error.to_string().as_bytes());
            1
        });
        let child = child.map_err(|error| error.to_string())?;
        let mount = Self { child, path };
        mount.await_mount(said)?;
        Ok(mount)
    }

    /// The process that serves the mount.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What the container's root is.
    pub(crate) fn root(&self) -> RootSource {
        RootSource::Mounted(MountedRoot {
            pid: self.child.pid(),
            path: self.path.clone(),
        })
    }

    fn await_mount(&self, mut said: File) -> Result<(), String> {
        let proc = PathBuf::from(format!("/proc/{}", self.child.pid()));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mounts = fs::read_to_string(proc.join("mountinfo")).unwrap_or_default();
            if mounts
                .lines()
                .any(|line| line.contains(" - fuse.fuse-overlayfs "))
            {
                return Ok(());
            }
            let status = fs::read_to_string(proc.join("stat")).unwrap_or_default();
            let state = status.rsplit(") ").next().unwrap_or_default();
            if state.is_empty() || state.starts_with('Z') {
                let mut text = String::new();
                // What cannot be read was not said.
                let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
                let last = text.lines().last().unwrap_or("it gave no reason");
                return Err(format!("{PROGRAM}: {last}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!(
            "{PROGRAM} mounted nothing in {} s",
            PATIENCE.as_secs()
        ))
    }
}

/// Becomes the program; returns only when that fails.
fn execute(program: &Path, overlay: &Overlay, path: &Path, said: &File) -> io::Error {
    let prepare = || -> io::Result<Command> {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", propagation)?;
        rustix::process::setsid()?;
        // Directories are named by descriptor: no path needs to be escaped, and any number fits.
        let name = |handle: &OwnedFd| -> io::Result<String> {
            rustix::io::fcntl_setfd(handle, rustix::io::FdFlags::empty())?;
            Ok(format!("/proc/self/fd/{}", handle.as_raw_fd()))
        };
        let lower = overlay.layers.iter().map(|layer| name(&layer.handle));
        let lower: Vec<String> = lower.collect::<io::Result<_>>()?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            name(&overlay.upper.handle)?,
            name(&overlay.work.handle)?
        );
        let mut command = Command::new(program);
        command
            .env_clear()
            .args(["-f", "-o", &options])
            .arg(path)
            .stdin(File::open("/dev/null")?)
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?);
        Ok(command)
    };
    match prepare() {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

/// The kernel's answer without its number, which tells users nothing.
pub(crate) fn words(errno: Errno) -> String {
    let text = errno.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Copies the layers into the container's own directory; returns how many bytes that were.
///
/// # Errors
/// [`Error::CopyRoot`].
pub(crate) fn copy_layers(maps: &IdMaps, overlay: &Overlay) -> Result<u64, Error> {
    let copied: Result<u64, String> = in_namespace(maps, || {
        let target = overlay.upper.handle.as_fd();
        let layers = overlay.layers.iter().rev();
        let bytes = layers.map(|layer| copy_layer(layer.handle.as_fd(), target));
        bytes
            .sum::<io::Result<u64>>()
            .map_err(|error| error.to_string())
    })?;
    let bytes = copied.map_err(Error::CopyRoot)?;
    // Beside the directory: from now on, that alone is the container's root.
    let mark = overlay.upper.path.with_file_name(COPIED);
    match fs::write(&mark, "") {
        Ok(()) => Ok(bytes),
        Err(source) => Err(Error::Write { path: mark, source }),
    }
}
