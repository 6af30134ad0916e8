//! The way out of the shared network: the same program that a container with a network for itself has.

use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use carrier_sys::process::SingleThreaded;

use crate::net::namespaces::NetworkNamespace;
use crate::net::uplink::{Choice, Uplink, UplinkPlan, choose};
use crate::net::{NetworkError, NetworkMode, NetworkOptions};

/// The device that leads out.
pub(super) const DEVICE: &str = "tap0";

/// A program that lived shorter than this would die again, if it were replaced at once.
const WORTH_ANOTHER: Duration = Duration::from_secs(5);

/// How long nothing is there instead of it.
const PAUSE: Duration = Duration::from_secs(60);

/// The program that carries packets out, or why there is none.
pub(super) enum WayOut {
    Open(Box<Open>),
    /// Why, and when another one is worth a try.
    Closed(String, Option<Instant>),
}

/// A program that carries packets out.
pub(super) struct Open {
    uplink: Uplink,
    plan: UplinkPlan,
    since: Instant,
}

impl WayOut {
    /// Starts the best program that there is, with the host's loopback closed (threat W-01).
    ///
    /// # Errors
    /// When there is one, and it fails.
    pub(super) fn start(
        namespaces: &NetworkNamespace,
        proof: &SingleThreaded,
    ) -> Result<Self, NetworkError> {
        match choose(&NetworkMode::Private, &NetworkOptions::default())? {
            Some(Choice::Uplink(plan)) => {
                let mut uplink = Uplink::start(&plan, namespaces, proof)?;
                uplink.wait_ready()?;
                Ok(Self::Open(Box::new(Open {
                    uplink,
                    plan,
                    since: Instant::now(),
                })))
            }
            Some(Choice::Nothing(reason)) => Ok(Self::Closed(reason, None)),
            None => Ok(Self::Closed("there is no program for it".to_owned(), None)),
        }
    }

    /// What a user should know.
    pub(super) fn warning(&self) -> Option<String> {
        match self {
            Self::Open(_) => None,
            Self::Closed(reason, None) => Some(format!(
                "containers on networks reach nobody outside: {reason}; install slirp4netns or pasta"
            )),
            Self::Closed(reason, Some(_)) => Some(format!(
                "containers on networks reach nobody outside for a minute: {reason}"
            )),
        }
    }

    /// What it is, or why it is none.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Open(open) => open.plan.program.name(),
            Self::Closed(reason, _) => reason,
        }
    }

    /// Who answers for the host's name servers.
    pub(super) fn name_server(&self) -> Option<IpAddr> {
        match self {
            Self::Open(open) => open.plan.resolvers().first().copied(),
            Self::Closed(..) => None,
        }
    }

    /// Readable when the program has ended.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Open(open) => Some(open.uplink.as_fd()),
            Self::Closed(..) => None,
        }
    }

    /// When [`is_lost`](Self::is_lost) is another answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Open(_) => None,
            Self::Closed(_, again) => *again,
        }
    }

    /// Whether the program has ended, and a new one would help. Without one that lives too short the
    /// containers still have each other, whom a new keeper would part for a moment: it is closed for a while.
    pub(super) fn is_lost(&mut self) -> bool {
        match self {
            Self::Closed(_, again) => again.is_some_and(|again| again <= Instant::now()),
            Self::Open(open) if !open.uplink.has_ended() => false,
            Self::Open(open) if open.since.elapsed() >= WORTH_ANOTHER => true,
            Self::Open(open) => {
                let why = open.uplink.describe_end();
                *self = Self::Closed(why, Instant::now().checked_add(PAUSE));
                false
            }
        }
    }
}
