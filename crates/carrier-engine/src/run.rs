//! Running a container in the foreground.

use std::borrow::Cow;
use std::fs;

use carrier_runtime::seccomp::{self, Arch, DockerHost, Instruction, KernelVersion};
use carrier_runtime::state::{ProcessIdentity, State, StateDir, Status};
use carrier_runtime::{Bundle, Launch, Overlay, Prepared, Ready, RootSource, Started, Stdin};
use carrier_store::{ContainerDir, ImageRecord, LayerView};
use carrier_sys::process::{ExitStatus, SingleThreaded};
use oci_spec::runtime::{LinuxSeccomp, Spec};

use crate::emulator;
use crate::engine::{Engine, now, open_directory};
use crate::error::Error;
use crate::etc_files::EtcFiles;
use crate::fallback::{self, FuseMount};
use crate::foreground;
use crate::identity::{self, ResolvedUser};
use crate::record::{ContainerRecord, ExitRecord, RunOptions, SeccompChoice};
use crate::spec::{self, Facts, OCI_VERSION};

/// No real image has a larger one.
pub(crate) const MAX_PASSWD: u64 = 1 << 20;

impl Engine {
    /// Makes a container of `image`, runs it with the caller's standard streams, and returns the
    /// code that it left with. The container is removed when that was asked for, and also when it
    /// could not be started. `warn` is told what the user should know.
    ///
    /// # Errors
    /// When the container could not be made or started.
    pub fn run(
        &self,
        image: &ImageRecord,
        options: &RunOptions,
        warn: &dyn Fn(&str),
    ) -> Result<u8, Error> {
        self.host.own_ids()?;
        let record = self.create(image, options)?;
        let outcome = self.run_created(&record, warn);
        let removed = if record.remove || outcome.is_err() {
            self.remove_files(&record)
        } else {
            self.remove_state(&record.id)
        };
        let code = outcome?;
        removed?;
        Ok(code)
    }

    fn run_created(&self, record: &ContainerRecord, warn: &dyn Fn(&str)) -> Result<u8, Error> {
        let states = self.state_dir(&record.id);
        fs::create_dir(states.path()).map_err(|source| Error::Write {
            path: states.path().to_owned(),
            source,
        })?;
        // First of all: a signal that comes during the set-up is the program's.
        let session = foreground::Session::open(record.streams)?;
        // What serves the root, if it is not the kernel, ends with the container.
        let (ready, _mount) = self.prepare(record, &states, warn)?;
        let mut state = state_of(record, ready.pid())?;
        states.write(&state)?;
        let started = ready.start()?;
        state.status = Status::Running;
        states.write(&state)?;
        let code = wait(started, session, record)?;
        if !record.remove {
            self.record_exit(record, code)?;
        }
        Ok(code)
    }

    /// Carries the container up to the last step before its program runs.
    fn prepare(
        &self,
        record: &ContainerRecord,
        states: &StateDir,
        warn: &dyn Fn(&str),
    ) -> Result<(Ready, Option<FuseMount>), Error> {
        let container = self.store.container(&record.id);
        let user = self.user(record)?;
        let etc = EtcFiles::in_directory(states.path());
        etc.write(record, &self.host.hosts, &self.host.resolv_conf)
            .map_err(|source| Error::Write {
                path: states.path().to_owned(),
                source,
            })?;
        let spec = self.spec_of(record, &user, profile(record)?)?;
        let native = RootSource::Overlay(self.overlay(record, &container)?);
        let refused = match attempt(&spec, record, native) {
            Err(Error::Runtime(error)) => match error.overlay_refused() {
                Some(errno) => errno,
                None => return Err(Error::Runtime(error)),
            },
            other => return other.map(|ready| (ready, None)),
        };
        let mounted = FuseMount::start(
            self.host.own_ids()?,
            &self.overlay(record, &container)?,
            container.make_merged()?,
        );
        let missing = match mounted {
            Ok(mount) => {
                let ready = attempt(&spec, record, mount.root())?;
                return Ok((ready, Some(mount)));
            }
            Err(reason) => reason,
        };
        // Last and loudly.
        let overlay = self.overlay(record, &container)?;
        let bytes = fallback::copy_layers(self.host.own_ids()?, &overlay)?;
        warn(&format!(
            "overlay cannot be mounted on {} ({}) and {missing}: all {bytes} bytes of the image \
             were copied for this container; install fuse-overlayfs, or set XDG_DATA_HOME to a \
             directory on a local disk",
            self.store.root().display(),
            fallback::words(refused)
        ));
        let ready = attempt(&spec, record, RootSource::Directory(container.upper()))?;
        Ok((ready, None))
    }

