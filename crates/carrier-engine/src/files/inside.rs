//! A process that sees the files of a container: as the container does where it runs, with all that
//! is mounted into it, else its layers.
//!
//! It executes nothing of the container's, cannot be traced from there, and opens the container's
//! tree by the descriptor of its root alone (threat F-12).

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carrier_runtime::state::ProcessIdentity;
use carrier_sys::process::{Child, ExitStatus, Namespaces, SingleThreaded, clone_into, die_with};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, OpenTreeFlags, mount};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::DumpableBehavior;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::mounted::Part;
use crate::engine::Engine;
use crate::error::Error;
use crate::fallback::FuseMount;
use crate::record::ContainerRecord;
use crate::unpacker;

/// What a process says about its failure is short.
const MAX_REASON: u64 = 4096;

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(10);

const READY: u8 = b'r';

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// What is seen of the files, and what may be done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// What the container sees, for reading.
    Read,
    /// What the container sees, for writing.
    Write,
    /// What the container and its image consist of, without what is mounted into it.
    Bare,
}

/// A process that works on a container's files. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Inside {
    process: Child,
    /// What serves the files, if it is not the kernel.
    _mount: Option<FuseMount>,
    /// Nobody starts the container meanwhile.
    _lock: Option<File>,
}

impl Inside {
    /// Waits for the end; whether all went well.
    pub(super) fn wait(self) -> io::Result<bool> {
        Ok(self.process.wait()? == ExitStatus::Exited(0))
    }
}

enum Hold {
    Running(ProcessIdentity),
    Stopped(Option<File>),
}

/// What the root of a container that does not run is made of.
struct Layers {
    /// The topmost first.
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
    view: View,
    /// The kernel would take its marks for files.
    is_served: bool,
    /// What is mounted in it.
    parts: Vec<Part>,
}

