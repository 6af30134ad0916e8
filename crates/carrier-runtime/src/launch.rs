//! The stages of a start: `Prepared`, `Spawned`, `Ready`, `Started`.
//!
//! Each stage is consumed by the next, so that no other order compiles, and each undoes itself when
//! it is dropped: the child is killed and reaped, and with it go its namespaces and mounts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::{Child, ExitStatus, Namespaces, SingleThreaded, clone_into};
use rustix::io::Errno;

use crate::channel::{ParentEnd, Report, pair};
use crate::compile::{self, Bundle};
use crate::error::Error;
use crate::idmap::IdMaps;
use crate::init;
use crate::plan::{InitPlan, Step};

/// A container of which all is decided and nothing exists.
#[derive(Debug)]
pub struct Prepared {
    plan: InitPlan,
    namespaces: Namespaces,
    maps: IdMaps,
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
}

/// A running program.
#[derive(Debug)]
pub struct Started {
    child: Child,
    terminal: Option<OwnedFd>,
}

impl Prepared {
    /// Compiles the plan of `bundle`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Unsupported`] or [`Error::Seccomp`]: nothing was done yet.
    pub fn new(bundle: Bundle<'_>) -> Result<Self, Error> {
        let compiled = compile::compile(bundle)?;
        Ok(Self {
            plan: compiled.plan,
            namespaces: compiled.namespaces,
            maps: compiled.maps,
        })
    }

    /// Creates the namespaces and the process in them.
    ///
    /// # Errors
    /// [`Error::Clone`] when the kernel refuses, [`Error::IdMap`] when it or a helper refuses the
    /// ids.
    pub fn spawn(self, proof: &SingleThreaded) -> Result<Spawned, Error> {
        leave_login_keyring()?;
        let (channel, child_end) = pair().map_err(|errno| Error::Prepare(errno.into()))?;
        let child = clone_into(self.namespaces, proof, |token| {
            init::run(&self.plan, &child_end, &token)
        })
        .map_err(Error::Clone)?;
        drop(child_end);
        let spawned = Spawned {
            child,
            channel,
            plan: self.plan,
        };
        if self.namespaces.contains(Namespaces::USER) {
            self.maps.write(spawned.child.pid())?;
            // A child that is gone tells why below, in `wait_ready`.
            let _ = spawned.channel.go();
        }
        Ok(spawned)
    }
}

/// Leaves the session keyring of the login for one that all containers of the user share: it is
/// joined before the clone, since a keyring's name counts within one user namespace only, and the
/// kernel allows a user far fewer keyrings than containers. Containers cannot reach it: seccomp
/// forbids the calls.
fn leave_login_keyring() -> Result<(), Error> {
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
    /// Waits until the child has done everything but execute the program.
    ///
    /// # Errors
    /// [`Error::Step`] names what failed.
    pub fn wait_ready(self) -> Result<Ready, Error> {
        let mut terminal = None;
        loop {
            match self.channel.receive().map_err(Error::Channel)? {
                Report::Ready => {
                    return Ok(Ready {
                        spawned: self,
                        terminal,
                    });
                }
                Report::Terminal(controller) => terminal = Some(controller),
                Report::Failed { step, errno } => return Err(self.explain(step, errno)),
                Report::Closed => return Err(Error::ChildDied),
            }
        }
    }

    fn explain(&self, step: usize, source: Errno) -> Error {
        let Some(planned) = self.plan.steps.get(step) else {
            return Error::ChildDied;
        };
        match &planned.step {
            Step::Execute(execution) => {
                let program = execution.name.clone();
                match source {
                    Errno::NOENT | Errno::NOTDIR => Error::ProgramNotFound { program },
                    _ => Error::ProgramNotExecutable { program, source },
                }
            }
            step => Error::Step {
                action: step.to_string(),
                origin: planned.origin.to_string(),
                source,
            },
        }
    }
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

    /// Lets the program run; returns when it does.
    ///
    /// # Errors
    /// [`Error::ProgramNotFound`] or [`Error::ProgramNotExecutable`].
    pub fn start(self) -> Result<Started, Error> {
        let Self { spawned, terminal } = self;
        spawned.channel.go().map_err(Error::Channel)?;
        match spawned.channel.receive().map_err(Error::Channel)? {
            // The channel is close-on-exec: its end is the program's beginning.
            Report::Closed => Ok(Started {
                child: spawned.child,
                terminal,
            }),
            Report::Failed { step, errno } => Err(spawned.explain(step, errno)),
            Report::Ready | Report::Terminal(_) => Err(Error::Channel(Errno::PROTO)),
        }
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
