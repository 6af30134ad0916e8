//! The driver `journald`: records go to the host's journal by its native protocol,
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use memchr::memchr;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::record::Stream;

/// Where the journal listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";

/// A line that is longer comes in several records, as in Docker.
const LONGEST: usize = 16 << 10;

/// What the journal shall know of the container.
pub(crate) struct Origin<'a> {
    /// The full id.
    pub id: &'a str,
    /// The short id.
    pub short: &'a str,
    /// The name.
    pub name: &'a str,
    /// The image, as the user named it.
    pub image: &'a str,
}

/// Writes a container's output to the journal. Nothing fails and nothing waits.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    socket: OwnedFd,
    /// The fields that all records have.
    fields: Vec<u8>,
    held: [Vec<u8>; 2],
    datagram: Vec<u8>,
    lost: u64,
}

impl JournalWriter {
    /// Finds the journal.
    pub(crate) fn open(path: &Path, origin: &Origin<'_>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut fields = Vec::new();
        for (name, value) in [
            ("CONTAINER_ID", origin.short),
            ("CONTAINER_ID_FULL", origin.id),
            ("CONTAINER_NAME", origin.name),
            ("CONTAINER_TAG", origin.short),
            ("IMAGE_NAME", origin.image),
            ("SYSLOG_IDENTIFIER", origin.short),
        ] {
            field(&mut fields, name, value.as_bytes());
        }
        Ok(Self {
            socket,
            fields,
            held: [Vec::new(), Vec::new()],
            datagram: Vec::new(),
            lost: 0,
        })
    }

    /// Takes what the container wrote. Lines that have ended are sent.
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let held = &mut self.held[stream as usize];
            let room = (LONGEST - held.len()).min(bytes.len());
            let end = memchr(b'\n', &bytes[..room]);
            held.extend_from_slice(&bytes[..end.unwrap_or(room)]);
            bytes = &bytes[end.map_or(room, |end| end + 1)..];
            if end.is_some() {
                self.send(stream, false);
            } else if held.len() == LONGEST {
                self.send(stream, true);
            }
        }
    }

    /// The program has ended: lines that it did not end are not gone on with by the next one.
    pub(crate) fn end_of_program(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.held[stream as usize].is_empty() {
                self.send(stream, true);
            }
        }
    }

    /// How many bytes the journal did not take.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn send(&mut self, stream: Stream, partial: bool) {
        let text = &mut self.held[stream as usize];
        self.datagram.clear();
        self.datagram.extend_from_slice(&self.fields);
        let priority: &[u8] = match stream {
            Stream::Stdout => b"6",
            Stream::Stderr => b"3",
        };
        field(&mut self.datagram, "PRIORITY", priority);
        if partial {
            field(&mut self.datagram, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        field(&mut self.datagram, "MESSAGE", text);
        // A journal that does not keep up must not hold the container up.
        if rustix::net::send(&self.socket, &self.datagram, SendFlags::NOSIGNAL).is_err() {
            self.lost += u64::try_from(text.len()).unwrap_or(0);
        }
        text.clear();
    }
}

/// Appends a field in the form that holds any bytes: no text can begin another field.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    let length = u64::try_from(value.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn fields(mut datagram: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut fields = Vec::new();
        while let Some(end) = memchr(b'\n', datagram) {
            let name = String::from_utf8(datagram[..end].to_vec()).unwrap();
            let length = datagram[end + 1..].first_chunk::<8>().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            let value = &datagram[end + 9..][..length];
            assert_eq!(datagram[end + 9 + length], b'\n');
            fields.push((name, value.to_vec()));
            datagram = &datagram[end + 10 + length..];
        }
        fields
    }

    #[test]
    fn lines_are_entries_that_a_container_cannot_forge() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let origin = Origin {
            id: "0123",
            short: "01",
            name: "web",
            image: "nginx",
        };
        let mut log = JournalWriter::open(&path, &origin).unwrap();
        log.write(Stream::Stderr, b"one\nPRIORITY=0");
        log.write(Stream::Stdout, b"\n");
        log.end_of_program();
        let mut received = Vec::new();
        journal.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = journal.recv(&mut buffer) {
            received.push(fields(&buffer[..length]));
        }
        let shown: Vec<_> = received
            .iter()
            .map(|fields| {
                let get = |wanted: &str| {
                    let found: Vec<_> = fields.iter().filter(|(name, _)| name == wanted).collect();
                    assert!(found.len() < 2);
                    found
                        .first()
                        .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
                };
                assert_eq!(get("CONTAINER_NAME").unwrap(), "web");
                (
                    get("MESSAGE").unwrap(),
                    get("PRIORITY").unwrap(),
                    get("CONTAINER_PARTIAL_MESSAGE").is_some(),
                )
            })
            .collect();
        let entry =
            |text: &str, priority: &str, partial| (text.to_owned(), priority.to_owned(), partial);
        assert_eq!(
            shown,
            [
                entry("one", "3", false),
                entry("", "6", false),
                entry("PRIORITY=0", "3", true)
            ]
        );
    }

    #[test]
    fn a_journal_that_does_not_keep_up_holds_nothing_up() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("socket");
        let _journal = UnixDatagram::bind(&path).unwrap();
        let origin = Origin {
            id: "0123",
            short: "01",
            name: "web",
            image: "nginx",
        };
        let mut log = JournalWriter::open(&path, &origin).unwrap();
        for _ in 0..100_000 {
            log.write(Stream::Stdout, b"a line\n");
        }
        assert!(log.lost() > 0);
    }
}
