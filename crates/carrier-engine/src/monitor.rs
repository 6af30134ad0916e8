//! The process that takes care of one container: it starts the program, owns its streams, its log and
//! its exit status, and starts it again where that was asked for. It outlives the command that made
//! it, and the container does not outlive it.

mod cgroup;
mod clients;
mod health;
mod network;
mod pause;
mod protocol;
mod serve;
mod stop;
pub(crate) mod streams;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use carrier_runtime::state::ProcessIdentity;
use carrier_runtime::{OuterIds, Started};
use carrier_store::Durability;
use carrier_sys::process::{ChildToken, SingleThreaded};
use carrier_sys::signal::SignalStream;
use carrier_sys::umask::with_users;
use rustix::process::Signal;

use crate::bridge::Membership;
use crate::core_dumps;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::events::Event;
use crate::fallback::FuseMount;
use crate::health::HealthMonitor;
use crate::life::{Life, Status};
use crate::log::{Log, Origin};
use crate::moment::Moment;
use crate::net::{Connection, Follower, NetworkState, Publication};
use crate::record::ContainerRecord;
use crate::restart::BackOff;
use cgroup::Confinement;
use clients::{Client, Clients};
use pause::Held;
pub use protocol::Wanted;
pub(crate) use protocol::{CHUNK, Peer, Refusal, answer, request};
use stop::Stop;
pub(crate) use streams::Ends;

/// The monitor's socket in the directory of its container.
pub(crate) const SOCKET: &str = "control.sock";

/// Signals that end a process which has nothing to lose.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

/// Somebody who does not read keeps a container so long from being started again.
const SLOW_READER: Duration = Duration::from_secs(1);

/// A container that is about to be started, in the hands of the caller.
pub(crate) struct Start<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) record: &'a ContainerRecord,
    /// See [`carrier_store::ContainerDir::try_lock`].
    pub(crate) lock: File,
    /// How the container was before.
    pub(crate) before: Life,
}

impl Start<'_> {
    /// Makes the monitor, and returns the caller's end of a conversation with it once the program
    /// runs.
    pub(crate) fn fork(self, wanted: Wanted, warn: &dyn Fn(&str)) -> Result<Peer, Error> {
        let failed = |source| Error::Monitor {
            action: "start",
            source,
        };
        let proof = SingleThreaded::check().map_err(failed)?;
        let (mine, theirs) = Peer::pair().map_err(failed)?;
        let engine = self.engine;
        if let Some(outer) = &mut *engine.lock_outer_ids() {
            outer.go_on();
        }
        let run = |token| {
            if let Some(outer) = &mut *self.engine.lock_outer_ids() {
                outer.inherit();
            }
            if self.leave_descriptors(&theirs, &token).is_err() {
                return 1;
            }
            let mut first = Client::new(theirs);
            first.wanted = wanted;
            first.size = crate::attach::terminal_size();
            // Nobody is there to hear of what fails before the command has been told.
            u8::from(Monitor::begin(self, first).is_none_or(|monitor| monitor.live(warn).is_err()))
        };
        let monitor = carrier_sys::process::fork(&proof, run).map_err(failed)?;
        monitor.release();
        let started = mine.wait_started();
        // Whoever made it is done, and has to be waited for.
        drop(engine.lock_outer_ids().take());
        started.map(|()| mine)
    }
}

impl Start<'_> {
    /// Whoever waits for the end of a file that the command has open must not wait for the monitor.
    fn leave_descriptors(&self, peer: &Peer, token: &ChildToken) -> io::Result<()> {
        let outer_ids = self.engine.lock_outer_ids();
        let mut keep = vec![
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
            peer.as_fd(),
            self.lock.as_fd(),
            self.engine.store.as_fd(),
        ];
        keep.extend(outer_ids.iter().flat_map(OuterIds::fds));
        carrier_sys::fd::close_all_but(&keep, token)
    }
}

impl Peer {
    /// Waits for the monitor's word that the program runs.
    fn wait_started(&self) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK];
        let failed = |source| Error::Monitor {
            action: "hear from",
            source,
        };
        match self.receive(&mut buffer).map_err(failed)? {
            Some((answer::STARTED, _)) => Ok(()),
            Some((answer::REFUSED, length)) => Err(refused(buffer.get(..length))),
            _ => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// The error that a monitor has put into words.
pub(crate) fn refused(words: Option<&[u8]>) -> Error {
    let refusal = words.and_then(|words| serde_json::from_slice(words).ok());
    refusal.map_or(
        Error::Monitor {
            action: "understand",
            source: io::ErrorKind::InvalidData.into(),
        },
        Error::Refused,
    )
}

/// The monitor of one container.
struct Monitor<'a> {
    engine: &'a Engine,
    record: ContainerRecord,
    /// Held until all is written down.
    lock: Option<File>,
    life: Life,
    clients: Clients,
    signals: SignalStream,
    log: Log,
    stop: Stop,
    held: Held,
    health: Option<HealthMonitor>,
    confinement: Confinement,
    /// Ports of the host that lead to it.
    publication: Publication,
    /// The program is ended because it is not well, to be started again.
    unwell: bool,
    /// Of the last program.
    follower: Option<Follower>,
}

