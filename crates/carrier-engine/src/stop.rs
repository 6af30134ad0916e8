//! The verbs that end and hold containers.

use std::time::{Duration, Instant};

use carrier_runtime::Cgroup;
use carrier_runtime::state::ProcessIdentity;
use carrier_store::Durability;
use rustix::process::Signal;

use crate::control::{self, Answer};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::life::{Life, Status};
use crate::monitor::{Peer, request};
use crate::record::ContainerRecord;
use crate::signals::signal_number;

/// A program that is killed is gone after this time, unless the kernel holds it.
pub(crate) const AFTER_KILL: Duration = Duration::from_secs(5);

/// How to end a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopOptions {
    /// The signal that asks for it, else the container's.
    pub signal: Option<i32>,
    /// How many seconds the program has, else the container's; negative numbers are for ever.
    pub timeout: Option<i64>,
}

/// What becomes of a container that is removed at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is removed.
    OfItsOwn,
    /// It stays as long as the caller lives, who starts it again.
    Kept,
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// The container does not run.
    #[default]
    NotRunning,
    /// Its program ends once more.
    NextExit,
    /// The container is gone.
    Removed,
}

impl Engine {
    /// Ends the program of a container, and waits for it. One that does not run is left alone.
    ///
    /// # Errors
    /// When the program cannot be ended.
    pub fn stop(&self, word: &str, options: &StopOptions) -> Result<(), Error> {
        let record = self.container(word)?;
        self.stop_container(&record, options, Fate::OfItsOwn)
    }

    pub(crate) fn stop_container(
        &self,
        record: &ContainerRecord,
        options: &StopOptions,
        fate: Fate,
    ) -> Result<(), Error> {
        let life = self.settled_life(record)?;
        if !life.status.is_alive() {
            return Ok(());
        }
        let default = || signal_number(&record.stop_signal).unwrap_or(Signal::TERM.as_raw());
        let signal = options.signal.unwrap_or_else(default);
        let patience = record.patience(options.timeout);
        self.emit_kill(record, signal);
        let asked = self.ask_to_end(record, signal, patience, fate)?;
        self.await_end(record, &life, asked, patience)?;
        self.emit(&Event::container("stop", record));
        Ok(())
    }

    /// Asks the monitor to end the program; nothing where nobody hears it.
    pub(crate) fn ask_to_end(
        &self,
        record: &ContainerRecord,
        signal: i32,
        patience: Option<Duration>,
        fate: Fate,
    ) -> Result<Option<Peer>, Error> {
        let mut words = vec![u8::try_from(signal).unwrap_or_default()];
        let milliseconds = patience.map_or(u64::MAX, |patience| {
            u64::try_from(patience.as_millis()).unwrap_or(u64::MAX - 1)
        });
        words.extend(milliseconds.to_ne_bytes());
        let Some(peer) = self.connect(record)? else {
            return Ok(None);
        };
        // A monitor that is gone hears neither.
        if fate == Fate::Kept && record.remove {
            let _ = peer.send(request::KEEP, &[]);
        }
        Ok(peer.send(request::STOP, &words).is_ok().then_some(peer))
    }

    /// Waits for what was asked for; a monitor that does not answer is ended too.
    pub(crate) fn await_end(
        &self,
        record: &ContainerRecord,
        life: &Life,
        asked: Option<Peer>,
        patience: Option<Duration>,
    ) -> Result<(), Error> {
        let answer = match asked {
            Some(peer) => peer.answer(deadline(patience))?,
            None => Answer::Gone,
        };
        match answer {
            Answer::Exited(_) | Answer::Done => Ok(()),
            Answer::Gone if self.has_come_to_its_end(record)? => Ok(()),
            Answer::Gone | Answer::Late => self.end_by_force(record, life),
        }
    }

