//! `create` and `run`.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use carrier_sys::process::SingleThreaded;
use carrier_sys::umask::with_users;
use oci_spec::runtime::Spec;

use super::hooks::{self, Place};
use super::record::{Facts, SeccompListener, replace};
use super::{
    CONFIG, CreateOptions, Directory, GATE, Lock, Record, Runtime, check_id, console, home,
    warnings,
};
use crate::cgroup::{Cgroup, Planned};
use crate::channel;
use crate::compile::{Bundle, Launch, RootSource};
use crate::config;
use crate::error::Error;
use crate::launch::{Prepared, Ready, Started, leave_login_keyring};
use crate::state::{ProcessIdentity, Status};

/// A container that waits for its start, and what has to be undone should it not come to that.
struct Making<'a> {
    directory: Directory,
    spec: &'a Spec,
    cgroup: Option<Cgroup>,
    record: Option<Record>,
    done: bool,
    _lock: Lock,
}

impl Runtime {
    /// Makes a container: its process is set up and waits for `start`.
    ///
    /// The current directory becomes that of the bundle.
    ///
    /// # Errors
    /// Whatever fails, nothing of the container is left.
    pub fn create(
        &self,
        id: &str,
        options: &CreateOptions,
        proof: &SingleThreaded,
    ) -> Result<(), Error> {
        let spec = enter_bundle(options)?;
        check_console(has_terminal(&spec), options.console_socket.is_some(), false)?;
        let mut making = self.begin(id, &spec)?;
        let gate = making.gate()?;
        let launch = Launch {
            gate: Some(gate),
            ..launch(options)
        };
        let ready = self.carry_to_start(id, &mut making, options, launch, proof)?;
        making.finish(options)?;
        ready.release();
        Ok(())
    }

    /// Makes a container and starts it.
    ///
    /// # Errors
    /// Whatever fails, nothing of the container is left.
    pub fn run(
        &self,
        id: &str,
        options: &CreateOptions,
        detach: bool,
        proof: &SingleThreaded,
    ) -> Result<Started, Error> {
        let spec = enter_bundle(options)?;
        check_console(
            has_terminal(&spec),
            options.console_socket.is_some(),
            !detach,
        )?;
        let mut making = self.begin(id, &spec)?;
        let launch = Launch {
            dies_with_caller: !detach,
            ..launch(options)
        };
        let ready = self.carry_to_start(id, &mut making, options, launch, proof)?;
        let record = making.record.as_mut().ok_or(Error::ChildDied)?;
        let kinds = spec.hooks().as_ref();
        let before = kinds.and_then(|hooks| hooks.start_container().as_deref());
        let state = record.state_as(Status::Created);
        let inside = Place::Container(record.process.pid);
        hooks::run("startContainer", before, &state, inside, proof)?;
        let mut started = ready.start()?;
        if let Some(listener) = started.take_listener() {
            record.deliver_listener(&listener, record.process.pid, Status::Created)?;
        }
        record.set_running();
        making.directory.write(record)?;
        let after = kinds.and_then(|hooks| hooks.poststart().as_deref());
        let state = record.state_as(Status::Running);
        hooks::run("poststart", after, &state, Place::Runtime, proof)?;
        making.finish(options)?;
        Ok(started)
    }

