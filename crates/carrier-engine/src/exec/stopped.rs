//! A program among the files of a container that does not run: what it writes is thrown away.
//!
//! The container's own layer becomes one of those below, and another one is put on top. The lock of the
//! container is held meanwhile: nobody starts it, removes it or changes its files.

use std::fs::File;

use carrier_runtime::{Bundle, Launch, Overlay, Prepared, Ready, RootSource, Stdin};
use carrier_store::{LayerView, Scratch, ViewError};
use carrier_sys::process::SingleThreaded;
use oci_spec::runtime::Spec;

use super::inside::shells;
use super::{ExecOptions, own_program, process, serve_on_leash, wait_failed};
use crate::emulator;
use crate::engine::{Engine, open_directory};
use crate::error::Error;
use crate::fallback::FuseMount;
use crate::foreground::{Leash, Session};
use crate::identity;
use crate::launch::{MAX_PASSWD, filter, profile};
use crate::net::{ConnectionPlan, NetworkMode};
use crate::record::ContainerRecord;

impl Engine {
    /// The best shell of a container that does not run.
    ///
    /// # Errors
    /// [`Error::NoShell`], or when its files cannot be read.
    pub fn shell_of_stopped(
        &self,
        record: &ContainerRecord,
        user: Option<&str>,
    ) -> Result<String, Error> {
        let view = self.view_of(record)?;
        let passwd = read(&view, "/etc/passwd")?;
        let mut shells = shells(user.unwrap_or(&record.user), &passwd);
        let shell = shells.find(|path| has_file(&view, path));
        shell.ok_or_else(|| Error::NoShell(record.name.to_string()))
    }

    /// Whether the command is a program of a container that does not run.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn stopped_has_program(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
    ) -> Result<bool, Error> {
        let view = self.view_of(record)?;
        let name = options.command.first().map_or("", String::as_str);
        let found = process::places(record, options, name);
        Ok(found.iter().any(|path| has_file(&view, path)))
    }

    /// Runs a program in a container that does not run, as its first process; returns the code that it
    /// left with. With a leash, it has a terminal.
    ///
    /// # Errors
    /// When the container runs, or the program cannot be started.
    pub fn run_in_stopped(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
        leash: Option<Leash>,
    ) -> Result<u8, Error> {
        let _lock = self.hold_stopped(record)?;
        let session = match leash {
            Some(_) => None,
            None => Some(Session::open(options.streams)?),
        };
        let scratch = self.store.scratch()?;
        let code = {
            let (ready, _mount) = self.ready_in(record, options, &scratch)?;
            let started = ready.start()?;
            match (leash, session) {
                (Some(leash), _) => serve_on_leash(record, options, started, leash, || {})?,
                (None, Some(session)) => {
                    let status = session.serve(started);
                    status.map_err(|source| wait_failed(record, source))?.code()
                }
                (None, None) => 0,
            }
        };
        drop(scratch);
        // Files of other ids need the user namespace.
        self.sweep()?;
        Ok(code)
    }

    fn hold_stopped(&self, record: &ContainerRecord) -> Result<File, Error> {
        let lock = self.store.container(&record.id).try_lock()?;
        lock.ok_or_else(|| Error::NotStopped(record.name.to_string()))
    }

    fn ready_in(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
        scratch: &Scratch,
    ) -> Result<(Ready, Option<FuseMount>), Error> {
        let view = self.view_of(record)?;
        let (passwd, group) = (read(&view, "/etc/passwd")?, read(&view, "/etc/group")?);
        let user = options.user.as_deref().unwrap_or(&record.user);
        let user = identity::resolve(user, &passwd, &group);
        let user = user.and_then(|user| user.on(&self.host));
        let user = user.map_err(|error| Error::CannotExec(Box::new(error)))?;
        let mut changed = process::record(record, options);
        if changed.network != NetworkMode::Host {
            // Nobody waits for packets of files.
            changed.network = NetworkMode::None;
        }
        self.write_etc_files(&changed, &ConnectionPlan::default())?;
        let mounts = self.storage_to_look_at(&changed, &user)?;
        let mut spec = self.spec_with(&changed, &user, &mounts, profile(&changed)?)?;
        spec.set_process(Some(process::process(&spec, options)?));
        let native = RootSource::Overlay(self.scratch_overlay(record, scratch)?);
        match attempt(&spec, &changed, options, native) {
            Err(Error::Runtime(error)) if error.overlay_refused().is_some() => {
                let overlay = self.scratch_overlay(record, scratch)?;
                let mounted = FuseMount::start(self.host.own_ids()?, &overlay, scratch.merged());
                let mount = mounted.map_err(|_| Error::Runtime(error))?;
                let ready = attempt(&spec, &changed, options, mount.root())?;
                Ok((ready, Some(mount)))
            }
            other => other.map(|ready| (ready, None)),
        }
    }

    /// The container's files as they are.
    fn view_of(&self, record: &ContainerRecord) -> Result<LayerView, Error> {
        Ok(LayerView::open(self.lower(record))?)
    }

    /// The directories of a container that does not run, the topmost first.
    fn lower(&self, record: &ContainerRecord) -> Vec<std::path::PathBuf> {
        let container = self.store.container(&record.id);
        let layers = record.layers.iter().rev();
        let layers = layers.map(|id| self.store.layer_dir(id));
        // A copy of all layers needs none of them.
        let layers = layers.filter(|_| !container.is_copied());
        std::iter::once(container.upper()).chain(layers).collect()
    }

    fn scratch_overlay(
        &self,
        record: &ContainerRecord,
        scratch: &Scratch,
    ) -> Result<Overlay, Error> {
        let lower = self.lower(record).into_iter().map(open_directory);
        Ok(Overlay {
            layers: lower.collect::<Result<_, _>>()?,
            upper: open_directory(scratch.upper())?,
            work: open_directory(scratch.work())?,
            volatile: true,
        })
    }
}

fn attempt(
    spec: &Spec,
    record: &ContainerRecord,
    options: &ExecOptions,
    root: RootSource,
) -> Result<Ready, Error> {
    let stdin = if options.streams.interactive {
        Stdin::Inherit
    } else {
        Stdin::Null
    };
    let bundle = Bundle {
        spec,
        root,
        filter: filter(record)?,
        emulator: emulator::registration(&record.platform)?,
        launch: Launch {
            stdin,
            sealed: options.own_program.then(own_program).transpose()?,
            ..Launch::default()
        },
    };
    let single = SingleThreaded::check().map_err(carrier_runtime::Error::Prepare)?;
    Ok(Prepared::new(bundle)?.spawn(&single)?.wait_ready()?)
}

fn read(view: &LayerView, path: &'static str) -> Result<Vec<u8>, Error> {
    match view.read_file(path, MAX_PASSWD) {
        Ok(content) => Ok(content.unwrap_or_default()),
        Err(source) => Err(Error::ImageFile { path, source }),
    }
}

/// Whether there is a file at a path; nothing of it is read.
fn has_file(view: &LayerView, path: &str) -> bool {
    matches!(
        view.read_file(path, 0),
        Ok(Some(_)) | Err(ViewError::TooLarge(_))
    )
}
