//! `update`: other limits, for the program that runs and for those after it.

use carrier_runtime::Cgroup;
use carrier_spec::ContainerId;

use super::{Limits, Processors, place};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::life::Life;
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
        let id = self.container(word)?.id;
        // As it is when nobody else changes it: two updates at once are both done.
        let mut outcome = Ok(());
        let changed = self.store.change_record(&id, |record| {
            outcome = self.apply_change(record, change);
        })?;
        outcome?;
        let changed = changed.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        self.tell_monitor(&changed)?;
        self.emit(&Event::container("update", &changed));
        Ok(())
    }

    /// Changes the record and the limits of the program that runs; neither of them when that fails.
    fn apply_change(
        &self,
        record: &mut ContainerRecord,
        change: &ContainerChange,
    ) -> Result<(), Error> {
        let policy = change.restart.unwrap_or(record.restart);
        if record.remove && policy != RestartPolicy::No {
            return Err(Error::RestartAndRemove);
        }
        if change.limits.are_limits() {
            let mut resources = record.resources.clone();
            resources.limits = change.limits.clone().over(&resources.limits);
            resources.check(Processors::of_host)?;
            self.change_limits(record, &resources.limits)?;
            record.resources = resources;
        }
        record.restart = policy;
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
        changed.map_err(|error| place::refused(&record.resources, error))
    }

    /// Removes the cgroup that a container's monitor has left when it was killed, and waits for
    /// processes that were killed too.
    pub(crate) fn remove_cgroup(&self, id: &ContainerId) -> Result<(), Error> {
        match self.cgroup_left(id)? {
            Some(cgroup) => Ok(cgroup.remove()?),
            None => Ok(()),
        }
    }

    /// The cgroup that a container still has.
    pub(crate) fn cgroup_left(&self, id: &ContainerId) -> Result<Option<Cgroup>, Error> {
        let life: Option<Life> = self.store.container(id).read_state()?;
        Ok(life.and_then(|life| life.cgroup))
    }
}
