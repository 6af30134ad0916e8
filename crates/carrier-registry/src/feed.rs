//! The way into the process that unpacks layers, and its answer.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use carrier_spec::{Descriptor, DiffId};
use carrier_store::{LayerSummary, UnpackReport};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Sender;

use crate::{Error, LayerChannel};

/// One layer on its way into the unpacking process.
pub(crate) struct Feed<'a> {
    descriptor: &'a Descriptor,
    input: Option<Sender>,
    control: BufReader<UnixStream>,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(channel: LayerChannel, descriptor: &'a Descriptor) -> Result<Self, Error> {
        let open = || {
            let control = StdUnixStream::from(channel.control);
            control.set_nonblocking(true)?;
            let input = Sender::from_owned_fd(channel.input)?;
            Ok((input, UnixStream::from_std(control)?))
        };
        let (input, control) = open().map_err(Error::Unpacker)?;
        Ok(Self {
            descriptor,
            input: Some(input),
            control: BufReader::new(control),
        })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        match input.write_all(bytes).await {
            // It has refused the layer, and tells why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                let reason = match self.report().await? {
                    UnpackReport::Error(reason) => reason,
                    // Nothing is wrong with bytes that it does not need, such as those behind the
                    // last member of a gzip file: only the diff ID decides.
                    UnpackReport::Ok(_) => "there is data behind the end of the layer".to_owned(),
                };
                Err(self.refused(reason))
            }
            other => other.map_err(Error::Unpacker),
        }
    }

    /// Ends the layer; has it kept when it is what it should be.
    pub(crate) async fn finish(&mut self, expected: &DiffId) -> Result<LayerSummary, Error> {
        self.input = None;
        let summary = match self.report().await? {
            UnpackReport::Ok(summary) => summary,
            UnpackReport::Error(reason) => return Err(self.refused(reason)),
        };
        if summary.diff_id != *expected {
            return Err(Error::WrongDigest {
                what: "an unpacked layer",
                expected: expected.0.clone(),
                actual: summary.diff_id.0,
            });
        }
        self.control
            .write_all(b"k")
            .await
            .map_err(Error::Unpacker)?;
        Ok(summary)
    }

    /// Has what was unpacked deleted, and waits for that: the directory is ours to remove then.
    pub(crate) async fn abandon(mut self) {
        self.input = None;
        let control = self.control.get_mut();
        if control.shutdown().await.is_ok() {
            let mut rest = Vec::new();
            // However the process ends, it has ended.
            let _ = self.control.read_to_end(&mut rest).await;
        }
    }

    async fn report(&mut self) -> Result<UnpackReport, Error> {
        let mut line = String::new();
        self.control
            .read_line(&mut line)
            .await
            .map_err(Error::Unpacker)?;
        if line.is_empty() {
            return Err(self.refused("the process that unpacks layers has died".to_owned()));
        }
        serde_json::from_str(&line).map_err(|error| Error::Unpacker(error.into()))
    }

    fn refused(&self, reason: String) -> Error {
        Error::Unpack {
            digest: self.descriptor.digest.clone(),
            reason,
        }
    }
}
