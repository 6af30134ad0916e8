//! `update`: other limits, for the program that runs and for those after it.

use carrier_spec::ContainerId;

use super::{Limits, Processors, place};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::record::ContainerRecord;
use crate::restart::RestartPolicy;

/// What `update` changes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerChange {
    /// When it is started again.
    pub restart: Option<RestartPolicy>,
    /// Limits; what is `None` stays as it is.
    pub limits: Limits,
}

impl Engine {
    /// Changes limits and the restart policy of the container that `word` names. Durable, and true for
    /// the program that runs.
    ///
    /// # Errors
    /// When there is no such container, the limits make no sense together with those that it has, or
    /// they cannot be applied to the program that runs: then nothing was changed.
    pub fn update(&self, word: &str, change: &ContainerChange) -> Result<(), Error> {
        let record = self.container(word)?;
        let policy = change.restart.unwrap_or(record.restart);
        if record.remove && policy != RestartPolicy::No {
            return Err(Error::RestartAndRemove);
        }
        let mut resources = record.resources.clone();
        if change.limits.are_limits() {
            resources.limits = change.limits.clone().over(&resources.limits);
            resources.check(&Processors::of_host())?;
            self.change_limits(&record, &resources.limits)?;
        }
        let change = |record: &mut ContainerRecord| {
            record.restart = policy;
            record.resources = resources;
        };
        let changed = self.store.change_record(&record.id, change)?;
        let changed = changed.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        self.tell_monitor(&changed)?;
        self.emit(&Event::container("update", &changed));
        Ok(())
    }

    /// Changes the limits of the program that runs, if one does.
    fn change_limits(&self, record: &ContainerRecord, limits: &Limits) -> Result<(), Error> {
        let life = self.life(record)?;
        if !life.status.is_up() {
            return Ok(());
        }
        let Some(cgroup) = &life.cgroup else {
            return Err(Error::RunsWithoutCgroup(record.name.to_string()));
        };
        let changed = cgroup.update(&limits.to_oci()?);
        changed.map_err(|error| {
            // What was changed before it failed is changed back, as far as that goes.
            if let Ok(before) = record.resources.limits.to_oci() {
                let _ = cgroup.update(&before);
            }
            place::refused(&record.resources, error)
        })
    }

    /// Removes the cgroup that a container's monitor has left when it was killed.
    pub(crate) fn remove_cgroup(&self, id: &ContainerId) -> Result<(), Error> {
        let life: Option<crate::life::Life> = self.store.container(id).read_state()?;
        match life.and_then(|life| life.cgroup) {
            Some(cgroup) => Ok(cgroup.remove()?),
            None => Ok(()),
        }
    }
}
