//! Handing descriptors to the sockets of engines.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::channel::with_short_path;
use crate::error::Error;

/// Sends the controlling side of a terminal, as conmon and containerd's shim expect it.
pub(super) fn send_terminal(socket: &Path, terminal: &OwnedFd) -> Result<(), Error> {
    send(socket, b"/dev/ptmx", terminal).map_err(|source| Error::File {
        action: "send the terminal to console socket",
        path: socket.to_owned(),
        source,
    })
}

/// Sends the descriptor of a seccomp filter's notifications, runtime-spec `config-linux.md`, section
/// "The Container Process State".
pub(super) fn send_listener(
    socket: &Path,
    state: &serde_json::Value,
    listener: &OwnedFd,
) -> Result<(), Error> {
    send(socket, state.to_string().as_bytes(), listener).map_err(|source| Error::File {
        action: "send the seccomp listener to",
        path: socket.to_owned(),
        source,
    })
}

fn send(socket: &Path, text: &[u8], descriptor: &OwnedFd) -> io::Result<()> {
    let stream = with_short_path(socket, |short| {
        UnixStream::connect(short)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let parts = [IoSlice::new(text)];
    rustix::net::sendmsg(&stream, &parts, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