    fn begin<'a>(&self, id: &str, spec: &'a Spec) -> Result<Making<'a>, Error> {
        check_id(id)?;
        self.make_root()?;
        let directory = self.directory(id)?;
        let failed = |source| Error::File {
            action: "create",
            path: directory.0.clone(),
            source,
        };
        match DirBuilder::new().mode(0o700).create(&directory.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::ContainerExists { id: id.to_owned() });
            }
            other => other.map_err(failed)?,
        }
        let lock = directory.lock().map_err(failed)?;
        Ok(Making {
            directory,
            spec,
            cgroup: None,
            record: None,
            done: false,
            _lock: lock,
        })
    }

    fn carry_to_start(
        &self,
        id: &str,
        making: &mut Making<'_>,
        options: &CreateOptions,
        mut launch: Launch,
        proof: &SingleThreaded,
    ) -> Result<Ready, Error> {
        let spec = making.spec;
        let rootfs = rootfs(spec)?;
        making.save_configuration()?;
        let mut planned = Planned::of(self.cgroups, id, spec)?;
        launch.has_cgroup = planned.is_some();
        let completed = completed(spec, &rootfs, options);
        let prepared = Prepared::new(Bundle {
            spec: &completed,
            root: RootSource::Directory(rootfs.clone()),
            filter: None,
            emulator: None,
            launch,
        })?;
        #[cfg(feature = "fault-injection")]
        let prepared = prepared.fail_before(options.fail_before.unwrap_or(usize::MAX));
        if options.new_keyring {
            leave_login_keyring()?;
        }
        let spawned = prepared.spawn_and(proof, |pid: u32| {
            if let Some(planned) = planned.take() {
                making.cgroup = planned.make(pid)?;
            }
            Ok(())
        })?;
        let bundle = std::env::current_dir().map_err(Error::Prepare)?;
        let facts = |explanations| Facts {
            oci_version: spec.version().clone(),
            bundle: bundle.clone(),
            rootfs: rootfs.clone(),
            annotations: annotations(spec),
            cgroup: making.cgroup.clone(),
            new_keyring: options.new_keyring,
            seccomp_listener: seccomp_listener(spec),
            explanations,
        };
        let mut ready = spawned.wait_ready_and(|pid| {
            let process = ProcessIdentity::of(pid).map_err(|_| Error::ChildDied)?;
            let record = Record::new(id, process, facts(crate::explain::Explanations::default()));
            run_early_hooks(spec, &record, proof)
        })?;
        let process = ProcessIdentity::of(ready.pid()).map_err(|_| Error::ChildDied)?;
        let record = Record::new(id, process, facts(ready.explanations()));
        if let Some(listener) = ready.take_listener() {
            record.deliver_listener(&listener, record.process.pid, Status::Created)?;
        }
        if let Some(socket) = &options.console_socket
            && let Some(terminal) = ready.take_terminal()
        {
            console::send_terminal(socket, &terminal)?;
        }
        making.directory.write(&record)?;
        making.record = Some(record);
        Ok(ready)
    }
}

impl Record {
    /// Hands the notifications of the filter of the process `pid` to whoever supervises it.
    pub(super) fn deliver_listener(
        &self,
        listener: &std::os::fd::OwnedFd,
        pid: u32,
        status: Status,
    ) -> Result<(), Error> {
        let Some(SeccompListener { path, metadata }) = &self.seccomp_listener else {
            return Ok(());
        };
        let state = serde_json::json!({
            "ociVersion": self.oci_version,
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": metadata,
            "state": self.state_as(status),
        });
        console::send_listener(path, &state, listener)
    }
}

#[allow(
    deprecated,
    reason = "runtime-spec wants prestart hooks to run as ever"
)]
fn run_early_hooks(spec: &Spec, record: &Record, proof: &SingleThreaded) -> Result<(), Error> {
    let Some(kinds) = spec.hooks() else {
        return Ok(());
    };
    let mut state = record.state_as(Status::Created);
    // The status of a container whose `create` has not returned.
    state["status"] = "creating".into();
    let inside = Place::Container(record.process.pid);
    let lists = [
        ("prestart", kinds.prestart(), Place::Runtime),
        ("createRuntime", kinds.create_runtime(), Place::Runtime),
        ("createContainer", kinds.create_container(), inside),
    ];
    for (kind, list, place) in lists {
        hooks::run(kind, list.as_deref(), &state, place, proof)?;
    }
    Ok(())
}

impl Making<'_> {
    /// Opens the gate's socket by a path that is short, however deep the root is.
    fn gate(&self) -> Result<std::os::fd::OwnedFd, Error> {
        channel::with_short_path(&self.directory.path(GATE), channel::gate).map_err(|errno| {
            Error::File {
                action: "create",
                path: self.directory.path(GATE),
                source: errno.into(),
            }
        })
    }

    /// What `exec` and `start` go by, whatever happens to the bundle.
    fn save_configuration(&self) -> Result<(), Error> {
        let path = self.directory.path(CONFIG);
        let bytes = serde_json::to_vec(self.spec).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| std::fs::write(&path, bytes));
        written.map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })
    }

    /// From now on the container is there.
    fn finish(&mut self, options: &CreateOptions) -> Result<(), Error> {
        let pid = self.record.as_ref().map_or(0, |record| record.process.pid);
        if let Some(path) = &options.pid_file {
            write_pid(path, pid)?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // The first error is the one to tell; each of these undoes what it can.
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.remove();
        }
        if let Ok(proof) = SingleThreaded::check()
            && let Some(list) = self
                .spec
                .hooks()
                .as_ref()
                .and_then(|all| all.poststop().clone())
        {
            let state = match &self.record {
                Some(record) => record.state_as(Status::Stopped),
                None => serde_json::json!({
                    "ociVersion": self.spec.version(),
                    "id": self.directory.0.file_name().map(|name| name.to_string_lossy()),
                    "status": "stopped",
                    "bundle": std::env::current_dir().unwrap_or_default(),
                    "annotations": annotations(self.spec),
                }),
            };
            let _ = hooks::run("poststop", Some(&list), &state, Place::Runtime, &proof);
        }
        let _ = self.directory.remove();
    }
}

