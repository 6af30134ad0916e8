//! The user namespace around those of containers: found where a container runs already, else made while
//! this one is being prepared.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use carrier_runtime::state::ProcessIdentity;
use carrier_runtime::{IdMaps, Nesting, OuterIds};
use carrier_sys::process::SingleThreaded;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Error;
use crate::net::NetworkMode;
use crate::written_maps::WrittenMaps;

/// In the runtime directory: a container whose user namespace is inside of one with the caller's ids.
const FILE: &str = "outer-ids.json";

#[derive(Serialize, Deserialize)]
struct Remembered {
    process: ProcessIdentity,
    /// Who has other ids now needs another one.
    maps: WrittenMaps,
}

impl Engine {
    /// Begins what takes longest of the start of a container on this network, before all of it is known.
    pub fn expect_start(&self, network: &NetworkMode) {
        if !matches!(network, NetworkMode::Bridge(_) | NetworkMode::Container(_)) {
            self.begin_outer_ids();
        }
    }

    fn begin_outer_ids(&self) {
        if let Ok(maps) = self.host.own_ids()
            && !maps.is_single()
        {
            let outer = self.find_outer_ids(maps).or_else(|| {
                let proof = SingleThreaded::check().ok()?;
                OuterIds::begin(maps, &proof).ok()
            });
            *self.lock_outer_ids() = outer;
        }
    }

    /// Where the user namespace of a container is made; nothing where that is the caller's own.
    pub(crate) fn outer_ids(&self) -> Result<Option<Nesting>, Error> {
        if self.lock_outer_ids().is_none() {
            self.begin_outer_ids();
        }
        let mut held = self.lock_outer_ids();
        let users = held.as_mut().and_then(OuterIds::wait);
        let users = users.map(|users| users.try_clone_to_owned()).transpose();
        let users = users.map_err(carrier_runtime::Error::Prepare)?;
        Ok(users.map(|users| Nesting {
            users,
            maps: self.host.maps.clone(),
        }))
    }

    /// A container runs inside of it, by which others find it from now on.
    pub(crate) fn leave_outer_ids(&self, process: &ProcessIdentity) {
        let held = self.lock_outer_ids().take();
        if held.is_some_and(|held| held.is_new()) {
            let remembered = Remembered {
                process: process.clone(),
                maps: (&self.host.maps).into(),
            };
            // Whoever cannot read it makes one himself.
            let _ = self.remember(&remembered);
        }
    }

    /// Writes into the old file: on a disk, one that is emptied or replaced is written out at once, which
    /// takes milliseconds.
    fn remember(&self, remembered: &Remembered) -> io::Result<()> {
        let bytes = serde_json::to_vec(remembered)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let mut file = options.open(self.outer_ids_file())?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)
    }

    fn find_outer_ids(&self, maps: &IdMaps) -> Option<OuterIds> {
        let bytes = fs::read(self.outer_ids_file()).ok()?;
        let remembered: Remembered = serde_json::from_slice(&bytes).ok()?;
        let is_same = remembered.maps == maps.into();
        is_same.then(|| OuterIds::of_container(&remembered.process))?
    }

    fn outer_ids_file(&self) -> PathBuf {
        self.runtime.join(FILE)
    }

    pub(crate) fn lock_outer_ids(&self) -> MutexGuard<'_, Option<OuterIds>> {
        self.outer_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