    /// Whether a container whose monitor hears nobody ends by itself: its program has ended, and the
    /// monitor is about to say so. One that was killed never does.
    fn has_come_to_its_end(&self, record: &ContainerRecord) -> Result<bool, Error> {
        let container = self.store.container(&record.id);
        let deadline = Instant::now() + AFTER_KILL;
        loop {
            let written: Option<Life> = match container.read_state() {
                Err(_) if !container.path().exists() => return Ok(true),
                other => other?,
            };
            let written = written.unwrap_or_default();
            if !written.status.is_alive() || !container.path().exists() {
                return Ok(true);
            }
            if written.is_stale() || Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the program of a container, and the monitor that should have done so.
    fn end_by_force(&self, record: &ContainerRecord, life: &Life) -> Result<(), Error> {
        let processes = [&life.process, &life.monitor].into_iter().flatten();
        for process in processes.filter(|process| process.is_alive()) {
            control::kill(process).map_err(|source| Error::Wait {
                id: record.id.clone(),
                source,
            })?;
        }
        self.bury(record)
    }

    /// Sends a signal to the program of a container.
    ///
    /// # Errors
    /// When the container does not run.
    pub fn kill(&self, word: &str, signal: i32) -> Result<(), Error> {
        let record = self.container(word)?;
        let life = self.life(&record)?;
        if !life.status.is_alive() {
            return Err(Error::NotRunning(record.name.to_string()));
        }
        let words = [u8::try_from(signal).unwrap_or_default(), 0];
        self.emit_kill(&record, signal);
        if let Answer::Done = self.ask(&record, request::SIGNAL, &words)? {
            return Ok(());
        }
        let process = life.process.as_ref();
        let sent = process.map(|process| control::signal(process, signal));
        sent.transpose().map(drop).map_err(|source| Error::Wait {
            id: record.id.clone(),
            source,
        })
    }

    /// Holds all processes of a container, or lets them go on.
    ///
    /// # Errors
    /// When the container does not run, or is as it shall be already.
    pub fn pause(&self, word: &str, pause: bool) -> Result<(), Error> {
        let record = self.container(word)?;
        let what = if pause {
            request::PAUSE
        } else {
            request::UNPAUSE
        };
        match self.ask(&record, what, &[])? {
            Answer::Done => {
                let action = if pause { "pause" } else { "unpause" };
                self.emit(&Event::container(action, &record));
                Ok(())
            }
            _ => Err(Error::NotRunning(record.name.to_string())),
        }
    }

    fn emit_kill(&self, record: &ContainerRecord, signal: i32) {
        let event = Event::container("kill", record);
        self.emit(&event.with("signal", signal.to_string()));
    }

    /// Waits for a container, and returns the code that its program left with.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn wait(&self, word: &str, condition: WaitCondition) -> Result<u8, Error> {
        let record = self.container(word)?;
        let code = self.wait_for_end(&record, condition)?;
        if condition == WaitCondition::Removed {
            // The monitor removes it, or another command at any time.
            while self.store().container(&record.id).path().exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(code)
    }

    fn wait_for_end(
        &self,
        record: &ContainerRecord,
        condition: WaitCondition,
    ) -> Result<u8, Error> {
        loop {
            let life = self.life(record)?;
            let is_alive = life.status.is_alive();
            if !is_alive && condition != WaitCondition::NextExit {
                return Ok(life.code);
            }
            let peer = if is_alive {
                self.connect(record)?
            } else {
                None
            };
            let Some(peer) = peer else {
                // It is just being started or has just ended.
                std::thread::sleep(Duration::from_millis(20));
                if !self.store().container(&record.id).path().exists() {
                    return Ok(life.code);
                }
                continue;
            };
            let what: &[u8] = match condition {
                WaitCondition::NextExit => &[1],
                _ => &[],
            };
            if peer.send(request::WAIT, what).is_ok()
                && let Answer::Exited(code) = peer.answer(None)?
            {
                return Ok(code);
            }
        }
    }

    /// Writes down that a container whose monitor was killed has ended, and sees to it.
    pub(crate) fn bury(&self, record: &ContainerRecord) -> Result<(), Error> {
        let container = self.store.container(&record.id);
        let Some(_lock) = self.take(record)? else {
            // Somebody takes care of it again, or has removed it.
            return Ok(());
        };
        let written: Life = container.read_state()?.unwrap_or_default();
        if !written.is_stale() {
            return Ok(());
        }
        if let Some(process) = written.process.as_ref().filter(|one| one.is_alive()) {
            control::kill(process).map_err(|source| Error::Wait {
                id: record.id.clone(),
                source,
            })?;
        }
        let life = Life {
            monitor: None,
            process: None,
            cgroup: written.cgroup.clone().and_then(try_to_remove),
            finished: Some(crate::moment::Moment::now()),
            ..written.now()
        };
        container.write_state(&life, Durability::Cached)?;
        self.remove_etc(&record.id);
        let event = Event::container("die", record);
        self.emit(&event.with("exitCode", life.code.to_string()));
        self.emit_end(record);
        if record.remove {
            self.remove_files(record)?;
        }
        Ok(())
    }

    /// How a container is when it is not just being started or removed by somebody: it runs, or
    /// nobody has it in his hands.
    pub(crate) fn settled_life(&self, record: &ContainerRecord) -> Result<Life, Error> {
        let deadline = Instant::now() + AFTER_KILL;
        loop {
            let life = self.life(record)?;
            let container = self.store.container(&record.id);
            let is_settled = life.status.is_alive()
                || !container.path().exists()
                || container.try_lock()?.is_some();
            if is_settled || Instant::now() >= deadline {
                return Ok(life);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Takes a container into the caller's hands; nothing of one that somebody else has there, or that
    /// is gone.
    pub(crate) fn take(&self, record: &ContainerRecord) -> Result<Option<std::fs::File>, Error> {
        let container = self.store.container(&record.id);
        match container.try_lock() {
            Err(_) if !container.path().exists() => Ok(None),
            other => Ok(other?),
        }
    }

    /// Waits until nobody takes care of a container any more, and takes it into the caller's hands.
    pub(crate) fn seize(&self, record: &ContainerRecord) -> Result<std::fs::File, Error> {
        let deadline = Instant::now().checked_add(AFTER_KILL);
        loop {
            if let Some(lock) = self.store.container(&record.id).try_lock()? {
                return Ok(lock);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Error::ContainerBusy(record.name.to_string()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Removes a cgroup whose processes were just killed; returns it when the kernel still holds one of them.
/// Everybody who looks at the containers comes by here, and does not wait for that.
pub(crate) fn try_to_remove(cgroup: Cgroup) -> Option<Cgroup> {
    const KILLED: Duration = Duration::from_millis(100);
    cgroup.remove_within(KILLED).is_err().then_some(cgroup)
}

/// When a program is gone that may take so long before it is killed.
fn deadline(patience: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(patience?.checked_add(AFTER_KILL)?)
}

/// The processes of a container that is alive, for whoever looks at them.
impl Life {
    /// Its first process.
    #[must_use]
    pub fn first_process(&self) -> Option<&ProcessIdentity> {
        self.process.as_ref().filter(|_| self.status.is_up())
    }

    /// Whether it runs and is not held.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }
}