pub(super) fn write_pid(path: &Path, pid: u32) -> Result<(), Error> {
    let written = with_users(|| replace(path, pid.to_string().as_bytes()));
    written.map_err(|source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

fn enter_bundle(options: &CreateOptions) -> Result<Spec, Error> {
    let file = match &options.config {
        Some(path) => std::path::absolute(path).map_err(Error::Prepare)?,
        None => PathBuf::from(CONFIG),
    };
    std::env::set_current_dir(&options.bundle).map_err(|source| Error::File {
        action: "enter bundle",
        path: options.bundle.clone(),
        source,
    })?;
    let spec = config::read(&file)?;
    warnings::of_capabilities(&spec);
    warnings::of_notifications();
    Ok(spec)
}

/// The configuration with what the program finds in its environment, whoever made that.
fn completed(spec: &Spec, rootfs: &Path, options: &CreateOptions) -> Spec {
    let mut spec = spec.clone();
    let Some(mut process) = spec.process().clone() else {
        return spec;
    };
    home::complete(&mut process, || home::users_of(&spec, rootfs));
    if options.listen_fds > 0 {
        let mut environment = process.env().clone().unwrap_or_default();
        // sd_listen_fds(3). The number is that of the first process of a PID namespace.
        environment.push(format!("LISTEN_FDS={}", options.listen_fds));
        environment.push("LISTEN_PID=1".to_owned());
        process.set_env(Some(environment));
    }
    spec.set_process(Some(process));
    spec
}

fn launch(options: &CreateOptions) -> Launch {
    Launch {
        dies_with_caller: false,
        preserved: options.listen_fds.saturating_add(options.preserve_fds),
        ..Launch::default()
    }
}

fn rootfs(spec: &Spec) -> Result<PathBuf, Error> {
    let invalid = |reason: String| Error::Invalid {
        field: "root.path".to_owned(),
        reason,
    };
    let root = spec
        .root()
        .as_ref()
        .ok_or_else(|| invalid("it is required".to_owned()))?;
    let path = root.path().canonicalize();
    let path = path.map_err(|error| invalid(format!("{}: {error}", root.path().display())))?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(invalid(format!("{} is no directory", path.display())))
    }
}

fn has_terminal(spec: &Spec) -> Option<bool> {
    spec.process().as_ref()?.terminal()
}

/// Whoever asks for one half of a terminal must take the other; `attached` says that the caller does.
pub(super) fn check_console(
    terminal: Option<bool>,
    has_socket: bool,
    attached: bool,
) -> Result<(), Error> {
    let reason = match (terminal == Some(true), has_socket) {
        (false, true) => "it is false, and a console socket was given",
        (true, false) if !attached => "it is true, and no console socket was given",
        _ => return Ok(()),
    };
    Err(Error::Invalid {
        field: "process.terminal".to_owned(),
        reason: reason.to_owned(),
    })
}

fn annotations(spec: &Spec) -> BTreeMap<String, String> {
    let annotations = spec.annotations().iter().flatten();
    annotations
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn seccomp_listener(spec: &Spec) -> Option<SeccompListener> {
    let seccomp = spec.linux().as_ref()?.seccomp().as_ref()?;
    Some(SeccompListener {
        path: seccomp.listener_path().clone()?,
        metadata: seccomp.listener_metadata().clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_agent_is_told_whose_system_calls_it_supervises() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let agent = UnixListener::bind(&path).unwrap();
        let first = std::process::id();
        let facts = Facts {
            oci_version: "1.2.0".to_owned(),
            bundle: PathBuf::new(),
            rootfs: PathBuf::new(),
            annotations: BTreeMap::new(),
            cgroup: None,
            new_keyring: false,
            seccomp_listener: Some(SeccompListener {
                path,
                metadata: "of the agent".to_owned(),
            }),
            explanations: crate::explain::Explanations::default(),
        };
        let record = Record::new("box", ProcessIdentity::of(first).unwrap(), facts);
        let notifications = std::fs::File::open("/dev/null").unwrap().into();
        record
            .deliver_listener(&notifications, 42, Status::Running)
            .unwrap();
        let mut told = String::new();
        let (mut connection, _) = agent.accept().unwrap();
        connection.read_to_string(&mut told).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&told["pid"], &told["metadata"]),
            (&42.into(), &"of the agent".into())
        );
        let state = &told["state"];
        assert_eq!(
            (&state["pid"], &state["status"]),
            (&first.into(), &"running".into())
        );
    }
}
