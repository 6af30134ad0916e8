//! The loop in which a monitor spends its life.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use carrier_sys::memory::ProgramPages;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::protocol::{CHUNK, Wanted, answer, request};
use super::streams::Read;
use super::{Monitor, Program};
use crate::bridge::Membership;
use crate::error::Error;
use crate::health::HealthMonitor;
use crate::life::Status;
use crate::log::Stream;
use crate::net::Publication;
use crate::signals::signal_number;

/// A terminal that no process has open is looked at again so often.
const TERMINAL_PAUSE: Duration = Duration::from_millis(20);

/// Whoever waits longer gives memory back meanwhile.
const REST: Duration = Duration::from_millis(500);

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Program,
    Signals,
    Listener,
    Output(Stream),
    Input,
    Health,
    Cgroup,
    Network,
    Client(usize),
}

impl Monitor<'_> {
    /// Serves the program until it has ended, and returns its code.
    pub(super) fn serve(&mut self, mut program: Program) -> Result<u8, Error> {
        let mut quiet_until = None;
        loop {
            for (source, flags) in self.wait(Some(&program), quiet_until)? {
                match source {
                    Source::Program => return self.reap(program),
                    Source::Output(stream) => {
                        if self.take_output(&mut program, stream) == Read::End
                            && program.ends.is_terminal()
                        {
                            quiet_until = Instant::now().checked_add(TERMINAL_PAUSE);
                        }
                    }
                    Source::Input => self.give_input(&mut program),
                    Source::Signals => self.pass_signals(Some(&program))?,
                    Source::Listener => self.clients.accept(),
                    // Looked at below.
                    Source::Health => {}
                    Source::Cgroup => self.look_for_killed(),
                    Source::Network => self.check_network(&mut program)?,
                    Source::Client(place) => self.hear(place, flags, Some(&mut program)),
                }
            }
            self.part_with_the_gone(Some(&mut program));
            self.log.flush();
            quiet_until = quiet_until.filter(|until| *until > Instant::now());
            if program.rejoins.is_some_and(|at| at <= Instant::now()) {
                self.rejoin(&mut program);
                self.write()?;
            }
            self.check_health(&program);
            if self.stop.is_due() {
                self.signal(&program, Signal::KILL.as_raw());
            }
        }
    }

    /// Waits without a program, for `until` or a word of the user.
    pub(super) fn wait_until(&mut self, until: Instant) -> Result<(), Error> {
        while Instant::now() < until && !self.stop.was_asked_for() {
            for (source, flags) in self.wait(None, Some(until))? {
                match source {
                    Source::Signals => self.pass_signals(None)?,
                    Source::Listener => self.clients.accept(),
                    Source::Client(place) => self.hear(place, flags, None),
                    Source::Program
                    | Source::Output(_)
                    | Source::Input
                    | Source::Health
                    | Source::Cgroup
                    | Source::Network => {}
                }
            }
            self.part_with_the_gone(None);
        }
        Ok(())
    }

    /// Waits until something happens, at the latest until `until`: a terminal is not looked at before.
    fn wait(
        &self,
        program: Option<&Program>,
        until: Option<Instant>,
    ) -> Result<Vec<(Source, PollFlags)>, Error> {
        let mut sources = vec![Source::Signals];
        let mut files = vec![(self.signals.as_fd(), PollFlags::IN)];
        let mut add = |source, file, flags| {
            sources.push(source);
            files.push((file, flags));
        };
        if let Some(listener) = self.clients.listener() {
            add(Source::Listener, listener, PollFlags::IN);
        }
        if let Some(program) = program {
            let is_quiet = until.is_some() && program.ends.is_terminal();
            if !self.clients.is_owed() && !is_quiet {
                for (stream, file) in program.ends.outputs() {
                    add(Source::Output(stream), file, PollFlags::IN);
                }
            }
            let has_input = self
                .clients
                .all
                .iter()
                .any(|client| !client.input.is_empty());
            if has_input && let Some(file) = program.ends.input() {
                add(Source::Input, file, PollFlags::OUT);
            }
            for file in self.health.iter().flat_map(HealthMonitor::fds) {
                add(Source::Health, file, PollFlags::IN);
            }
            if let Some(file) = self.confinement.watch() {
                add(Source::Cgroup, file, PollFlags::IN);
            }
            let member = program.member.iter().map(AsFd::as_fd);
            for file in program.connection.fds().chain(member) {
                add(Source::Network, file, PollFlags::IN);
            }
            // Last: what the program wrote before it ended comes first.
            add(Source::Program, program.started.as_fd(), PollFlags::IN);
        }
        for (place, client) in self.clients.all.iter().enumerate() {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, self.clients.waits(place));
            add(Source::Client(place), client.peer.as_fd(), flags);
        }
        let check = self.health.as_ref().and_then(HealthMonitor::deadline);
        let rejoins = program.and_then(|program| program.rejoins);
        let deadlines = [self.stop.deadline(), until, check, rejoins];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = match wait_long(&files, timeout) {
            Err(Errno::INTR) => Vec::new(),
            Err(errno) => return Err(self.failed("wait for", errno)),
            Ok(ready) => ready,
        };
        let happened = sources.into_iter().zip(ready);
        Ok(happened.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        Error::Monitor {
            action,
            source: errno.into(),
        }
    }

    /// A network that fails is told, and no reason to end the program.
    fn check_network(&mut self, program: &mut Program) -> Result<(), Error> {
        if program.member.as_ref().is_some_and(Membership::is_gone) {
            self.rejoin(program);
            return self.write();
        }
        let changed = program.connection.check(&self.publication);
        if changed.map_err(|source| Error::Monitor {
            action: "look at the network of",
            source,
        })? {
            if !program.connection.forwards() {
                // Whoever comes is refused, and does not wait for nobody.
                self.publication = Publication::default();
            }
            self.life.network = program.connection.state(&self.publication);
            self.write()?;
        }
        Ok(())
    }

    /// Takes what the program wrote, for the log and for those who are attached.
    fn take_output(&mut self, program: &mut Program, stream: Stream) -> Read {
        let Some(chunk) = self.clients.free_chunk() else {
            return Read::Nothing;
        };
        let read = program.ends.read(stream, chunk);
        if read == Read::Some {
            self.log.write(stream, self.clients.chunk());
            self.clients.distribute(stream);
        }
        read
    }

    /// Gives the program what was typed, each message as a whole.
    fn give_input(&mut self, program: &mut Program) {
        let Some(client) = self
            .clients
            .all
            .iter_mut()
            .find(|client| !client.input.is_empty())
        else {
            return;
        };
        let count = program.ends.write(&client.input);
        client.input.drain(..count);
        if client.input.is_empty() {
            client.answer(answer::TAKEN, &[]);
        }
    }

    /// Whoever ends the monitor wants its container to end.
    fn pass_signals(&mut self, program: Option<&Program>) -> Result<(), Error> {
        let io = |source| Error::Monitor {
            action: "collect signals for",
            source,
        };
        while let Some(signal) = self.signals.next().map_err(io)? {
            self.stop.ask(self.record.patience(None));
            if let Some(program) = program {
                let wanted = signal_number(&self.record.stop_signal).unwrap_or(signal);
                self.signal(program, wanted);
            }
        }
        Ok(())
    }

    /// Collects what the program left with, and what it left behind.
    fn reap(&mut self, mut program: Program) -> Result<u8, Error> {
        let status = program.started.wait().map_err(|source| Error::Wait {
            id: self.record.id.clone(),
            source,
        })?;
        self.stop.forget_deadline();
        let streams: Vec<Stream> = program.ends.outputs().map(|(stream, _)| stream).collect();
        for stream in streams {
            let mut chunk = Vec::with_capacity(CHUNK);
            // A pipe has an end, since nobody is there to fill it.
            while program.ends.read(stream, &mut chunk) == Read::Some {
                self.log.write(stream, &chunk);
                self.clients.keep(stream, &chunk);
            }
        }
        self.log.end_of_program();
        self.follower = program.connection.take_follower();
        Ok(status.code())
    }

    fn hear(&mut self, place: usize, flags: PollFlags, program: Option<&mut Program>) {
        if flags.contains(PollFlags::OUT) {
            self.clients.deliver();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        let mut buffer = vec![0; CHUNK];
        let Some(client) = self.clients.all.get_mut(place) else {
            return;
        };
        match client.peer.receive_now(&mut buffer) {
            Err(Errno::AGAIN) => {}
            Ok(Some((what, length))) => {
                let payload = buffer.get(..length).unwrap_or_default();
                self.obey(place, what, payload, program);
            }
            Ok(None) | Err(_) => client.leave(),
        }
    }

    fn obey(&mut self, place: usize, what: u8, payload: &[u8], program: Option<&mut Program>) {
        let Some(client) = self.clients.all.get_mut(place) else {
            return;
        };
        match (what, payload) {
            (request::ATTACH, [wanted]) => {
                client.wanted = Wanted::from_bits_truncate(*wanted);
                client.answer(answer::STARTED, &[]);
            }
            (request::INPUT, bytes) => client.input.extend_from_slice(bytes),
            (request::END_OF_INPUT, []) => {
                if !self.record.detached
                    && let Some(program) = program
                {
                    program.ends.close_input();
                }
            }
            (request::RESIZE, &[r1, r2, c1, c2]) => {
                let size = (u16::from_ne_bytes([r1, r2]), u16::from_ne_bytes([c1, c2]));
                client.size = Some(size);
                if let Some(program) = program {
                    program.ends.resize(size.0, size.1);
                }
            }
            (request::SIGNAL, &[signal, stays_down]) => {
                client.answer(answer::DONE, &[]);
                if stays_down != 0 || self.is_final(signal.into()) {
                    self.stop.stay_down();
                }
                if let Some(program) = program {
                    self.signal(program, signal.into());
                }
            }
            (request::KEEP, []) => self.life.kept_for = client.peer.process(),
            (request::STOP, &[signal, ref patience @ ..]) => {
                let patience = patience.try_into().map(u64::from_ne_bytes).ok();
                let patience = patience.filter(|milliseconds| *milliseconds != u64::MAX);
                self.stop.ask(patience.map(Duration::from_millis));
                if let Some(program) = program {
                    self.signal(program, signal.into());
                }
            }
            (request::WAIT, how) => client.waits_for_exit = how == [1],
            (request::PAUSE, []) => self.pause(place, program.as_deref(), true),
            (request::HOLD, []) => self.hold_for(place, program.as_deref()),
            (request::RELEASE, []) => self.release(place),
            (request::UNPAUSE, []) => self.pause(place, program.as_deref(), false),
            (request::RELOAD, []) => self.reload(place, program),
            _ => client.leave(),
        }
    }

    /// Whether a program that gets this signal is not to be started again.
    fn is_final(&self, signal: i32) -> bool {
        signal == Signal::KILL.as_raw() || signal_number(&self.record.stop_signal) == Some(signal)
    }

    /// A held program takes no signal: it is let go for one that ends it.
    pub(super) fn signal(&mut self, program: &Program, signal: i32) {
        // It may have ended.
        let _ = program.started.signal(signal);
        if self.life.status == Status::Paused && self.stop.was_asked_for() {
            // A full disk is no reason to hold it.
            let _ = self.let_go();
        }
    }

    fn reload(&mut self, place: usize, program: Option<&mut Program>) {
        let container = self.engine.store.container(&self.record.id);
        if let Ok(Some(record)) = container.read_record() {
            let before = std::mem::replace(&mut self.record, record);
            if let Some(program) = program {
                self.reload_network(program, &before);
            }
        }
        if let Some(client) = self.clients.all.get_mut(place) {
            client.answer(answer::DONE, &[]);
        }
    }
}

/// poll(2), in little memory when it takes long.
fn wait_long(
    files: &[(BorrowedFd<'_>, PollFlags)],
    timeout: Option<Duration>,
) -> Result<Vec<PollFlags>, Errno> {
    let mut fds: Vec<PollFd<'_>> = files
        .iter()
        .map(|(file, flags)| PollFd::from_borrowed_fd(*file, *flags))
        .collect();
    let mut wait = |timeout: Option<Duration>| {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let ready = poll(&mut fds, timeout.as_ref())?;
        Ok((ready > 0).then(|| fds.iter().map(PollFd::revents).collect()))
    };
    let is_long = timeout.is_none_or(|timeout| timeout > REST);
    if !is_long {
        return Ok(wait(timeout)?.unwrap_or_default());
    }
    if let Some(ready) = wait(Some(REST))? {
        return Ok(ready);
    }
    let left = timeout.map(|timeout| timeout.saturating_sub(REST));
    let rested = ProgramPages::find().and_then(|pages| pages.rest(files, left));
    // Without rest, it waits as everybody does.
    let left = rested.map_or(left, |()| Some(Duration::ZERO));
    Ok(wait(left)?.unwrap_or_default())
}
