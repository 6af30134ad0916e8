//! Jobs for the unpacking process: one byte for the compression, three descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use carrier_spec::Compression;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

const DESCRIPTORS: usize = 3;

/// One layer to unpack.
pub(super) struct Job {
    pub(super) compression: Compression,
    pub(super) directory: OwnedFd,
    pub(super) input: OwnedFd,
    pub(super) control: OwnedFd,
}

pub(super) fn send(
    socket: BorrowedFd<'_>,
    compression: Compression,
    descriptors: &[BorrowedFd<'_>; DESCRIPTORS],
) -> io::Result<()> {
    let code = [match compression {
        Compression::None => b'n',
        Compression::Gzip => b'g',
        Compression::Zstd => b'z',
    }];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        socket,
        &[IoSlice::new(&code)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// The next job; nothing when there will be none.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Job>> {
    let mut code = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut code)];
        match recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    if received == 0 {
        return Ok(None);
    }
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => rights.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let mut next = || descriptors.next().ok_or(io::ErrorKind::InvalidData);
    let (directory, input, control) = (next()?, next()?, next()?);
    let compression = match code {
        [b'n'] => Compression::None,
        [b'g'] => Compression::Gzip,
        [b'z'] => Compression::Zstd,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(Some(Job {
        compression,
        directory,
        input,
        control,
    }))
}
