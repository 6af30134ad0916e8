//! Calls to systemd over D-Bus, one after the other.
//!
//! The library's own connections want threads, and a process with threads must not clone: the messages
//! are the library's, the socket is ours. See the D-Bus specification, "Authentication Protocol" and
//! "Message Protocol".

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use zbus::{DynamicType, ObjectPath};

use super::scope::Property;
use message::{Call, Message};

mod message;

/// How long systemd may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: Call<'_> = Call {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "",
};

const BUS: Call<'_> = Call {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
};

const JOB_ENDED: &str = "JobRemoved";

/// Which systemd is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    System,
    /// That of the user's login.
    User,
}

impl Manager {
    /// The system's for root, unless that is root of a user namespace only.
    pub(super) fn of_caller() -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let is_whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
        if is_whole && rustix::process::geteuid().is_root() {
            Self::System
        } else {
            Self::User
        }
    }

    /// Where its bus may be, or the socket of systemd itself where there is no bus.
    fn sockets(self) -> Vec<(PathBuf, Peer)> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        match self {
            Self::System => vec![
                ("/run/dbus/system_bus_socket".into(), Peer::Bus),
                ("/run/systemd/private".into(), Peer::Systemd),
            ],
            Self::User => {
                let mut sockets = Vec::new();
                if let Some(path) = socket_of_address(&variable("DBUS_SESSION_BUS_ADDRESS")) {
                    sockets.push((path, Peer::Bus));
                }
                let mut runtime = variable("XDG_RUNTIME_DIR");
                if runtime.is_empty() {
                    // What a session would have set, for those who come without one: cron, su.
                    runtime = format!("/run/user/{}", rustix::process::geteuid().as_raw());
                }
                let runtime = Path::new(&runtime);
                if runtime.is_absolute() {
                    sockets.push((runtime.join("bus"), Peer::Bus));
                    sockets.push((runtime.join("systemd/private"), Peer::Systemd));
                }
                sockets
            }
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Bus,
    Systemd,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    socket: UnixStream,
    peer: Peer,
    serial: u32,
    /// Signals that came while an answer was waited for.
    signals: VecDeque<Message>,
}

/// A call whose answer is still to come.
#[derive(Debug)]
pub(super) struct Asked(u32);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Encoding(#[from] zbus::Error),
    #[error("{text}")]
    Answer { name: String, text: String },
    #[error("systemd ended the job with {0:?}")]
    Job(String),
}

impl CallError {
    /// Whether systemd answered with this error.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { name, .. } if name == wanted)
    }
}

impl Bus {
    /// Connects to `manager`; the error says where it was looked for.
    pub(super) fn connect(manager: Manager) -> Result<Self, String> {
        let mut reason = None;
        for (path, peer) in manager.sockets() {
            match Self::open(&path, peer) {
                Ok(bus) => return Ok(bus),
                // The first place is the one where it should be.
                Err(error) => {
                    let error = error.to_string();
                    // The number behind tells users nothing.
                    let words = error.split(" (os error").next().unwrap_or_default();
                    reason.get_or_insert(format!("no systemd at {}: {words}", path.display()));
                }
            }
        }
        Err(reason.unwrap_or_else(|| "there is no systemd of the user".to_owned()))
    }

