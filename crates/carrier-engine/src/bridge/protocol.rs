//! What the keeper of the shared network and its clients say to each other: JSON, a message each, with
//! a descriptor where that is needed. A monitor keeps its connection as long as its container runs:
//! when the connection ends, however that comes, the container's addresses and names are free again.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use carrier_spec::ContainerId;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::network::Network;
use crate::net::{Attachment, Endpoint};
use crate::written_maps::WrittenMaps;

/// The keeper's directory in that of the networks.
pub(super) const DIRECTORY: &str = "keeper";

/// Its socket there.
pub(super) const SOCKET: &str = "control.sock";

/// No message is longer.
const LONGEST: usize = 64 * 1024;

/// What clients say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Where do containers begin? The answer is [`Answer::Welcome`].
    Hello,
    /// Connect the container whose network namespace comes with this, as long as this connection
    /// exists.
    Join(Join),
    /// Connect a container that has joined to one more network.
    Connect(ContainerId, Box<Wanted>),
    /// Disconnect a container from the network with this id.
    Disconnect(ContainerId, String),
    /// A container has another name.
    Rename(ContainerId, String),
    /// How is this container connected?
    Endpoints(ContainerId),
    /// Forget the network that is written down in this file, unless somebody uses it.
    Remove(Box<Network>, PathBuf),
}

/// A container that joins networks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Join {
    /// Its id.
    pub(super) id: ContainerId,
    /// Its name.
    pub(super) name: String,
    /// The networks.
    pub(super) wanted: Vec<Wanted>,
    /// Who is asked for names that are no container's; the host's name servers where nobody is named.
    pub(super) servers: Vec<IpAddr>,
    /// It may reach the host's own addresses.
    #[serde(default)]
    pub(super) reaches_host: bool,
}

/// A network, and how a container is to be connected to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// The network.
    pub(super) network: Network,
    /// Where it is written down.
    pub(super) file: PathBuf,
    /// How.
    pub(super) attachment: Attachment,
}

/// What the keeper says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The user namespace of the shared network comes with this.
    Welcome {
        /// Its ids.
        maps: WrittenMaps,
        /// What the user should know.
        warning: Option<String>,
        /// What carries packets out, in words.
        #[serde(default)]
        way_out: String,
    },
    /// So the container is connected.
    Endpoints(Vec<Endpoint>),
    /// It was done.
    Done,
    /// It could not be done.
    Refused {
        /// Why.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
}

/// One end of a conversation.
#[derive(Debug)]
pub(super) struct Wire(OwnedFd);

impl Wire {
    /// Sends a message: `EAGAIN` where `now` is wanted and there is no room for it.
    pub(super) fn send(
        &self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
        now: bool,
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LONGEST {
            return Err(Errno::MSGSIZE.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(Errno::NOBUFS.into());
        }
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::DONTWAIT, now);
        loop {
            match sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, flags) {
                Err(Errno::INTR) => {}
                other => return other.map(drop).map_err(Into::into),
            }
        }
    }

    /// Receives a message; nothing when the other end is closed.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                other => break other?.bytes,
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let descriptor = rights.and_then(|mut rights| rights.next());
        let message = serde_json::from_slice(bytes.get(..length).unwrap_or_default())?;
        Ok(Some((message, descriptor)))
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Wire {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}
