//! The stages of a start: `Prepared`, `Spawned`, `Ready`, `Started`.
//!
//! Each stage is consumed by the next, so that no other order compiles, and each undoes itself when
//! it is dropped: the child is killed and reaped, and with it go its namespaces and mounts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::{Child, ExitStatus, Namespaces, SingleThreaded, clone_into};
use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;

use crate::cgroup::Subtree;
use crate::channel::{ParentEnd, Report, pair, with_short_path};
use crate::compile::{self, Bundle, Compiled, Join, Nesting, Wanted};
use crate::error::Error;
use crate::explain::Explanations;
use crate::idmap::IdMaps;
use crate::plan::InitPlan;
use crate::{init, join, mapped, oom};

/// A container of which all is decided and nothing exists.
#[derive(Debug)]
pub struct Prepared {
    plan: InitPlan,
    namespaces: Wanted,
    maps: IdMaps,
    awaits_parent: bool,
}

/// A child in its namespaces, at work on its plan.
#[derive(Debug)]
pub struct Spawned {
    child: Child,
    channel: ParentEnd,
    plan: InitPlan,
}

/// A container that waits for its start.
#[derive(Debug)]
pub struct Ready {
    spawned: Spawned,
    terminal: Option<OwnedFd>,
    listener: Option<OwnedFd>,
}

/// A running program.
#[derive(Debug)]
pub struct Started {
    child: Child,
    terminal: Option<OwnedFd>,
    listener: Option<OwnedFd>,
}

impl Prepared {
    /// Compiles the plan of `bundle`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Unsupported`] or [`Error::Seccomp`]: nothing was done yet.
    pub fn new(bundle: Bundle<'_>) -> Result<Self, Error> {
        compile::compile(bundle).map(Self::from)
    }

    /// Has the container's user namespace made inside of another one.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the container has no new one, or ids that the other one lacks.
    pub fn nested(mut self, nesting: Nesting) -> Result<Self, Error> {
        self.namespaces.nest(nesting, &self.maps)?;
        Ok(self)
    }

    /// Makes the child fail right before a step; nothing is changed where there is no such step.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn fail_before(mut self, step: usize) -> Self {
        if step < self.plan.steps.len() {
            let planned = crate::plan::PlannedStep {
                step: crate::plan::Step::Fail,
                origin: "fault".into(),
            };
            self.plan.steps.insert(step, planned);
        }
        self
    }

    /// A process that does what `plan` says in namespaces that exist.
    pub(crate) fn joining(plan: InitPlan, joined: Vec<Join>, awaits_parent: bool) -> Self {
        Self {
            plan,
            namespaces: Wanted {
                new: Namespaces::empty(),
                joined,
                nest: None,
            },
            maps: IdMaps::default(),
            awaits_parent,
        }
    }

    /// Creates the namespaces and the process in them.
    ///
    /// # Errors
    /// [`Error::Clone`] when the kernel refuses, [`Error::IdMap`] when it or a helper refuses the
    /// ids.
    pub fn spawn(self, proof: &SingleThreaded) -> Result<Spawned, Error> {
        leave_login_keyring()?;
        self.spawn_and(proof, |_: u32| Ok(()))
    }

    /// [`spawn`](Self::spawn) into a cgroup of `subtree` that has these limits. The bundle's
    /// [`Launch::has_cgroup`](crate::Launch::has_cgroup) says that there is one.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn), and those of [`Subtree`] and its limits.
    pub fn spawn_in(
        self,
        proof: &SingleThreaded,
        subtree: &mut Subtree,
        resources: &LinuxResources,
    ) -> Result<Spawned, Error> {
        leave_login_keyring()?;
        self.spawn_and(proof, subtree.arrangement(resources)?)
    }

    /// [`spawn`](Self::spawn) in the keyring of the caller; `arrange` does what has to be done for
    /// the process before it goes on.
    pub(crate) fn spawn_and(
        mut self,
        proof: &SingleThreaded,
        mut arrange: impl Arrangement,
    ) -> Result<Spawned, Error> {
        mapped::open(&mut self.plan, proof)?;
        let (channel, child_end) = pair().map_err(|errno| Error::Prepare(errno.into()))?;
        let mut channel = Some(channel);
        let Wanted { new, joined, nest } = &self.namespaces;
        let child = if let Some(nest) = nest {
            let ends = (&mut channel, &child_end);
            join::clone_nested(nest, *new, &self.plan, ends, proof)?
        } else if joined.is_empty() {
            let run = |token| {
                // The child's copy would keep it from ever seeing that its parent is gone.
                drop(channel.take());
                init::run(&self.plan, &child_end, &token)
            };
            clone_into(*new, proof, run).map_err(Error::Clone)?
        } else {
            let ends = (&mut channel, &child_end);
            join::clone_inside(joined, *new, &self.plan, ends, proof)?
        };
        drop(child_end);
        let channel = channel.ok_or(Error::ChildDied)?;
        let spawned = Spawned {
            child,
            channel,
            plan: self.plan,
        };
        // Whoever joins namespaces has it from the process that joined them.
        if let Some(score) = spawned.plan.oom_score.filter(|_| joined.is_empty()) {
            oom::set_score(spawned.child.pid(), score)?;
        }
        arrange.begin(spawned.child.pid())?;
        if self.namespaces.makes_users() && self.namespaces.nest.is_none() {
            self.maps.write(spawned.child.pid())?;
        }
        arrange.finish(spawned.child.pid())?;
        if self.awaits_parent {
            // A child that is gone tells why below, in `wait_ready`.
            let _ = spawned.channel.go();
        }
        Ok(spawned)
    }
}