    fn open(path: &Path, peer: Peer) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut bus = Self {
            socket,
            peer,
            serial: 0,
            signals: VecDeque::new(),
        };
        bus.authenticate()?;
        if peer == Peer::Bus {
            // Nobody waits for the answer: it comes before that of the first call.
            let hello = Call {
                member: "Hello",
                ..BUS
            };
            bus.send(&hello, None::<&str>, false)
                .map_err(io::Error::other)?;
        }
        Ok(bus)
    }

    /// Is whoever the kernel says: in a user namespace the caller's own number would be wrong.
    fn authenticate(&mut self) -> io::Result<()> {
        self.socket.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
        loop {
            let line = self.read_line()?;
            match line.split(' ').next() {
                Some("DATA") => {}
                Some("OK") => return self.socket.write_all(b"BEGIN\r\n"),
                _ => {
                    let refusal = format!("it refused the caller: {line}");
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal));
                }
            }
        }
    }

    /// A line of the authentication, byte by byte: what follows the last one is not to be read here.
    fn read_line(&mut self) -> io::Result<String> {
        const LONGEST: usize = 512;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut byte = [0];
            self.socket.read_exact(&mut byte)?;
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }

    /// Asks for a transient scope, and does not wait for it.
    pub(super) fn begin_scope(
        &mut self,
        unit: &str,
        properties: &[Property],
    ) -> Result<Asked, CallError> {
        self.subscribe()?;
        let others: &[(&str, Vec<Property>)] = &[];
        self.ask(
            "StartTransientUnit",
            Some(&(unit, "replace", properties, others)),
        )
    }

    /// Waits until the scope that was asked for is there.
    pub(super) fn finish_scope(&mut self, asked: &Asked) -> Result<(), CallError> {
        let job = self.answer(asked)?;
        self.wait_for_job(&job)
    }

    /// Makes a transient scope, and waits until it is there.
    pub(super) fn start_scope(
        &mut self,
        unit: &str,
        properties: &[Property],
    ) -> Result<(), CallError> {
        let asked = self.begin_scope(unit, properties)?;
        self.finish_scope(&asked)
    }

    /// Moves processes of the user into a cgroup of a unit, from wherever they are: systemd may do what
    /// the user may not.
    pub(super) fn attach(
        &mut self,
        unit: &str,
        below: &str,
        pids: &[u32],
    ) -> Result<(), CallError> {
        self.call("AttachProcessesToUnit", Some(&(unit, below, pids)))
            .map(drop)
    }

    /// Ends a unit, and waits until it has ended; one that is not there has.
    pub(super) fn stop(&mut self, unit: &str) -> Result<(), CallError> {
        self.subscribe()?;
        match self.call("StopUnit", Some(&(unit, "replace"))) {
            Ok(job) => self.wait_for_job(&job),
            Err(error) if error.is("org.freedesktop.systemd1.NoSuchUnit") => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn reset_failed(&mut self, unit: &str) -> Result<(), CallError> {
        self.call("ResetFailedUnit", Some(unit)).map(drop)
    }

    pub(super) fn set_properties(
        &mut self,
        unit: &str,
        properties: &[Property],
    ) -> Result<(), CallError> {
        let for_now = true;
        self.call("SetUnitProperties", Some(&(unit, for_now, properties)))
            .map(drop)
    }

    /// Asks for the signals of jobs, which systemd's own socket brings unasked.
    fn subscribe(&mut self) -> Result<(), CallError> {
        if self.peer == Peer::Systemd {
            return Ok(());
        }
        let rule = format!(
            "type='signal',interface='{}',member='{JOB_ENDED}'",
            SYSTEMD.interface
        );
        let add_match = Call {
            member: "AddMatch",
            ..BUS
        };
        self.send(&add_match, Some(rule.as_str()), false)?;
        let subscribe = Call {
            member: "Subscribe",
            ..SYSTEMD
        };
        self.send(&subscribe, None::<&str>, false)
    }

    fn wait_for_job(&mut self, answer: &Message) -> Result<(), CallError> {
        let job: ObjectPath<'_> = answer.body()?;
        loop {
            let signal = match self.signals.pop_front() {
                Some(signal) => signal,
                None => Message::read(&mut self.socket)?,
            };
            if !signal.is_signal(JOB_ENDED) {
                continue;
            }
            let (_, ended, _, result): (u32, ObjectPath<'_>, &str, &str) = signal.body()?;
            if ended == job {
                return match result {
                    "done" => Ok(()),
                    other => Err(CallError::Job(other.to_owned())),
                };
            }
        }
    }

    /// Calls a method of systemd, and waits for its answer.
    fn call<T>(&mut self, member: &str, body: Option<&T>) -> Result<Message, CallError>
    where
        T: Serialize + DynamicType + ?Sized,
    {
        let asked = self.ask(member, body)?;
        self.answer(&asked)
    }

    fn ask<T>(&mut self, member: &str, body: Option<&T>) -> Result<Asked, CallError>
    where
        T: Serialize + DynamicType + ?Sized,
    {
        self.send(&Call { member, ..SYSTEMD }, body, true)?;
        Ok(Asked(self.serial))
    }

    fn answer(&mut self, asked: &Asked) -> Result<Message, CallError> {
        loop {
            let message = Message::read(&mut self.socket)?;
            if message.answers(asked.0) {
                return message.into_answer();
            }
            if message.is_signal(JOB_ENDED) {
                self.signals.push_back(message);
            }
        }
    }

    fn send<T>(
        &mut self,
        call: &Call<'_>,
        body: Option<&T>,
        answered: bool,
    ) -> Result<(), CallError>
    where
        T: Serialize + DynamicType + ?Sized,
    {
        self.serial += 1;
        let bytes = call.encode(self.serial, body, answered)?;
        Ok(self.socket.write_all(&bytes)?)
    }
}

/// The path in the first address that has one, D-Bus specification, "Server Addresses".
fn socket_of_address(addresses: &str) -> Option<PathBuf> {
    let mut unix = addresses
        .split(';')
        .filter_map(|address| address.strip_prefix("unix:"));
    let path = unix.find_map(|keys| keys.split(',').find_map(|key| key.strip_prefix("path=")))?;
    unescape(path).map(PathBuf::from)
}

/// Resolves `%` and two hexadecimal digits.
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_with_a_path_is_taken() {
        for (addresses, expected) in [
            ("unix:path=/run/user/1/bus", Some("/run/user/1/bus")),
            ("unix:guid=1,path=/a;unix:path=/b", Some("/a")),
            ("tcp:host=x;unix:abstract=y;unix:path=/a%20b", Some("/a b")),
            ("unix:path=/a%2", None),
            ("", None),
        ] {
            let expected = expected.map(PathBuf::from);
            assert_eq!(socket_of_address(addresses), expected, "{addresses}");
        }
    }
}
