//! Changing the name of a container.

use carrier_spec::ContainerName;

use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::monitor::request;
use crate::record::ContainerRecord;

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

    /// A monitor that does not hear of it reads the record when it starts the program again.
    pub(crate) fn tell_monitor(&self, record: &ContainerRecord) -> Result<(), Error> {
        if self.runs(&record.id)? {
            self.ask(record, request::RELOAD, &[])?;
        }
        Ok(())
    }
}