/// A program that runs.
struct Program {
    started: Started,
    ends: Ends,
    since: Instant,
    connection: Connection,
    member: Option<Membership>,
    /// When it comes back to networks that it has lost.
    rejoins: Option<Instant>,
    _mount: Option<FuseMount>,
}

impl<'a> Monitor<'a> {
    /// Leaves the session of the command; nothing when the command was told why that failed.
    fn begin(start: Start<'a>, mut first: Client) -> Option<Self> {
        let log = open_log(start.engine, start.record);
        let made = || {
            core_dumps::give_up()?;
            rustix::process::setsid().map_err(io::Error::from)?;
            rustix::process::chdir("/")?;
            let path = start.engine.store.container(&start.record.id);
            let clients = Clients::listen(&path.path().join(SOCKET))?;
            let signals = SignalStream::new(&ENDING.map(Signal::as_raw))?;
            let monitor = ProcessIdentity::of(std::process::id())?;
            Ok((clients, signals, monitor))
        };
        let made = log.and_then(|log| {
            let (clients, signals, monitor) = made().map_err(|source| Error::Monitor {
                action: "start",
                source,
            })?;
            Ok((clients, log, signals, monitor))
        });
        match made {
            Ok((mut clients, log, signals, monitor)) => {
                clients.all.push(first);
                Some(Self {
                    engine: start.engine,
                    record: start.record.clone(),
                    lock: Some(start.lock),
                    life: Life {
                        created: Some(start.record.created),
                        monitor: Some(monitor),
                        stopped: false,
                        restarts: 0,
                        error: None,
                        kept_for: None,
                        ..start.before
                    },
                    clients,
                    signals,
                    log,
                    stop: Stop::default(),
                    held: Held::default(),
                    health: None,
                    confinement: Confinement::default(),
                    publication: Publication::default(),
                    unwell: false,
                    follower: None,
                })
            }
            Err(error) => {
                refuse(&mut first, &error);
                None
            }
        }
    }

    /// Takes care of the container until it does not run any more.
    fn live(mut self, warn: &dyn Fn(&str)) -> Result<(), Error> {
        let mut program = match self.start(warn) {
            Ok(program) => program,
            Err(error) => {
                self.fail_to_start(&error);
                return Err(error);
            }
        };
        for client in &mut self.clients.all {
            client.answer(answer::STARTED, &[]);
        }
        leave_streams();
        let mut back_off = BackOff::default();
        loop {
            let lifetime = program.since.elapsed();
            let code = self.serve(program)?;
            self.end(code);
            let again = std::mem::take(&mut self.unwell)
                || self.record.restart.wants(code, self.life.restarts);
            if !again || self.stop.was_asked_for() {
                break;
            }
            self.restart_after(back_off.next(lifetime))?;
            if self.stop.was_asked_for() {
                break;
            }
            self.life.restarts += 1;
            program = match self.start(&|_| {}) {
                Ok(program) => program,
                Err(error) => {
                    self.life.error = Some(error.line());
                    self.remove_cgroup();
                    break;
                }
            };
        }
        self.finish()
    }

    fn start(&mut self, warn: &dyn Fn(&str)) -> Result<Program, Error> {
        if self.publication.listeners.is_empty() {
            // Kept from one start to the next.
            self.publication = self.engine.publish(&self.record)?;
        }
        self.find_cgroup()?;
        let place = self.confinement.subtree();
        let launched = (self.engine).prepare(&self.record, &self.publication, place, warn)?;
        self.watch_cgroup();
        let member = launched.member.as_ref();
        if let Some(warning) = member.and_then(|member| member.warning.as_deref()) {
            warn(warning);
        }
        if let Some((rows, columns)) = self.clients.size() {
            launched.ends.resize(rows, columns);
        }
        let wait = |source| Error::Wait {
            id: self.record.id.clone(),
            source,
        };
        // While it waits: once it runs, it may be gone at any time.
        let process = ProcessIdentity::of(launched.ready.pid()).map_err(wait)?;
        let started = launched.ready.start()?;
        let since = Instant::now();
        // After a boot it counts that a container was started once.
        let durability = match self.life.started {
            None => self.record.durability(),
            Some(_) => Durability::Cached,
        };
        self.life.status = Status::Running;
        self.life.process = Some(process.clone());
        self.life.started = Some(Moment::now());
        self.life.network = launched.connection.state(&self.publication);
        self.begin_checks();
        self.write_pid(started.pid())?;
        self.write_for(durability)?;
        self.engine.leave_outer_ids(&process);
        self.engine.emit_begin(&self.record);
        self.engine.emit(&Event::container("start", &self.record));
        if let Some(seconds) = self.record.timeout {
            self.stop
                .at(since.checked_add(Duration::from_secs(seconds)));
        }
        Ok(Program {
            started,
            ends: launched.ends,
            since,
            connection: launched.connection,
            member: launched.member,
            rejoins: None,
            _mount: launched.mount,
        })
    }

