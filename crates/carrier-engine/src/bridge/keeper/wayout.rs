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

/// A program that lived shorter than this would die again.
const WORTH_ANOTHER: Duration = Duration::from_secs(5);

/// The program that carries packets out, or why there is none.
pub(super) enum WayOut {
    Open(Box<Open>),
    Closed(String),
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
            Some(Choice::Nothing(reason)) => Ok(Self::Closed(reason)),
            None => Ok(Self::Closed("there is no program for it".to_owned())),
        }
    }

    /// What a user should know.
    pub(super) fn warning(&self) -> Option<String> {
        match self {
            Self::Open(_) => None,
            Self::Closed(reason) => Some(format!(
                "containers on networks reach nobody outside: {reason}; install slirp4netns or pasta"
            )),
        }
    }

    /// What it is, or why it is none.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Open(open) => open.plan.program.name(),
            Self::Closed(reason) => reason,
        }
    }

    /// Who answers for the host's name servers.
    pub(super) fn name_server(&self) -> Option<IpAddr> {
        match self {
            Self::Open(open) => open.plan.resolvers().first().copied(),
            Self::Closed(_) => None,
        }
    }

    /// Readable when the program has ended.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Open(open) => Some(open.uplink.as_fd()),
            Self::Closed(_) => None,
        }
    }

    /// Whether a new program would help, now that this one has ended.
    pub(super) fn is_lost(&mut self) -> bool {
        let Self::Open(open) = self else {
            return false;
        };
        if open.since.elapsed() >= WORTH_ANOTHER {
            return true;
        }
        *self = Self::Closed(open.uplink.describe_end());
        false
    }
}
