//! One more program in a container that runs.
//!
//! The command itself joins the container: nothing of Carrier stays behind, and the container's monitor
//! is not asked. The program inherits the caller's streams, or has a terminal of the container's, which
//! a [guarded](crate::guarded) process serves.

mod inside;
mod process;
mod stopped;
mod telling;

use carrier_runtime::{Entry, Launch, Output, Ready, Running, Started, Stdin};
use carrier_sys::process::{ExitStatus, SingleThreaded};
use carrier_sys::trampoline::SealedProgram;

use crate::core_dumps;
use crate::detach_keys::DetachKeys;
use crate::engine::Engine;
use crate::error::Error;
use crate::foreground::{Leash, Served, Session, drain};
use crate::launch::{filter, profile};
use crate::life::Status;
use crate::record::{ContainerRecord, EnvironmentSetting, Streams};
use inside::Inside;
use telling::Telling;

/// What a user asks for with `exec`.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What the program reads and writes.
    pub streams: Streams,
    /// The program goes on by itself, and nobody hears of it.
    pub detach: bool,
    /// Over the container's environment, in order: later ones win.
    pub environment: Vec<EnvironmentSetting>,
    /// Where the program starts, else where the container's does.
    pub working_directory: Option<String>,
    /// `user[:group]`, names or numbers, else the container's.
    pub user: Option<String>,
    /// Every capability that the container's user namespace has.
    pub privileged: bool,
    /// What parts the terminal from the program.
    pub detach_keys: DetachKeys,
    /// Carrier's own binary is executed, under the name that the command begins with.
    pub own_program: bool,
}

impl Engine {
    /// The container that was made last.
    ///
    /// # Errors
    /// [`Error::NoContainers`].
    pub fn latest_container(&self) -> Result<ContainerRecord, Error> {
        let mut records = self.records()?.into_iter();
        records.next().ok_or(Error::NoContainers)
    }

    /// The best shell of a container: that of the user, or one that is comfortable.
    ///
    /// # Errors
    /// [`Error::NoShell`], or when the container does not run.
    pub fn shell(&self, record: &ContainerRecord, user: Option<&str>) -> Result<String, Error> {
        let running = self.running(record)?;
        let inside = Inside::of(self, record, &running)?;
        let user = user.unwrap_or(&record.user);
        let shell = inside.shell(user)?;
        shell.ok_or_else(|| Error::NoShell(record.name.to_string()))
    }

    /// Whether the command is a program of the container.
    ///
    /// # Errors
    /// When the container does not run.
    pub fn has_program(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
    ) -> Result<bool, Error> {
        let running = self.running(record)?;
        let inside = Inside::of(self, record, &running)?;
        let name = options.command.first().map_or("", String::as_str);
        let program = inside.first_program(&process::places(record, options, name))?;
        Ok(program.is_some())
    }

    /// Runs a program in a container with the caller's streams, and returns the code that it left
    /// with; with [`ExecOptions::detach`], 0 as soon as it runs.
    ///
    /// # Errors
    /// When the container does not run, or the program cannot be started.
    pub fn exec(&self, record: &ContainerRecord, options: &ExecOptions) -> Result<u8, Error> {
        let telling = self.telling(record, &options.command);
        if options.detach {
            self.start_beside(record, options, &telling)?.release();
            return Ok(0);
        }
        // First of all: a signal that comes during the set-up is the program's.
        let session = Session::open(options.streams)?;
        let started = self.start_beside(record, options, &telling)?;
        let status = session.serve(started);
        let code = status.map_err(|source| wait_failed(record, source))?.code();
        telling.ended(code);
        Ok(code)
    }