/// What has to be done for a process before it goes on.
pub(crate) trait Arrangement {
    /// Begins it, as soon as there is a process.
    fn begin(&mut self, _pid: u32) -> Result<(), Error> {
        Ok(())
    }

    /// Finishes it, once the process has its ids.
    fn finish(&mut self, pid: u32) -> Result<(), Error>;
}

impl<F: FnMut(u32) -> Result<(), Error>> Arrangement for F {
    fn finish(&mut self, pid: u32) -> Result<(), Error> {
        self(pid)
    }
}

impl From<Compiled> for Prepared {
    fn from(compiled: Compiled) -> Self {
        Self {
            plan: compiled.plan,
            namespaces: compiled.namespaces,
            maps: compiled.maps,
            awaits_parent: compiled.awaits_parent,
        }
    }
}

/// Leaves the session keyring of the login for one that all containers of the user share: it is
/// joined before the clone, since a keyring's name counts within one user namespace only, and the
/// kernel allows a user far fewer keyrings than containers. Containers cannot reach it: seccomp
/// forbids the calls.
pub(crate) fn leave_login_keyring() -> Result<(), Error> {
    match carrier_sys::keyring::join_session(c"carrier") {
        // No key management in the kernel, or none allowed to us: then no keyring is inherited.
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::NOSYS | Errno::PERM)
            ) =>
        {
            Ok(())
        }
        other => other.map_err(Error::Keyring),
    }
}

impl Spawned {
    /// The process id, in the caller's namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until the child has done everything but execute the program.
    ///
    /// # Errors
    /// [`Error::Step`] names what failed.
    pub fn wait_ready(self) -> Result<Ready, Error> {
        self.wait_ready_and(|_| Ok(()))
    }

    /// [`wait_ready`](Self::wait_ready); `run_hooks` runs those that belong before the change of
    /// roots, when there are any.
    pub(crate) fn wait_ready_and(
        self,
        run_hooks: impl FnOnce(u32) -> Result<(), Error>,
    ) -> Result<Ready, Error> {
        let (mut terminal, mut listener) = (None, None);
        let mut run_hooks = Some(run_hooks);
        loop {
            match self.channel.receive().map_err(Error::Channel)? {
                Report::Ready => {
                    return Ok(Ready {
                        spawned: self,
                        terminal,
                        listener,
                    });
                }
                Report::Terminal(controller) => terminal = Some(controller),
                Report::Listener(notifications) => listener = Some(notifications),
                Report::Hooks => {
                    if let Some(run_hooks) = run_hooks.take() {
                        run_hooks(self.child.pid())?;
                    }
                    self.channel.go().map_err(Error::Channel)?;
                }
                Report::Failed { step, errno } => return Err(self.explain(step, errno)),
                Report::Spawned { .. } => return Err(Error::Channel(Errno::PROTO)),
                Report::Closed => return Err(Error::ChildDied),
            }
        }
    }