impl Engine {
    /// Has `work` done by a process that is root among the ids of the container, and is given the
    /// container's root.
    pub(super) fn inside(
        &self,
        record: &ContainerRecord,
        view: View,
        work: impl FnOnce(BorrowedFd<'_>) -> u8,
    ) -> Result<Inside, Error> {
        let failed = |reason: String| Error::Files {
            container: record.name.to_string(),
            reason,
        };
        let mut work = Some(work);
        let lock = match self.hold(record, view)? {
            Hold::Stopped(lock) => lock,
            Hold::Running(process) => {
                let namespaces =
                    namespaces_of(&process).map_err(|error| failed(error.to_string()))?;
                let started = start_in(&mut work, &namespaces, |root| match view {
                    View::Bare => without_mounts(&root),
                    _ => Ok(root),
                })?;
                return Ok(Inside {
                    process: started.map_err(failed)?,
                    _mount: None,
                    _lock: None,
                });
            }
        };
        let layers = self.layers(record, view)?;
        let namespaces = Namespaces::USER | Namespaces::MOUNT | Namespaces::NETWORK;
        let started = start(&mut work, |enter| {
            unpacker::spawn(&self.maps_of(record), namespaces, |_token| {
                enter(layers.root())
            })
        })?;
        let refused = match started {
            Err(reason) => reason,
            Ok(process) => {
                return Ok(Inside {
                    process,
                    _mount: None,
                    _lock: lock,
                });
            }
        };
        // As when it runs: where the kernel cannot mount the layers on each other.
        let container = self.store.container(&record.id);
        let overlay = self.overlay(record, &container)?;
        let place = container.make_merged()?;
        let mount = FuseMount::start(&self.ids_of(record)?, &overlay, place.clone());
        let mount = mount.map_err(|reason| failed(format!("{refused}; {reason}")))?;
        let server = ProcessIdentity::of(mount.pid()).map_err(|e| failed(e.to_string()))?;
        let namespaces = namespaces_of(&server).map_err(|error| failed(error.to_string()))?;
        let started = start_in(&mut work, &namespaces, |_root| open(&place))?;
        Ok(Inside {
            process: started.map_err(failed)?,
            _mount: Some(mount),
            _lock: lock,
        })
    }

    /// What `look` finds, by a process that sees the files as the container does.
    pub(crate) fn look_inside<T: Serialize + DeserializeOwned>(
        &self,
        record: &ContainerRecord,
        look: impl FnOnce(BorrowedFd<'_>) -> T,
    ) -> Result<T, Error> {
        let failed = |error: io::Error| Error::Files {
            container: record.name.to_string(),
            reason: error.to_string(),
        };
        let (heard, told) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let told = File::from(told);
        let process = self.inside(record, View::Read, |root| {
            let found = serde_json::to_vec(&look(root)).map_err(io::Error::from);
            u8::from(found.and_then(|bytes| (&told).write_all(&bytes)).is_err())
        })?;
        drop(told);
        let mut found = Vec::new();
        let read = File::from(heard).read_to_end(&mut found);
        read.and_then(|_| process.wait()).map_err(failed)?;
        serde_json::from_slice(&found).map_err(|error| failed(error.into()))
    }

    /// Finds out where the files are, and keeps a container that is to be changed from being started.
    fn hold(&self, record: &ContainerRecord, view: View) -> Result<Hold, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(process) = self.live_process(&record.id)? {
                return Ok(Hold::Running(process));
            }
            // Who serves the layers writes to them.
            if view != View::Write && !self.store.container(&record.id).is_served() {
                return Ok(Hold::Stopped(None));
            }
            if let Some(lock) = self.store.container(&record.id).try_lock()? {
                return Ok(Hold::Stopped(Some(lock)));
            }
            // It is just being started, or has just ended.
            if deadline <= Instant::now() {
                return Err(Error::Files {
                    container: record.name.to_string(),
                    reason: "it is being started or removed".to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn layers(&self, record: &ContainerRecord, view: View) -> Result<Layers, Error> {
        let container = self.store.container(&record.id);
        let mut lower = Vec::new();
        for id in record.layers.iter().rev() {
            if !self.store.has_layer(id) {
                return Err(Error::LayerMissing(id.clone()));
            }
            lower.push(self.store.layer_dir(id));
        }
        if container.is_copied() {
            lower.clear();
        }
        Ok(Layers {
            lower,
            upper: container.upper(),
            work: container.work(),
            view,
            is_served: container.is_served(),
            parts: match view {
                View::Bare => Vec::new(),
                View::Read | View::Write => self.parts(record)?,
            },
        })
    }
}

/// [`start`] in namespaces that exist; `choose` finds the root there.
fn start_in<W: FnOnce(BorrowedFd<'_>) -> u8>(
    work: &mut Option<W>,
    namespaces: &[(LinkNameSpaceType, OwnedFd)],
    choose: impl FnOnce(OwnedFd) -> io::Result<OwnedFd>,
) -> Result<Result<Child, String>, Error> {
    start(work, |enter| {
        let single = SingleThreaded::check().map_err(carrier_runtime::Error::Prepare)?;
        let caller = rustix::process::getpid();
        let child = clone_into(Namespaces::empty(), &single, |_token| {
            let root = join(namespaces).and_then(choose);
            enter(die_with(caller).and(root))
        });
        child.map_err(|error| carrier_runtime::Error::Clone(error).into())
    })
}

/// Starts a process by `spawn`, in which `work` is done once there is a root for it; the reason why
/// there is none, else. Then the work is still there, for another try: what a child takes, it takes from
/// its own copy.
fn start<W: FnOnce(BorrowedFd<'_>) -> u8>(
    work: &mut Option<W>,
    spawn: impl FnOnce(&mut dyn FnMut(io::Result<OwnedFd>) -> u8) -> Result<Child, Error>,
) -> Result<Result<Child, String>, Error> {
    let pipe = pipe_with(PipeFlags::CLOEXEC);
    let (heard, told) = pipe.map_err(|errno| Error::Terminal {
        action: "make a pipe",
        source: errno.into(),
    })?;
    let mut told = Some(File::from(told));
    let process = spawn(&mut |root| {
        let (Some(mut told), Some(work)) = (told.take(), work.take()) else {
            return 1;
        };
        match root {
            Ok(root) if told.write_all(&[READY]).is_ok() => {
                drop(told);
                work(root.as_fd())
            }
            Ok(_) => 1,
            Err(error) => {
                // The end of file says that something failed, at least.
                let _ = told.write_all(error.to_string().as_bytes());
                1
            }
        }
    })?;
    drop(told);
    let mut heard = File::from(heard).take(MAX_REASON);
    let mut first = [0];
    if matches!(heard.read(&mut first), Ok(1)) && first == [READY] {
        return Ok(Ok(process));
    }
    let mut reason = first.to_vec();
    // A process that says nothing has died.
    let _ = heard.read_to_end(&mut reason);
    let reason = String::from_utf8_lossy(&reason).replace('\0', "");
    Ok(Err(match reason.as_str() {
        "" => "the process that reads its files has died".to_owned(),
        _ => reason,
    }))
}

/// The namespaces that the files of a process are seen in.
fn namespaces_of(process: &ProcessIdentity) -> io::Result<Vec<(LinkNameSpaceType, OwnedFd)>> {
    let mut found = Vec::new();
    for (name, kind) in [
        ("user", LinkNameSpaceType::User),
        ("mnt", LinkNameSpaceType::Mount),
    ] {
        let path = format!("/proc/{}/ns/{name}", process.pid);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(path, flags, Mode::empty())?;
        let own = rustix::fs::stat(format!("/proc/self/ns/{name}"))?;
        if rustix::fs::fstat(&theirs)?.st_ino != own.st_ino {
            found.push((kind, theirs));
        }
    }
    // Whoever has the number now is the one whose namespaces were just opened.
    match process.is_alive() {
        true => Ok(found),
        false => Err(io::Error::other("it has just ended")),
    }
}

/// Goes to where the container's files are; returns the root there.
fn join(namespaces: &[(LinkNameSpaceType, OwnedFd)]) -> io::Result<OwnedFd> {
    hide()?;
    for (kind, namespace) in namespaces {
        move_into_link_name_space(namespace.as_fd(), Some(*kind))?;
    }
    // Joining a user namespace has made the process traceable again.
    hide()?;
    open(Path::new("/"))
}

/// The tree alone, also where something is mounted on a part of it.
fn without_mounts(root: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(root, c"", flags)?;
    Ok(rustix::fs::openat(&tree, c".", DIRECTORY, Mode::empty())?)
}

/// Files are made with the modes that they are to have.
fn hide() -> io::Result<()> {
    rustix::process::umask(Mode::empty());
    Ok(rustix::process::set_dumpable_behavior(
        DumpableBehavior::NotDumpable,
    )?)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

impl Layers {
    /// Mounts the layers on each other, in this process's own mount namespace.
    fn root(&self) -> io::Result<OwnedFd> {
        hide()?;
        if self.is_served {
            return Err(io::Error::other("the kernel cannot mount its layers"));
        }
        if self.lower.is_empty() {
            // Overlay wants two directories.
            return self.furnished(open(&self.upper)?);
        }
        let handle = |path: &PathBuf| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())
        };
        let upper = handle(&self.upper)?;
        let lower = self.lower.iter().map(handle);
        let lower: Vec<OwnedFd> = lower.collect::<Result<_, _>>()?;
        // By descriptor: no path needs to be escaped, and any number fits into mount(2)'s page.
        let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        let mut names: Vec<String> = lower.iter().map(name).collect();
        let work = handle(&self.work)?;
        let (options, flags) = match self.view {
            View::Read | View::Bare => {
                names.insert(0, name(&upper));
                (String::new(), MountFlags::RDONLY)
            }
            View::Write => {
                let places = format!("upperdir={},workdir={},", name(&upper), name(&work));
                (places, MountFlags::empty())
            }
        };
        let options = format!("{options}lowerdir={},userxattr", names.join(":"));
        let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
        mount("overlay", &self.upper, "overlay", flags, &*options).map_err(|errno| {
            io::Error::other(format!(
                "its layers cannot be mounted: {}",
                io::Error::from(errno)
            ))
        })?;
        self.furnished(open(&self.upper)?)
    }

    /// The root with what is mounted in it.
    fn furnished(&self, root: OwnedFd) -> io::Result<OwnedFd> {
        for part in &self.parts {
            part.mount(&root, self.view == View::Write)?;
        }
        Ok(root)
    }
}
