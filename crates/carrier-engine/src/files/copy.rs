//! `cp`: from a container and into one.
//!
//! One process reads a tree and writes an archive, another reads the archive and makes a tree; of the
//! two, the one that is among the container's files knows nothing of the host's. What is copied where is
//! decided by Docker's rules, in [`placement`].

mod report;
mod stream;

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use carrier_store::{Destination, Owner, PutOptions, PutSummary, RootName, put};
use carrier_sys::process::{ExitStatus, Namespaces};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::inside::{Inside, View};
use super::pack::Packer;
use super::path::TypedPath;
use super::resolve::{Source, Target, Tree};
use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::unpacker;

pub use report::CopyError;
use report::{Report, Reports};
use stream::Counted;

/// What the archive between two processes calls what is copied, whatever its name.
const COPIED: &[u8] = b"copied";

const BUFFER: usize = 256 * 1024;

/// How something is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Users and groups are kept.
    pub archive: bool,
    /// A link that is copied stands for what it leads to.
    pub follow: bool,
}

/// What is copied on the side of the host.
#[derive(Clone, Copy, Debug)]
pub enum HostEnd<'a> {
    /// A file or directory.
    Path(&'a str),
    /// An archive.
    Stream(BorrowedFd<'a>),
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the archive.
    pub bytes: u64,
    /// Files that changed while they were read.
    pub changed: Vec<String>,
    /// Device nodes, which were left out.
    pub skipped_devices: u64,
}

impl Engine {
    /// Copies `path` of a container to the host.
    ///
    /// # Errors
    /// When either does not exist or cannot be read or written.
    pub fn copy_out(
        &self,
        container: &str,
        path: &str,
        to: HostEnd<'_>,
        options: CopyOptions,
    ) -> Result<Copied, Error> {
        let record = self.container_to_copy(container)?;
        let what = FromContainer {
            typed: TypedPath::new(path.as_bytes()),
            follow: options.follow,
            shown: (container, path),
        };
        match to {
            HostEnd::Stream(output) => self.pack_to(output, &record, &what),
            HostEnd::Path(to) => self.fetch(to, &record, &what, options),
        }
    }

    /// Writes an archive of the container's files for the user.
    fn pack_to(
        &self,
        output: BorrowedFd<'_>,
        record: &ContainerRecord,
        what: &FromContainer<'_>,
    ) -> Result<Copied, Error> {
        let (reports, reporter) = report::channel().map_err(piped)?;
        let mut reporter = Some(reporter);
        let name = archived_name(&what.typed);
        let inside = self.inside(record, View::Read, |root| {
            let Some(mut reporter) = reporter.take() else {
                return 1;
            };
            let work = || -> Result<_, CopyError> {
                let source = what.find(root)?;
                let output = File::from(output.try_clone_to_owned()?);
                let output = BufWriter::with_capacity(BUFFER, output);
                Ok(pack(source, &name, Packer::new(output))?)
            };
            reporter.end(work().map(Report::packed))
        })?;
        drop(reporter);
        finish(inside, reports, 0)
    }

    /// Brings the container's files to a place of the host.
    fn fetch(
        &self,
        to: &str,
        record: &ContainerRecord,
        what: &FromContainer<'_>,
        options: CopyOptions,
    ) -> Result<Copied, Error> {
        let (mut reports, reporter) = report::channel().map_err(piped)?;
        let target = host_target(to)?;
        let (input, output) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| piped(errno.into()))?;
        let mut ends = Some((output, reporter));
        let inside = self.inside(record, View::Read, |root| {
            let Some((output, mut reporter)) = ends.take() else {
                return 1;
            };
            let work = || -> Result<_, CopyError> {
                let source = what.find(root)?;
                reporter.begin(matches!(source, Source::Directory(_)))?;
                let output = BufWriter::with_capacity(BUFFER, File::from(output));
                Ok(pack(source, COPIED, Packer::new(output).keeping_holes())?)
            };
            let outcome = work().map(Report::packed);
            reporter.end(outcome)
        })?;
        drop(ends);
        let is_directory = reports.begun()?;
        let asserted = TypedPath::new(to.as_bytes()).directory;
        let placed = placement(&target, is_directory, what.typed.archived_name(), asserted)?;
        let (bytes, summary) = self.receive(input, &target, placed, options)?;
        let copied = finish(inside, reports, bytes)?;
        Ok(Copied {
            skipped_devices: summary.skipped_devices,
            ..copied
        })
    }

    /// Copies something of the host to `path` of a container.
    ///
    /// # Errors
    /// When either does not exist or cannot be read or written.
    pub fn copy_in(
        &self,
        from: HostEnd<'_>,
        container: &str,
        path: &str,
        options: CopyOptions,
    ) -> Result<Copied, Error> {
        let record = self.container_to_copy(container)?;
        let typed = TypedPath::new(path.as_bytes());
        match from {
            HostEnd::Stream(input) => self.unpack_into(input, &record, &typed, path),
            HostEnd::Path(from) => {
                let from = from_host(from, options.follow)?;
                self.send(from, &record, &typed, options)
            }
        }
    }

    fn container_to_copy(&self, word: &str) -> Result<ContainerRecord, Error> {
        let record = self.find_container(word)?;
        record.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))
    }

    /// Puts an archive of the container's files where they belong on the host.
    fn receive(
        &self,
        input: OwnedFd,
        target: &Target,
        placed: Vec<u8>,
        options: CopyOptions,
    ) -> Result<(u64, PutSummary), Error> {
        let directory = match target {
            Target::Directory { handle, .. } => handle,
            Target::Name { parent, .. } => parent,
        };
        let owner = match options.archive {
            true => Owner::AsTold,
            false => Owner::Caller,
        };
        let options = PutOptions {
            owner,
            rename: Some(renamed(placed)),
        };
        let work = || {
            let mut input = Counted::new(File::from(input));
            let destination = Destination::Directory(directory.as_fd());
            let summary = put(&mut input, &destination, &options);
            summary.map(|summary| (input.count(), summary))
        };
        if owner == Owner::Caller {
            return work().map_err(|error| CopyError::put(&error).into());
        }
        // Only root of the caller's ids can give files to the others.
        let (mut reports, reporter) = report::channel().map_err(piped)?;
        let mut ends = Some((reporter, work));
        let child = unpacker::spawn(self.host.own_ids()?, Namespaces::USER, |_token| {
            let Some((mut reporter, work)) = ends.take() else {
                return 1;
            };
            let outcome = work().map_err(|error| CopyError::put(&error));
            reporter.end(outcome.map(|(bytes, summary)| Report::put(bytes, summary)))
        })?;
        drop(ends);
        let report = reports.ended();
        let status = child.wait().map_err(piped)?;
        let report = report?;
        if status != ExitStatus::Exited(0) {
            return Err(CopyError::died().into());
        }
        let summary = PutSummary {
            entries: 0,
            skipped_devices: report.skipped_devices,
        };
        Ok((report.bytes, summary))
    }

    /// Sends what was found on the host to a process that puts it into the container.
    fn send(
        &self,
        from: FromHost,
        record: &ContainerRecord,
        typed: &TypedPath,
        options: CopyOptions,
    ) -> Result<Copied, Error> {
        let (reports, reporter) = report::channel().map_err(piped)?;
        let (input, output) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| piped(errno.into()))?;
        let mut ends = Some((input, output, reporter));
        let is_directory = matches!(from.source, Source::Directory(_));
        let name = record.name.to_string();
        let inside = self.inside(record, View::Write, |root| {
            let Some((input, output, mut reporter)) = ends.take() else {
                return 1;
            };
            drop(output);
            let work = || {
                let target = Tree::inside(root).target(typed);
                let target = target.map_err(|errno| CopyError::target(errno, typed, &name))?;
                let placed = placement(&target, is_directory, &from.name, typed.directory)?;
                let options = PutOptions {
                    owner: match options.archive {
                        true => Owner::AsTold,
                        false => Owner::Fixed(0, 0),
                    },
                    rename: Some(renamed(placed)),
                };
                put_inside(File::from(input), root, &target, &options)
            };
            reporter.end(work())
        })?;
        let Some((input, output, reporter)) = ends.take() else {
            return Err(CopyError::died().into());
        };
        drop((input, reporter));
        let mut output = Counted::new(File::from(output));
        let packer = Packer::new(BufWriter::with_capacity(BUFFER, &mut output)).keeping_holes();
        let packed = pack(from.source, COPIED, packer);
        let bytes = output.count();
        drop(output);
        // Whoever reads no more has said why.
        let copied = finish(inside, reports, bytes);
        let changed = match packed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(copied
                    .err()
                    .unwrap_or_else(|| CopyError::failed(&error).into()));
            }
            other => other.unwrap_or_default(),
        };
        Ok(Copied { changed, ..copied? })
    }

    /// Has an archive of the caller's put into a directory of the container.
    fn unpack_into(
        &self,
        input: BorrowedFd<'_>,
        record: &ContainerRecord,
        typed: &TypedPath,
        path: &str,
    ) -> Result<Copied, Error> {
        let (reports, reporter) = report::channel().map_err(piped)?;
        let mut reporter = Some(reporter);
        let name = record.name.to_string();
        let inside = self.inside(record, View::Write, |root| {
            let Some(mut reporter) = reporter.take() else {
                return 1;
            };
            let work = || {
                let target = Tree::inside(root).target(typed);
                let target = target.map_err(|errno| CopyError::target(errno, typed, &name))?;
                if !matches!(target, Target::Directory { .. }) {
                    return Err(CopyError::not_a_directory(path, &name));
                }
                let input = File::from(input.try_clone_to_owned()?);
                let options = PutOptions {
                    owner: Owner::AsTold,
                    rename: None,
                };
                put_inside(input, root, &target, &options)
            };
            reporter.end(work())
        })?;
        drop(reporter);
        finish(inside, reports, 0)
    }
}

