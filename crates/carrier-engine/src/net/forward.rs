//! What comes to published ports is carried into the container, by one small process that has the
//! sockets of both sides.
//!
//! The container's program sees the client's address. A socket in the container's network is bound to
//! it (`IP_TRANSPARENT`); what the program answers is led back to that socket by rules of routing: of
//! connections by a mark that they have from their first packet on, of datagrams by routes to those
//! clients that have sent some of late. Clients on the loopback device are seen as the gateway: no
//! program in a container must take others for itself (CVE-2021-20199).

mod confine;
mod process;
mod routes;
mod source;
mod tcp;
mod udp;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use carrier_sys::process::{Child, SingleThreaded, fork};
use rustix::pipe::{PipeFlags, pipe_with};

use super::error::NetworkError;
use super::listen::Publication;
use super::namespaces::NetworkNamespace;
use super::state::Endpoint;
use source::Target;

const PROGRAM: &str = "the forwarder of published ports";

/// The running process. It ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Forwarder {
    child: Child,
    ready: Option<OwnedFd>,
    /// Takes networks that the container is on by now.
    news: OwnedFd,
    target: Target,
}

impl Forwarder {
    /// Starts the process, and returns at once.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn start(
        publication: &Publication,
        namespace: &NetworkNamespace,
        endpoints: &[Endpoint],
        proof: &SingleThreaded,
    ) -> Result<Self, NetworkError> {
        let failed = |source: io::Error| NetworkError::StartHelper {
            program: PROGRAM,
            source,
        };
        let (ready, ready_end) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        // Each message stays one.
        let (news_end, news) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT)
            .map_err(|errno| failed(errno.into()))?;
        let caller = rustix::process::getpid();
        let start = process::Start {
            publication,
            namespace,
            endpoints,
            ready: &ready_end,
            news: &news_end,
            caller,
        };
        let child = fork(proof, |token| start.run(&token)).map_err(failed)?;
        Ok(Self {
            child,
            ready: Some(ready),
            news,
            target: Target::of(endpoints),
        })
    }

    /// Whether it is the right one for a container with these addresses: another one would end the
    /// connections that there are. It is told what has changed beside that.
    pub(crate) fn goes_on(&mut self, endpoints: &[Endpoint]) -> bool {
        let target = Target::of(endpoints);
        let told = target == self.target || self.tell(&target).is_ok();
        let goes_on = told && target.leads_to(&self.target);
        self.target = target;
        goes_on
    }

    fn tell(&self, target: &Target) -> io::Result<()> {
        let words = serde_json::to_vec(&target.inside)?;
        if words.len() > process::LONGEST_NEWS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(rustix::io::write(&self.news, &words).map(drop)?)
    }

    /// Waits until what comes is carried on.
    ///
    /// # Errors
    /// What the process could not do.
    pub(crate) fn wait_ready(&mut self) -> Result<(), NetworkError> {
        let Some(ready) = self.ready.take() else {
            return Ok(());
        };
        let mut said = [0; 512];
        let length = loop {
            match rustix::io::read(&ready, &mut said) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap_or(0),
            }
        };
        match said.get(..length) {
            Some([process::READY]) => Ok(()),
            Some(words) if !words.is_empty() => Err(NetworkError::Helper {
                program: PROGRAM,
                reason: String::from_utf8_lossy(words).into_owned(),
            }),
            _ => Err(NetworkError::Helper {
                program: PROGRAM,
                reason: "it has ended".to_owned(),
            }),
        }
    }
}

impl AsFd for Forwarder {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.as_fd()
    }
}

/// A client that sends no datagram for so long is forgotten.
const IDLE: Duration = Duration::from_secs(90);
