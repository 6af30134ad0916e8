//! A look at what there is, for whoever completes words: nothing is made, put in order, locked or
//! waited for.

use std::sync::Mutex;

use carrier_store::Store;

use crate::engine::{Engine, data_dir};
use crate::error::Error;
use crate::host::{Host, runtime_dir_path};
use crate::list::{ContainerSummary, summary};

impl Engine {
    /// Opens what is there; nothing where no store has been made yet.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn look() -> Result<Option<Self>, Error> {
        let Some(store) = Store::look(&data_dir()?)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            store,
            runtime: runtime_dir_path(),
            host: Host::detect()?,
            outer_ids: Mutex::default(),
        }))
    }

    /// All containers as they are, the youngest first; what a crash has left stays.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn seen_containers(&self) -> Result<Vec<ContainerSummary>, Error> {
        let summaries = self.records()?.into_iter().map(|record| {
            let life = self.life_of(&record.id)?;
            Ok(summary(record.into(), life))
        });
        summaries.collect()
    }
}
