//! The verbs that start containers.

use std::time::{Duration, Instant};

use carrier_runtime::state::ProcessIdentity;
use carrier_store::ImageRecord;

use crate::attach::{AttachOptions, Attachment, Ending};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::life::{Life, Status};
use crate::monitor::{Start, Wanted};
use crate::record::{ContainerRecord, RunOptions};
use crate::stop::{AFTER_KILL, Fate, StopOptions};

impl Engine {
    /// Runs a container that was just made, and returns how it ended for whoever is attached to it.
    /// One that could not be started stays, as in Docker, unless it is removed at its end anyway.
    /// `warn` is told what the user should know.
    ///
    /// # Errors
    /// When the container could not be made or started.
    pub fn run(
        &self,
        record: &ContainerRecord,
        options: &AttachOptions,
        warn: &dyn Fn(&str),
    ) -> Result<Ending, Error> {
        // First of all: a signal that comes during the set-up is the program's.
        let attachment = Attachment::open(options.clone(), record.streams.terminal)?;
        let started = self.launch(record, options.wanted, warn);
        match started {
            Ok(peer) => self.see_to_the_end(record, attachment.serve(peer)?),
            Err(error) => Err(self.not_started(record, error)),
        }
    }

    fn not_started(&self, record: &ContainerRecord, error: Error) -> Error {
        if let Some(layer) = self.lost_layer(record) {
            // Its image was removed while it was made: it could never be started.
            let _ = self.remove_unstarted(record);
            return Error::LayerMissing(layer);
        }
        if record.remove {
            // The error that the user has to read is the first.
            let _ = self.remove_abandoned(record);
        }
        error
    }

    /// The same, for a container that goes on when the command has ended.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn run_detached(&self, record: &ContainerRecord, warn: &dyn Fn(&str)) -> Result<(), Error> {
        let started = self.launch(record, Wanted::empty(), warn);
        started
            .map(drop)
            .map_err(|error| self.not_started(record, error))
    }

    /// Makes a container of `image`, which waits for its start.
    ///
    /// # Errors
    /// When the container could not be made.
    pub fn create(
        &self,
        image: &ImageRecord,
        options: &RunOptions,
    ) -> Result<ContainerRecord, Error> {
        self.host.own_ids()?;
        self.make(image, options)
    }

    /// Starts a container that does not run; one that runs is left alone, and nothing is returned.
    ///
    /// # Errors
    /// When the container is paused or could not be started.
    pub fn start(&self, word: &str, warn: &dyn Fn(&str)) -> Result<(), Error> {
        let record = self.container(word)?;
        self.host.own_ids()?;
        if self.life(&record)?.status == Status::Paused {
            return Err(Error::Paused(record.name.to_string()));
        }
        match self.launch(&record, Wanted::empty(), warn) {
            Err(Error::ContainerRuns(_)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Ends the program of a container, if it runs, and starts it again.
    ///
    /// # Errors
    /// As [`Engine::stop`] and [`Engine::start`].
    pub fn restart(
        &self,
        word: &str,
        options: &StopOptions,
        warn: &dyn Fn(&str),
    ) -> Result<(), Error> {
        let record = self.container(word)?;
        self.host.own_ids()?;
        self.stop_container(&record, options, Fate::Kept)?;
        drop(self.seize(&record)?);
        let started = self.launch(&record, Wanted::empty(), warn);
        started.map_err(|error| self.not_started(&record, error))?;
        self.emit(&Event::container("restart", &record));
        Ok(())
    }

    /// Starts a container and attaches to it.
    ///
    /// # Errors
    /// When the container runs or could not be started.
    pub fn start_attached(
        &self,
        word: &str,
        options: &AttachOptions,
        warn: &dyn Fn(&str),
    ) -> Result<Ending, Error> {
        let record = self.container(word)?;
        self.host.own_ids()?;
        let attachment = Attachment::open(options.clone(), record.streams.terminal)?;
        match self.launch(&record, options.wanted, warn) {
            Err(Error::ContainerRuns(_)) => {
                let ending = attachment.serve(self.connect_attached(&record, options)?)?;
                self.see_to_the_end(&record, ending)
            }
            other => self.see_to_the_end(&record, attachment.serve(other?)?),
        }
    }

    /// A container whose monitor was killed is buried by whoever was attached to it.
    pub(crate) fn see_to_the_end(
        &self,
        record: &ContainerRecord,
        ending: Ending,
    ) -> Result<Ending, Error> {
        if ending == Ending::Lost {
            let container = self.store.container(&record.id);
            match self.bury_when_lost(record) {
                // Somebody else has removed it meanwhile.
                Err(_) if !container.path().exists() => {}
                other => other?,
            }
        }
        Ok(ending)
    }

    fn bury_when_lost(&self, record: &ContainerRecord) -> Result<(), Error> {
        // A process that is being killed closes its files first.
        drop(self.seize(record)?);
        let life: Option<Life> = self.store.container(&record.id).read_state()?;
        let monitor = life.and_then(|life| life.monitor);
        let deadline = Instant::now() + AFTER_KILL;
        while monitor.as_ref().is_some_and(ProcessIdentity::is_alive) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.bury(record)
    }

    fn launch(
        &self,
        record: &ContainerRecord,
        wanted: Wanted,
        warn: &dyn Fn(&str),
    ) -> Result<crate::monitor::Peer, Error> {
        let container = self.store.container(&record.id);
        let lock = match container.try_lock()? {
            Some(lock) => lock,
            None if self.settled_life(record)?.status.is_alive() => {
                return Err(Error::ContainerRuns(record.name.to_string()));
            }
            // Somebody has just looked, or is done with it.
            None => self.seize(record)?,
        };
        let before: Life = container.read_state()?.unwrap_or_default();
        Start {
            engine: self,
            record,
            lock,
            before: before.now(),
        }
        .fork(wanted, warn)
    }
}
