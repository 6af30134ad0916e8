//! What is known of a container, in its file.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Directory;
use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::explain::Explanations;
use crate::state::{ProcessIdentity, Status};

const FILE: &str = "state.json";

/// The record of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of the runtime specification that the configuration is written for.
    pub oci_version: String,
    /// The container.
    pub id: String,
    /// What was true when the file was written; see [`Record::status`].
    status: Status,
    /// Its first process.
    #[serde(flatten)]
    pub process: ProcessIdentity,
    /// The bundle.
    pub bundle: PathBuf,
    /// The root filesystem.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The user id of who created it.
    pub owner: u32,
    /// Those of the configuration.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroup.
    pub(crate) cgroup: Option<Cgroup>,
    /// Whether it has left the session keyring of its maker.
    pub(super) new_keyring: bool,
    /// Where the notifications of its seccomp filter go.
    pub(super) seccomp_listener: Option<SeccompListener>,
    /// What the last steps of its process would fail with.
    pub(super) explanations: Explanations,
}

/// Who supervises system calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeccompListener {
    pub(super) path: PathBuf,
    pub(super) metadata: String,
}

impl Record {
    pub(super) fn new(id: &str, process: ProcessIdentity, facts: Facts) -> Self {
        Self {
            oci_version: facts.oci_version,
            id: id.to_owned(),
            status: Status::Created,
            process,
            bundle: facts.bundle,
            rootfs: facts.rootfs,
            created: jiff::Timestamp::now().to_string(),
            owner: rustix::process::getuid().as_raw(),
            annotations: facts.annotations,
            cgroup: facts.cgroup,
            new_keyring: facts.new_keyring,
            seccomp_listener: facts.seccomp_listener,
            explanations: facts.explanations,
        }
    }

    /// What is true now, whatever the file says.
    #[must_use]
    pub fn status(&self) -> Status {
        if !self.process.is_alive() {
            return Status::Stopped;
        }
        let frozen = self.cgroup.as_ref().is_some_and(Cgroup::is_frozen);
        if frozen { Status::Paused } else { self.status }
    }

    pub(super) fn set_running(&mut self) {
        self.status = Status::Running;
    }

    /// The state of runtime-spec, with what other runtimes add to it.
    #[must_use]
    pub fn state(&self) -> serde_json::Value {
        self.state_as(self.status())
    }

    /// [`state`](Self::state) for a hook, to which the status is what the lifecycle says.
    pub(super) fn state_as(&self, status: Status) -> serde_json::Value {
        let pid = if status == Status::Stopped {
            0
        } else {
            self.process.pid
        };
        serde_json::json!({
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": status,
            "pid": pid,
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "owner": self.owner.to_string(),
            "annotations": self.annotations,
        })
    }
}

/// What a record is made of beside the process.
pub(super) struct Facts {
    pub(super) oci_version: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) new_keyring: bool,
    pub(super) seccomp_listener: Option<SeccompListener>,
    pub(super) explanations: Explanations,
}

impl Directory {
    /// The record; nothing where there is no container, or not yet.
    pub(super) fn read(&self) -> Result<Option<Record>, Error> {
        let path = self.path(FILE);
        let failed = |source| Error::State {
            action: "read",
            path: path.clone(),
            source,
        };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes the record: readers see the old one or the new one.
    pub(super) fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(FILE);
        let bytes = serde_json::to_vec(record).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| replace(&path, &bytes));
        written.map_err(|source| Error::State {
            action: "write",
            path,
            source,
        })
    }
}

/// Replaces a file as a whole.
pub(super) fn replace(path: &std::path::Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = std::fs::write(&temporary, content);
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    if renamed.is_err() {
        // What cannot be removed was not written either.
        let _ = std::fs::remove_file(&temporary);
    }
    renamed
}