    /// The configuration of a container whose program this user has.
    pub(crate) fn spec_of(
        &self,
        record: &ContainerRecord,
        user: &ResolvedUser,
        seccomp: Option<LinuxSeccomp>,
    ) -> Result<Spec, Error> {
        let facts = Facts {
            record,
            user,
            host: &self.host,
            etc: &EtcFiles::in_directory(self.state_dir(&record.id).path()),
        };
        spec::build(&facts, seccomp).map_err(|error| Error::Configuration(error.into()))
    }

    pub(crate) fn overlay(
        &self,
        record: &ContainerRecord,
        container: &ContainerDir,
    ) -> Result<Overlay, Error> {
        let mut layers = Vec::with_capacity(record.layers.len());
        for id in record.layers.iter().rev() {
            let opened = open_directory(self.store.layer_dir(id));
            layers.push(opened.map_err(|_| Error::LayerMissing(id.clone()))?);
        }
        Ok(Overlay {
            layers,
            upper: open_directory(container.upper())?,
            work: open_directory(container.work())?,
            volatile: record.remove,
        })
    }

    /// Looks the user up in the image, as the container will see it.
    fn user(&self, record: &ContainerRecord) -> Result<ResolvedUser, Error> {
        let layers = record
            .layers
            .iter()
            .rev()
            .map(|id| self.store.layer_dir(id));
        let view = LayerView::open(layers)?;
        let read = |path: &'static str| match view.read_file(path, MAX_PASSWD) {
            Ok(content) => Ok(content.unwrap_or_default()),
            Err(source) => Err(Error::ImageFile { path, source }),
        };
        let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
        identity::resolve(&record.user, &passwd, &group)?.on(&self.host)
    }

    fn record_exit(&self, record: &ContainerRecord, code: u8) -> Result<(), Error> {
        let container = self.store.container(&record.id);
        let exit = ExitRecord {
            code,
            finished: now(),
        };
        match container.write_exit(&exit) {
            // Somebody has removed the container by force.
            Err(_) if !container.path().exists() => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Carries a container with this root up to the last step before its program runs.
fn attempt(spec: &Spec, record: &ContainerRecord, root: RootSource) -> Result<Ready, Error> {
    let bundle = Bundle {
        spec,
        root,
        filter: filter(record)?,
        emulator: emulator::registration(&record.platform)?,
        launch: Launch {
            stdin: if record.streams.interactive {
                Stdin::Inherit
            } else {
                Stdin::Null
            },
            ..Launch::default()
        },
    };
    let single = SingleThreaded::check().map_err(carrier_runtime::Error::Prepare)?;
    Ok(Prepared::new(bundle)?.spawn(&single)?.wait_ready()?)
}

fn wait(
    started: Started,
    session: foreground::Session,
    record: &ContainerRecord,
) -> Result<u8, Error> {
    session
        .serve(started)
        .map(ExitStatus::code)
        .map_err(|source| Error::Wait {
            id: record.id.clone(),
            source,
        })
}

/// Identifies the container's process while it waits: once it runs, it may be gone at any time.
fn state_of(record: &ContainerRecord, pid: u32) -> Result<State, Error> {
    let id = record.id.clone();
    let process = ProcessIdentity::of(pid).map_err(|source| Error::Wait {
        id: record.id.clone(),
        source,
    })?;
    Ok(State {
        oci_version: OCI_VERSION.to_owned(),
        id,
        status: Status::Created,
        process,
    })
}

/// The filter of a container that asks for Carrier's own; profiles of others go into the
/// configuration, as bundles have them.
pub(crate) fn filter(
    record: &ContainerRecord,
) -> Result<Option<Cow<'static, [Instruction]>>, Error> {
    match record.security.seccomp {
        SeccompChoice::Unconfined | SeccompChoice::Profile(_) => Ok(None),
        SeccompChoice::Default => {
            let program = seccomp::program_for(record.security.capabilities());
            Ok(Some(program.map_err(carrier_runtime::Error::from)?))
        }
    }
}

/// Reads a profile of Docker or Podman, whose parts depend on the host and the capabilities.
pub(crate) fn profile(record: &ContainerRecord) -> Result<Option<LinuxSeccomp>, Error> {
    let SeccompChoice::Profile(text) = &record.security.seccomp else {
        return Ok(None);
    };
    let kernel = rustix::system::uname();
    let release = kernel.release().to_string_lossy();
    let unknown = || Error::Configuration(format!("{release:?} is no kernel release").into());
    let host = DockerHost {
        machine: Arch::NATIVE,
        capabilities: record.security.capabilities(),
        kernel: KernelVersion::from_release(&release).ok_or_else(unknown)?,
    };
    let resolved = host.resolve(text.as_bytes()).map_err(seccomp::Error::from);
    Ok(Some(resolved.map_err(carrier_runtime::Error::from)?))
}