/// What is copied of a container.
struct FromContainer<'a> {
    typed: TypedPath,
    follow: bool,
    /// The container and the path, as the user named them.
    shown: (&'a str, &'a str),
}

impl FromContainer<'_> {
    fn find(&self, root: BorrowedFd<'_>) -> Result<Source, CopyError> {
        let found = Tree::inside(root).source(&self.typed, self.follow);
        let (container, path) = self.shown;
        found.map_err(|errno| CopyError::source(errno, path, container))
    }
}

/// What is copied of the host, and by which name.
struct FromHost {
    source: Source,
    name: Vec<u8>,
}

fn from_host(path: &str, follow: bool) -> Result<FromHost, Error> {
    let typed = host_path(path)?;
    let root = host_root()?;
    let found = Tree::of_host(root.as_fd()).source(&typed, follow);
    let source = found.map_err(|errno| CopyError::host(errno, &typed.clean))?;
    Ok(FromHost {
        source,
        name: typed.archived_name().to_vec(),
    })
}

fn host_target(path: &str) -> Result<Target, Error> {
    let typed = host_path(path)?;
    let root = host_root()?;
    let target = Tree::of_host(root.as_fd()).target(&typed);
    target.map_err(|errno| CopyError::output(errno, &typed.clean).into())
}

