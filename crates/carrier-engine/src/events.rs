//! What happened: a file in the runtime directory that any process appends to and any can follow.
//!
//! A line is an event as Docker's API spells it, written by one `write` on a descriptor with
//! `O_APPEND`: the kernel holds the inode's lock meanwhile, so lines of several processes never mix.
//! A file that has grown is renamed, so that there are never more than two: whoever had it open still
//! writes to a file that readers look at.

mod filter;
mod follow;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

pub use filter::EventFilter;
pub use follow::EventReader;

use crate::engine::Engine;
use crate::net::{Attachment, NetworkMode};
use crate::record::ContainerRecord;
use crate::volumes::ReadOnly;

const FILE: &str = "events.jsonl";
const OLDER: &str = "events.jsonl.1";

/// A longer file is put aside.
const MAX_FILE: u64 = 1 << 20;

/// No line is longer: what does not fit is left out.
const MAX_LINE: usize = 4095;

/// What something happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network of the user.
    Network,
}

impl EventKind {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it happened to.
    #[serde(rename = "Type")]
    pub kind: EventKind,
    /// What happened: `start`, `die`, …
    #[serde(rename = "Action")]
    pub action: String,
    /// Whom it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `local`.
    pub scope: String,
    /// Seconds since 1970.
    pub time: u64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub nanoseconds: u64,
}

/// Whom an event happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// A container's id, or an image's id or name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name, image, labels, and what belongs to the action.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// Something that happens to a container now.
    #[must_use]
    pub fn container(action: &str, record: &ContainerRecord) -> Self {
        let mut attributes = record.labels.clone();
        attributes.insert("image".to_owned(), record.image_name());
        attributes.insert("name".to_owned(), record.name.to_string());
        Self::now(EventKind::Container, action, record.id.as_str(), attributes)
    }

    /// Something that happens to an image now; `name` is how the user calls it.
    #[must_use]
    pub fn image(action: &str, id: &str, name: &str) -> Self {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        Self::now(EventKind::Image, action, id, attributes)
    }

    /// Something that happens to a volume now.
    #[must_use]
    pub fn volume(action: &str, name: &str) -> Self {
        let attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        Self::now(EventKind::Volume, action, name, attributes)
    }

    /// Something that happens to a bridge network now.
    #[must_use]
    pub fn network(action: &str, id: &str, name: &str) -> Self {
        let attributes = [("name", name), ("type", "bridge")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::now(EventKind::Network, action, id, attributes.into())
    }

    /// The event with one more attribute, such as `exitCode`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let attributes = &mut self.actor.attributes;
        attributes.insert(name.to_owned(), value.into());
        self
    }

    fn now(kind: EventKind, action: &str, id: &str, attributes: BTreeMap<String, String>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        Self {
            kind,
            action: action.to_owned(),
            actor: Actor {
                id: id.to_owned(),
                attributes,
            },
            scope: "local".to_owned(),
            time: since.as_secs(),
            nanoseconds: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The event as a line that is short enough: the longest attributes go first.
    fn line(&self) -> Option<Vec<u8>> {
        let mut event = self.clone();
        loop {
            let mut line = serde_json::to_vec(&event).ok()?;
            line.push(b'\n');
            if line.len() <= MAX_LINE {
                return Some(line);
            }
            let attributes = &mut event.actor.attributes;
            let longest = attributes
                .iter()
                .max_by_key(|(key, value)| key.len() + value.len());
            let longest = longest.map(|(key, _)| key.clone())?;
            attributes.remove(&longest);
        }
    }
}

impl Engine {
    /// Tells whoever follows. No command fails for it.
    pub fn emit(&self, event: &Event) {
        append(&self.runtime, event);
    }

    /// [`Engine::emit`], about the container that `word` names, if it is still there.
    pub fn emit_about(&self, action: &str, word: &str) {
        if let Ok(Some(record)) = self.find_container(word) {
            self.emit(&Event::container(action, &record));
        }
    }

    /// [`Engine::emit`], about what a container that begins has: its networks and volumes.
    pub(crate) fn emit_begin(&self, record: &ContainerRecord) {
        self.emit_volumes("mount", record);
        self.emit_connections("connect", record);
    }

    /// The same of one that has ended.
    pub(crate) fn emit_end(&self, record: &ContainerRecord) {
        self.emit_connections("disconnect", record);
        self.emit_volumes("unmount", record);
    }

    fn emit_volumes(&self, action: &str, record: &ContainerRecord) {
        for mount in &record.storage.mounts {
            let Some(name) = mount.volume() else { continue };
            let mut event = Event::volume(action, name.as_str());
            event = event.with("container", record.id.as_str());
            if action == "mount" {
                let is_writable = mount.read_only == ReadOnly::No;
                event = event
                    .with("destination", mount.target.as_str())
                    .with("read/write", is_writable.to_string())
                    .with(
                        "propagation",
                        mount.propagation.as_deref().unwrap_or_default(),
                    );
            }
            self.emit(&event);
        }
    }

    fn emit_connections(&self, action: &str, record: &ContainerRecord) {
        if let NetworkMode::Bridge(attachments) = &record.network {
            for attachment in attachments {
                self.emit_connection(action, record, attachment);
            }
        }
    }

    /// [`Engine::emit`], about a network that a container comes to or leaves.
    pub(crate) fn emit_connection(
        &self,
        action: &str,
        record: &ContainerRecord,
        attachment: &Attachment,
    ) {
        let event = Event::network(action, &attachment.id, &attachment.network);
        self.emit(&event.with("container", record.id.as_str()));
    }

    /// Reads events: those since a time, in nanoseconds since 1970, or only those to come.
    ///
    /// # Errors
    /// When the kernel has no watch left.
    pub fn events(&self, since: Option<u64>) -> io::Result<EventReader> {
        EventReader::open(&self.runtime, since)
    }
}

/// [`Engine::emit`], for whoever has only the runtime directory.
pub(crate) fn append(runtime: &Path, event: &Event) {
    if let Some(line) = event.line() {
        // Nothing depends on it that anybody hears of an event.
        let _ = write(runtime, &line);
    }
}

fn write(runtime: &Path, line: &[u8]) -> io::Result<()> {
    let path = runtime.join(FILE);
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(&path)?;
    file.write_all(line)?;
    let meta = file.metadata()?;
    if meta.len() > MAX_FILE {
        put_aside(&file, runtime)?;
    }
    Ok(())
}

/// Renames the file, unless somebody else has done or does it.
fn put_aside(file: &File, runtime: &Path) -> io::Result<()> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let path = runtime.join(FILE);
    if is_same(file, &path)? {
        std::fs::rename(&path, runtime.join(OLDER))?;
    }
    Ok(())
}

fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let (mine, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((mine.dev(), mine.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests;
