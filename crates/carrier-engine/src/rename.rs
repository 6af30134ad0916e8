//! Changing what a container shall be: its name, and when it is started again.

use carrier_spec::ContainerName;

use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::monitor::request;
use crate::record::ContainerRecord;
use crate::restart::RestartPolicy;

impl Engine {
    /// Gives the container that `word` names another name. Durable.
    ///
    /// # Errors
    /// When there is no such container, or the name belongs to another one or to itself.
    pub fn rename(&self, word: &str, new: &ContainerName) -> Result<(), Error> {
        let record = self.container(word)?;
        if record.name == *new {
            return Err(Error::SameName(new.clone()));
        }
        let change = |record: &mut ContainerRecord| record.name = new.clone();
        let renamed = self.store.rename_container(&record.id, new, change)?;
        let renamed = renamed.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        self.tell_monitor(&renamed)?;
        let event = Event::container("rename", &renamed);
        self.emit(&event.with("oldName", format!("/{}", record.name)));
        Ok(())
    }

    /// Changes when the container that `word` names is started again. Durable, and true for the
    /// program that runs.
    ///
    /// # Errors
    /// When there is no such container, or it is to be removed when it ends.
    pub fn update_restart(&self, word: &str, policy: RestartPolicy) -> Result<(), Error> {
        let record = self.container(word)?;
        if record.remove && policy != RestartPolicy::No {
            return Err(Error::RestartAndRemove);
        }
        let change = |record: &mut ContainerRecord| record.restart = policy;
        let changed = self.store.change_record(&record.id, change)?;
        let changed = changed.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        self.tell_monitor(&changed)?;
        self.emit(&Event::container("update", &changed));
        Ok(())
    }

    /// A monitor that does not hear of it reads the record when it starts the program again.
    fn tell_monitor(&self, record: &ContainerRecord) -> Result<(), Error> {
        if self.runs(&record.id)? {
            self.ask(record, request::RELOAD, &[])?;
        }
        Ok(())
    }
}
