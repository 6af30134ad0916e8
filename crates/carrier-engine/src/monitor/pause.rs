//! Holding all processes of a container, and letting them go on.
//!
//! A container with a cgroup of its own is frozen. Without one there is no freezer: each process is stopped
//! by a signal, and the processes are looked through until none is left that is not. Those that were
//! stopped before stay so afterwards.

use std::os::fd::{AsFd as _, OwnedFd};

use carrier_runtime::{is_member, members_of, process_is_stopped};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::protocol::answer;
use super::{Monitor, Program, refuse};
use crate::error::Error;
use crate::life::Status;

/// Processes that can be made faster than they are stopped are not waited for for ever.
const ROUNDS: usize = 1000;

/// What keeps a container held: the processes to let go again.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(u32, OwnedFd)>);

impl Held {
    /// Stops every process of the PID namespace that `first` is in.
    fn hold(first: u32) -> Result<Self, Error> {
        let mut held = Self::default();
        for _ in 0..ROUNDS {
            let known = held.0.len();
            for pid in members_of(first) {
                if !held.0.iter().any(|(one, _)| *one == pid) && !process_is_stopped(pid) {
                    held.stop(pid, first);
                }
            }
            if held.0.len() == known {
                return Ok(held);
            }
        }
        held.let_go();
        Err(Error::CannotHold)
    }

    fn stop(&mut self, pid: u32, first: u32) {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let opened = number.map(|number| pidfd_open(number, PidfdFlags::empty()));
        // Looked at again now that the descriptor holds on to whatever process has the number.
        if let Some(Ok(pidfd)) = opened
            && is_member(pid, first)
            && carrier_sys::process::signal_process(pidfd.as_fd(), Signal::STOP.as_raw()).is_ok()
        {
            self.0.push((pid, pidfd));
        }
    }

    fn let_go(self) {
        for (_, pidfd) in self.0 {
            // It may have ended.
            let _ = carrier_sys::process::signal_process(pidfd.as_fd(), Signal::CONT.as_raw());
        }
    }
}

impl Monitor<'_> {
    /// Does what a command has asked for, and answers it.
    pub(super) fn pause(&mut self, place: usize, program: Option<&Program>, pause: bool) {
        let name = self.record.name.to_string();
        let done = match (program, self.life.status, pause) {
            (Some(program), Status::Running, true) => self.hold(program),
            (_, Status::Paused, true) => Err(Error::Paused(name)),
            (_, _, true) => Err(Error::NotRunning(name)),
            (Some(_), Status::Paused, false) => self.let_go(),
            (_, _, false) => Err(Error::NotPaused(name)),
        };
        let Some(client) = self.clients.all.get_mut(place) else {
            return;
        };
        match done {
            Ok(()) => client.answer(answer::DONE, &[]),
            Err(error) => refuse(client, &error),
        }
    }

    /// The same for as long as the command is connected, or until it says so. Several may hold it.
    pub(super) fn hold_for(&mut self, place: usize, program: Option<&Program>) {
        let is_shared = self.clients.is_held() && self.life.status == Status::Paused;
        let was_running = self.life.status == Status::Running;
        if !is_shared {
            self.pause(place, program, true);
        }
        let holds = is_shared || (was_running && self.life.status == Status::Paused);
        if let Some(client) = self.clients.all.get_mut(place) {
            client.holds = holds;
            if is_shared {
                client.answer(answer::DONE, &[]);
            }
        }
    }

    /// The command holds it no longer.
    pub(super) fn release(&mut self, place: usize) {
        let client = self.clients.all.get_mut(place);
        let held = client.is_some_and(|client| std::mem::take(&mut client.holds));
        if held && !self.clients.is_held() {
            self.let_go_for_the_last();
        }
        if let Some(client) = self.clients.all.get_mut(place) {
            client.answer(answer::DONE, &[]);
        }
    }

    /// Forgets the commands that have left. One may have been killed before it was told that it holds the
    /// processes, or while the program reads what it types.
    pub(super) fn part_with_the_gone(&mut self, program: Option<&mut Program>) {
        let left = self.clients.forget_the_gone();
        if left.held {
            self.let_go_for_the_last();
        }
        if left.typed
            && !self.record.detached
            && let Some(program) = program
        {
            program.ends.close_input();
        }
    }

    fn let_go_for_the_last(&mut self) {
        if self.life.status == Status::Paused {
            // A full disk is no reason to hold it.
            let _ = self.let_go();
        }
    }

    fn hold(&mut self, program: &Program) -> Result<(), Error> {
        match self.confinement.cgroup() {
            Some(cgroup) => cgroup.freeze(true)?,
            None => self.held = Held::hold(program.started.pid())?,
        }
        self.life.status = Status::Paused;
        if let Some(health) = &mut self.health {
            health.pause();
        }
        self.write()
    }

    /// The processes have ended, and nobody holds those that come after them.
    pub(super) fn forget_held(&mut self) {
        self.clients.release_all();
        self.held = Held::default();
    }

    pub(super) fn let_go(&mut self) -> Result<(), Error> {
        self.clients.release_all();
        match self.confinement.cgroup() {
            Some(cgroup) => cgroup.freeze(false)?,
            None => std::mem::take(&mut self.held).let_go(),
        }
        self.life.status = Status::Running;
        if let Some(health) = &mut self.health {
            health.resume();
        }
        self.write()
    }
}