    /// [`exec`](Self::exec) on a terminal, in a process that [`guarded`](crate::guarded) has made.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub fn exec_on_terminal(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
        leash: Leash,
    ) -> Result<u8, Error> {
        let telling = self.telling(record, &options.command);
        let mut started = self.start_beside(record, options, &telling)?;
        let code = if options.detach {
            let failed = |source| wait_failed(record, source);
            leash.cut().map_err(failed)?;
            let controller = started.take_terminal();
            drain(started, controller).map_err(failed)?
        } else {
            serve_on_leash(record, options, started, leash, || telling.detached())?
        };
        telling.ended(code);
        Ok(code)
    }

    /// Makes one check of a container's health, and says whether it went well. What the command
    /// writes goes to the caller.
    ///
    /// # Errors
    /// [`Error::NoHealthCheck`], or when the container does not run.
    pub fn check_health(&self, record: &ContainerRecord) -> Result<bool, Error> {
        let check = record.health.as_ref().filter(|check| check.is_active());
        let check = check.ok_or_else(|| Error::NoHealthCheck(record.name.to_string()))?;
        let options = ExecOptions {
            command: check.command.clone(),
            ..ExecOptions::default()
        };
        Ok(self.exec(record, &options)? == 0)
    }

    fn start_beside(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
        telling: &Telling<'_>,
    ) -> Result<Started, Error> {
        let ready = self.ready_beside(record, options)?;
        telling.created();
        let started = ready.start()?;
        telling.started();
        Ok(started)
    }

    /// Carries the program up to its last step.
    fn ready_beside(
        &self,
        record: &ContainerRecord,
        options: &ExecOptions,
    ) -> Result<Ready, Error> {
        let running = self.running(record)?;
        let cgroup = self.life(record)?.cgroup;
        let inside = Inside::of(self, record, &running)?;
        let user = inside.resolve(options.user.as_deref().unwrap_or(&record.user));
        let user = user.and_then(|user| user.on(&self.host));
        let user = user.map_err(|error| Error::CannotExec(Box::new(error)))?;
        let record = process::record(record, options);
        let spec = self.spec_of(&record, &user, profile(&record)?)?;
        let process = process::process(&spec, options)?;
        let launch = if options.detach {
            Launch {
                stdin: Stdin::Null,
                output: Output::Null,
                dies_with_caller: options.streams.terminal,
                ..Launch::default()
            }
        } else {
            Launch {
                stdin: if options.streams.interactive {
                    Stdin::Inherit
                } else {
                    Stdin::Null
                },
                ..Launch::default()
            }
        };
        let entry = Entry {
            spec: &spec,
            process: &process,
            filter: filter(&record)?,
            launch: Launch {
                sealed: options.own_program.then(own_program).transpose()?,
                core: core_dumps::limit_of_programs(),
                ..launch
            },
        };
        let single = SingleThreaded::check().map_err(carrier_runtime::Error::Prepare)?;
        match running.enter_in(cgroup.as_ref(), entry, &single) {
            Err(_) if !running.is_alive() => Err(Error::NotRunning(record.name.to_string())),
            other => Ok(other?),
        }
    }

    /// The first process of a container that runs.
    fn running(&self, record: &ContainerRecord) -> Result<Running, Error> {
        let not_running = || Error::NotRunning(record.name.to_string());
        let life = self.life(record)?;
        if life.status == Status::Paused {
            return Err(Error::Paused(record.name.to_string()));
        }
        let process = life.first_process().ok_or_else(not_running)?;
        let running = Running::of(process).map_err(|source| wait_failed(record, source))?;
        running.ok_or_else(not_running)
    }
}

/// Serves a program on a terminal until it has ended or was detached, and has done all that is left to do.
fn serve_on_leash(
    record: &ContainerRecord,
    options: &ExecOptions,
    started: Started,
    leash: Leash,
    detached: impl FnOnce(),
) -> Result<u8, Error> {
    let failed = |source| wait_failed(record, source);
    let session = Session::on_leash(options.streams, leash, options.detach_keys.clone());
    match session.serve_on_leash(started).map_err(failed)? {
        (Served::Ended(status), _) => Ok(status.code()),
        (Served::Detached(started, controller), leash) => {
            detached();
            if let Some(leash) = leash {
                leash.cut().map_err(failed)?;
            }
            drain(started, Some(controller)).map_err(failed)
        }
        // Nobody hears the code.
        (Served::Abandoned, _) => Ok(ExitStatus::Signaled(9).code()),
    }
}

fn wait_failed(record: &ContainerRecord, source: std::io::Error) -> Error {
    Error::Wait {
        id: record.id.clone(),
        source,
    }
}

/// Carrier's binary in memory that a container cannot change.
fn own_program() -> Result<SealedProgram, Error> {
    let path = "/proc/self/exe";
    let file = std::fs::File::open(path).map_err(|source| Error::Open {
        path: path.into(),
        source,
    })?;
    SealedProgram::copy_of(file, c"carrier").map_err(|source| Error::Terminal {
        action: "copy Carrier's program into memory",
        source,
    })
}