fn host_path(path: &str) -> Result<TypedPath, Error> {
    if Path::new(path).is_absolute() {
        return Ok(TypedPath::new(path.as_bytes()));
    }
    let directory = std::env::current_dir().map_err(|source| Error::Terminal {
        action: "find the working directory",
        source,
    })?;
    let joined = [directory.as_os_str().as_bytes(), b"/", path.as_bytes()].concat();
    Ok(TypedPath::new(&joined))
}

fn host_root() -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/", flags, Mode::empty()).map_err(|errno| piped(errno.into()))
}

/// What an archive that goes to a user calls it.
fn archived_name(path: &TypedPath) -> Vec<u8> {
    match path.archived_name() {
        b"" => b".".to_vec(),
        name => name.to_vec(),
    }
}

fn renamed(placed: Vec<u8>) -> RootName {
    RootName {
        archived: COPIED.to_vec(),
        placed,
    }
}

fn pack<W: io::Write>(
    source: Source,
    name: &[u8],
    mut packer: Packer<W>,
) -> io::Result<Vec<String>> {
    match source {
        Source::Directory(directory) => packer.tree(directory, name)?,
        Source::Entry {
            parent,
            name: there,
        } => {
            if let Some(directory) = packer.entry(parent.as_fd(), &there, name)? {
                // It was something else a moment ago.
                drop(directory);
                return Err(io::ErrorKind::IsADirectory.into());
            }
        }
    }
    packer.finish()
}

fn put_inside(
    input: File,
    root: BorrowedFd<'_>,
    target: &Target,
    options: &PutOptions,
) -> Result<Report, CopyError> {
    let (Target::Directory { path, .. } | Target::Name { path, .. }) = target;
    let destination = Destination::Inside {
        root,
        path: path.clone(),
    };
    let mut input = Counted::new(input);
    let summary = put(&mut input, &destination, options);
    let summary = summary.map_err(|error| CopyError::put(&error))?;
    Ok(Report::put(input.count(), summary))
}

/// What the copy is called in the directory that it gets into; empty where what is copied is only what
/// the directory has in it. Docker's rules, `docker cp --help` and moby's `PrepareArchiveCopy`.
fn placement(
    target: &Target,
    is_directory: bool,
    archived_name: &[u8],
    asserted: bool,
) -> Result<Vec<u8>, CopyError> {
    match target {
        Target::Directory { .. } => Ok(archived_name.to_vec()),
        Target::Name { exists: true, .. } if is_directory => {
            Err(CopyError::cannot_copy_directory())
        }
        Target::Name { exists: false, .. } if !is_directory && asserted => {
            Err(CopyError::no_such_directory())
        }
        Target::Name { name, .. } => Ok(name.clone()),
    }
}

fn finish(inside: Inside, mut reports: Reports, bytes: u64) -> Result<Copied, Error> {
    let report = reports.ended();
    let went_well = inside.wait().map_err(piped)?;
    let report = report?;
    if !went_well {
        return Err(CopyError::died().into());
    }
    Ok(Copied {
        bytes: bytes.max(report.bytes),
        changed: report.changed,
        skipped_devices: report.skipped_devices,
    })
}

fn piped(source: io::Error) -> Error {
    Error::Terminal {
        action: "talk to the process that copies",
        source,
    }
}