    /// Waits until a program runs that nobody holds back.
    pub(crate) fn wait_running(self) -> Result<Started, Error> {
        let listener = wait_running(&self.channel, |step, errno| self.explain(step, errno))?;
        Ok(Started {
            child: self.child,
            terminal: None,
            listener,
        })
    }

    fn explain(&self, step: usize, errno: Errno) -> Error {
        Explanations::of(&self.plan).error(step, errno)
    }
}

/// Waits until the process behind `channel` executes its program; returns where the notifications
/// of its seccomp filter come, where it has such a filter.
fn wait_running(
    channel: &ParentEnd,
    explain: impl Fn(usize, Errno) -> Error,
) -> Result<Option<OwnedFd>, Error> {
    let mut listener = None;
    loop {
        match channel.receive().map_err(Error::Channel)? {
            // The channel is close-on-exec: its end is the program's beginning.
            Report::Closed => return Ok(listener),
            Report::Listener(notifications) if listener.is_none() => {
                listener = Some(notifications);
            }
            Report::Failed { step, errno } => return Err(explain(step, errno)),
            _ => return Err(Error::Channel(Errno::PROTO)),
        }
    }
}

/// Lets the process that waits at the gate `path` execute its program.
pub(crate) fn open_gate(
    path: &std::path::Path,
    explanations: &Explanations,
) -> Result<Option<OwnedFd>, Error> {
    let channel = with_short_path(path, ParentEnd::knock).map_err(Error::Channel)?;
    wait_running(&channel, |step, errno| explanations.error(step, errno))
}

impl Ready {
    /// The process id, in the caller's namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.spawned.child.pid()
    }

    /// The controlling side of the container's terminal, where it has one.
    #[must_use]
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// Takes the controlling side of the container's terminal.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Takes the descriptor on which the notifications of an early seccomp filter come.
    pub(crate) fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// What the steps that are still to come would fail with.
    pub(crate) fn explanations(&self) -> Explanations {
        Explanations::of(&self.spawned.plan).of_the_start()
    }

    /// Leaves the container to whoever comes to its gate.
    pub(crate) fn release(self) {
        self.spawned.child.release();
    }

    /// Lets the program run; returns when it does.
    ///
    /// # Errors
    /// [`Error::ProgramNotFound`] or [`Error::ProgramNotExecutable`].
    pub fn start(self) -> Result<Started, Error> {
        let spawned = self.spawned;
        spawned.channel.go().map_err(Error::Channel)?;
        let explain = |step, errno| spawned.explain(step, errno);
        let listener = wait_running(&spawned.channel, explain)?;
        Ok(Started {
            child: spawned.child,
            terminal: self.terminal,
            listener: listener.or(self.listener),
        })
    }
}

impl Started {
    /// The process id, in the caller's namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Takes the controlling side of the container's terminal.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Takes the descriptor on which the notifications of the seccomp filter come.
    pub(crate) fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// Lets the program live on, also after this process.
    pub fn release(self) {
        self.child.release();
    }

    /// Sends a signal to the program; one that has ended is no error.
    ///
    /// # Errors
    /// Those of `pidfd_send_signal(2)`.
    pub fn signal(&self, signal: i32) -> std::io::Result<()> {
        self.child.signal(signal)
    }

    /// Waits for the end of the program, and so of every process in its namespace.
    ///
    /// # Errors
    /// Those of waitid(2).
    pub fn wait(self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl AsFd for Started {
    /// The pidfd: readable once the program has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.as_fd()
    }
}