    /// Tells the command, in whose hands the container is again.
    fn fail_to_start(mut self, error: &Error) {
        self.life.monitor = None;
        self.life.error = Some(error.line());
        self.life.code = exit_code(error);
        if self.life.status.is_alive() {
            self.life.status = Status::Exited;
        }
        self.remove_cgroup();
        // The command's error is the one that counts.
        let _ = self.write();
        self.close_up();
        for client in &mut self.clients.all {
            refuse(client, error);
        }
    }

    /// The program has ended.
    fn end(&mut self, code: u8) {
        self.life.code = code;
        self.life.finished = Some(Moment::now());
        self.life.process = None;
        self.life.network = NetworkState::default();
        self.end_checks();
        self.forget_held();
        self.remove_cgroup();
        self.life.stopped |= self.stop.was_asked_for();
        let event = Event::container("die", &self.record);
        self.engine.emit(&event.with("exitCode", code.to_string()));
        self.engine.emit_end(&self.record);
    }

    /// Waits before the next start, and tells those who are attached that this was the end.
    fn restart_after(&mut self, wait: Duration) -> Result<(), Error> {
        self.life.status = Status::Restarting;
        self.write()?;
        self.clients.deliver_rest(Some(SLOW_READER));
        let code = self.life.code;
        for client in &mut self.clients.all {
            if !client.wanted.is_empty() || client.waits_for_exit {
                client.tell_exit(code);
            }
        }
        self.part_with_the_gone(None);
        self.follower = None;
        self.wait_until(Instant::now() + wait)
    }

    /// Leaves the container to others, removes it where that was asked for, and tells all.
    fn finish(mut self) -> Result<(), Error> {
        self.life.unlogged = self.log.lost();
        self.life.monitor = None;
        self.life.status = Status::Exited;
        // Asked for while no program ran, it is not written down yet.
        self.life.stopped |= self.stop.was_asked_for();
        if self.record.remove && self.life.kept_for.is_none() {
            return self.leave_nothing();
        }
        let written = self.write();
        self.close_up();
        self.clients.tell_exit(self.life.code);
        written
    }

    /// Removes the container. Its files take time to delete: nobody waits for that.
    fn leave_nothing(mut self) -> Result<(), Error> {
        self.clients.close();
        let taken = self.engine.take_files(&self.record);
        match &taken {
            Ok(Some(_)) => self.lock = None,
            _ => {
                // The next command removes it.
                let _ = self.write();
                self.close_up();
            }
        }
        self.clients.tell_exit(self.life.code);
        taken?.map_or(Ok(()), |taken| self.engine.delete(&self.record.id, &taken))
    }

    /// Lets nobody in any more, and others take care of the container.
    fn close_up(&mut self) {
        self.clients.close();
        let socket = self
            .engine
            .store
            .container(&self.record.id)
            .path()
            .join(SOCKET);
        self.engine.remove_etc(&self.record.id);
        // Who comes later finds nobody behind it.
        let _ = std::fs::remove_file(socket);
        self.lock = None;
    }

    /// Tells the process id to whoever wants it in a file.
    fn write_pid(&self, pid: u32) -> Result<(), Error> {
        let Some(path) = &self.record.pid_file else {
            return Ok(());
        };
        let written = with_users(|| std::fs::write(path, format!("{pid}")));
        written.map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })
    }

    fn write(&self) -> Result<(), Error> {
        self.write_for(Durability::Cached)
    }

    fn write_for(&self, durability: Durability) -> Result<(), Error> {
        let container = self.engine.store.container(&self.record.id);
        match container.write_state(&self.life, durability) {
            // Somebody has removed the container by force.
            Err(_) if !container.path().exists() => Ok(()),
            other => Ok(other?),
        }
    }
}

fn open_log(engine: &Engine, record: &ContainerRecord) -> Result<Log, Error> {
    let origin = Origin {
        id: record.id.as_str(),
        short: record.id.short(),
        name: record.name.as_str(),
        image: &record.image_name(),
    };
    Log::open(
        &record.log,
        engine.store.container(&record.id).path(),
        &origin,
    )
}

fn refuse(client: &mut Client, error: &Error) {
    let refusal = Refusal {
        message: error.line(),
        hint: error.hint(),
        code: exit_code(error),
    };
    if let Ok(words) = serde_json::to_vec(&refusal) {
        client.answer(answer::REFUSED, &words);
    }
}

/// The code of a program that was not started, as in Docker.
fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::ProgramNotFound => 127,
        ErrorKind::ProgramNotExecutable => 126,
        _ => 125,
    }
}

/// The command's standard streams are not the monitor's: whoever reads them waits for their end.
pub(crate) fn leave_streams() {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(null) = rustix::fs::open("/dev/null", flags, Mode::empty()) else {
        return;
    };
    // They fail for no open descriptor.
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
}
