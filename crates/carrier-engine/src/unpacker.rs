//! Work in the caller's user namespace: unpacking layers, and deleting files of other ids.
//!
//! Layers come from strangers, and are unpacked by processes that have no network, no credentials
//! and no terminal: one that is cloned before credentials are read and the first byte comes in, and a
//! child of it for each layer, confined to the directory of the layer. They learn what to do over a
//! socket, and delete what they made when nobody tells them to keep it, so that a pull that is killed
//! leaves nothing.

mod confinement;
mod protocol;
mod worker;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use carrier_runtime::IdMaps;
use carrier_spec::Compression;
use carrier_store::{Store, UnpackOptions};
use carrier_sys::process::{
    Child, ChildToken, ExitStatus, Namespaces, SingleThreaded, clone_into, die_with,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::Error;

use confinement::Confinement;
use worker::{Work, Worker};

/// Bytes that wait for a process that unpacks: what a user may ask for, pipe(7).
const PIPE: usize = 1 << 20;

/// The process that unpacks layers; it ends when this is dropped and its layers are done.
#[derive(Debug)]
pub struct Unpacker {
    /// Closed first: the end of file ends the process.
    jobs: Option<OwnedFd>,
    process: Option<Child>,
}

/// Where one layer goes in, and what becomes of it comes out.
#[derive(Debug)]
pub struct LayerChannel {
    /// The write end of a pipe for the compressed layer.
    pub input: OwnedFd,
    /// A socket: one line of JSON, a `carrier_store::UnpackReport`, comes; a byte `k` goes back when
    /// the layer is to be kept.
    pub control: OwnedFd,
}

impl Unpacker {
    /// Starts the process. To be called before the program has threads, or credentials in memory.
    ///
    /// # Errors
    /// When namespaces or ids cannot be had.
    pub fn start(maps: &IdMaps) -> Result<Self, Error> {
        Self::start_worker(maps, worker::unpack_layer, worker::LAST_WORDS)
    }

    /// [`Self::start`], with something else to do for the confined processes, and a time for them to
    /// end when the program has: for tests of what they may do.
    ///
    /// # Errors
    /// As [`Self::start`].
    #[cfg(feature = "other-work")]
    pub fn start_with(maps: &IdMaps, work: Work, last_words: Duration) -> Result<Self, Error> {
        Self::start_worker(maps, work, last_words)
    }

    fn start_worker(maps: &IdMaps, work: Work, last_words: Duration) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Unpacker {
            action: "start",
            source,
        };
        let options = UnpackOptions::default();
        let confinement = Confinement::new(options.limits.bytes)
            .map_err(|error| failed(io::Error::other(error)))?;
        let worker = Worker {
            confinement,
            options,
            work,
            last_words,
        };
        let flags = SocketFlags::CLOEXEC;
        let (jobs, served) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|errno| failed(errno.into()))?;
        let namespaces = Namespaces::USER
            | Namespaces::MOUNT
            | Namespaces::NETWORK
            | Namespaces::IPC
            | Namespaces::PID;
        let mut jobs = Some(jobs);
        let process = clone_mapped(maps, namespaces, |token| {
            // The child's copy of the parent's end would keep it from ever seeing the end of file.
            drop(jobs.take());
            worker::serve(&served, &worker, &token)
        })?;
        Ok(Self {
            jobs,
            process: Some(process),
        })
    }

    /// Starts unpacking a layer into `directory`.
    ///
    /// # Errors
    /// When the process is gone, or descriptors are used up.
    pub fn begin(
        &self,
        directory: BorrowedFd<'_>,
        compression: Compression,
    ) -> io::Result<LayerChannel> {
        let (source, input) = pipe_with(PipeFlags::CLOEXEC)?;
        // Both sides sleep less often. Who may have no larger pipe does with what it has.
        let _ = rustix::pipe::fcntl_setpipe_size(&input, PIPE);
        let control = self.begin_from(directory, compression, source.as_fd())?;
        Ok(LayerChannel { input, control })
    }

    /// Starts unpacking a layer, which is what can be read from `source`, into `directory`. Returns the
    /// socket of a [`LayerChannel`].
    ///
    /// # Errors
    /// When the process is gone, or descriptors are used up.
    pub(crate) fn begin_from(
        &self,
        directory: BorrowedFd<'_>,
        compression: Compression,
        source: BorrowedFd<'_>,
    ) -> io::Result<OwnedFd> {
        let jobs = self.jobs.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let (control, reports) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let descriptors = [directory, source, reports.as_fd()];
        protocol::send(jobs.as_fd(), compression, &descriptors)?;
        Ok(control)
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(process) = self.process.take() {
            // It has deleted what nobody wanted by then.
            let _ = process.wait();
        }
    }
}

/// Sweeps the staging directory as root of the user namespace, whose ids the files there have.
pub(crate) fn sweep_in_namespace(store: &Store, maps: &IdMaps) -> Result<(), Error> {
    let child = spawn(maps, Namespaces::USER, |_token| {
        u8::from(store.sweep().is_err())
    })?;
    let failed = |source| Error::Unpacker {
        action: "wait for",
        source,
    };
    match child.wait().map_err(failed)? {
        ExitStatus::Exited(0) => Ok(()),
        _ => Err(failed(io::Error::other(
            "files of other ids could not be deleted",
        ))),
    }
}

/// Runs `work` as root of a user namespace with the caller's ids, until the caller ends.
pub(crate) fn spawn(
    maps: &IdMaps,
    namespaces: Namespaces,
    work: impl FnOnce(ChildToken) -> u8,
) -> Result<Child, Error> {
    let caller = rustix::process::getpid();
    clone_mapped(maps, namespaces, |token| match die_with(caller) {
        Ok(()) => work(token),
        Err(_) => 1,
    })
}

/// The same, for work that ends by itself.
fn clone_mapped(
    maps: &IdMaps,
    namespaces: Namespaces,
    work: impl FnOnce(ChildToken) -> u8,
) -> Result<Child, Error> {
    let failed = |source| Error::Unpacker {
        action: "start",
        source,
    };
    let single = SingleThreaded::check().map_err(failed)?;
    let (gate, opener) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut opener = Some(opener);
    let child = clone_into(namespaces, &single, |token| {
        drop(opener.take());
        let mut byte = [0];
        // Nobody opened the gate: the parent could not write the maps, and has told why.
        match rustix::io::read(&gate, &mut byte) {
            Ok(1) => work(token),
            _ => 1,
        }
    })
    .map_err(carrier_runtime::Error::Clone)?;
    maps.write(child.pid())
        .map_err(carrier_runtime::Error::from)?;
    if let Some(opener) = opener {
        rustix::io::write(&opener, b"g").map_err(|errno| failed(errno.into()))?;
    }
    Ok(child)
}
