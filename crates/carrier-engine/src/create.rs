//! Making a container: a record with a name, and directories for what it writes.

use carrier_spec::{ContainerId, ContainerName, DiffId};
use carrier_store::ImageRecord;

use crate::engine::{Engine, random};
use crate::error::Error;
use crate::etc_files::is_hostname;
use crate::events::Event;
use crate::health::HealthCheck;
use crate::moment::Moment;
use crate::net::{NetworkError, NetworkMode, NetworkOptions, PortSpec};
use crate::record::{ContainerRecord, RECORD_VERSION, RunOptions, arguments, environment};
use crate::volumes::Storage;
use crate::{names, spec};

/// How many random names are tried; a host has far fewer containers than there are names.
const ATTEMPTS: u32 = 64;

impl Engine {
    /// Makes sure that what a container is to be connected to is there: before its image is pulled.
    ///
    /// # Errors
    /// When a network or a container is not.
    pub fn check_networks(&self, options: &RunOptions) -> Result<(), Error> {
        let (network, _) = self.resolve_network(options)?;
        self.resolve_networks(&network).map(drop)
    }

    /// Makes a container of `image`: afterwards it is listed, and its name is taken.
    pub(crate) fn make(
        &self,
        image: &ImageRecord,
        options: &RunOptions,
    ) -> Result<ContainerRecord, Error> {
        self.refuse_taken_name(options)?;
        let id = ContainerId::from_random(random()?);
        let (network, hostname) = self.resolve_network(options)?;
        let userns = Some(self.resolve_mode(options.userns, &network)?);
        let options = &RunOptions {
            network,
            hostname,
            userns,
            ..options.clone()
        };
        let mut record = record(id, image, options)?;
        record.network = self.resolve_networks(&record.network)?;
        self.ids_of(&record)?;
        record.layers = self.shift_layers(record.userns, record.layers)?;
        let provided = self.provide_storage(&record, image, options)?;
        record.storage = provided.storage.clone();
        // The volumes are held until nobody can remove them any more.
        match self.give_place(&mut record, options) {
            Ok(()) => Ok(record),
            Err(error) => {
                self.discard_storage(provided);
                Err(error)
            }
        }
    }

    /// Before anything is made for the container: whether the name is free by then is seen later.
    fn refuse_taken_name(&self, options: &RunOptions) -> Result<(), Error> {
        let Some(name) = options.name.clone() else {
            return Ok(());
        };
        match self.store.name_owner(&name)? {
            Some(by) => Err(carrier_store::Error::NameTaken { name, by }.into()),
            None => Ok(()),
        }
    }

    /// Gives the container its name and its place.
    fn give_place(&self, record: &mut ContainerRecord, options: &RunOptions) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            record.name = match &options.name {
                Some(name) => name.clone(),
                None => random_name(attempt > 0)?,
            };
            match self
                .store
                .create_container(&record.id, &record.name, record, record.durability())
            {
                Ok(_) => {
                    self.look_again(record, options)?;
                    self.emit(&Event::container("create", record));
                    return Ok(());
                }
                Err(carrier_store::Error::NameTaken { .. }) if options.name.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::NoFreeName)
    }

    /// Takes the container back if its image was removed meanwhile: whoever does that sees it from now
    /// on, or has taken layers away by now. A start that follows at once opens them anyway.
    fn look_again(&self, record: &ContainerRecord, options: &RunOptions) -> Result<(), Error> {
        if options.starts {
            return Ok(());
        }
        let Some(layer) = self.lost_layer(record) else {
            return Ok(());
        };
        self.store.remove_container(&record.id, &record.name)?;
        Err(Error::LayerMissing(layer))
    }

    /// A layer that the container needs, and that is not here.
    pub(crate) fn lost_layer(&self, record: &ContainerRecord) -> Option<DiffId> {
        let mut layers = record.needed_layers().into_iter();
        layers.find(|id| !self.store.has_layer(id))
    }
}

fn random_name(again: bool) -> Result<ContainerName, Error> {
    names::random(random()?, again).ok_or(Error::NoFreeName)
}

/// The user's word, the image's, or the caller himself where he has kept his id.
fn user(options: &RunOptions, image: &str) -> String {
    match &options.user {
        Some(user) => user.clone(),
        None if image.is_empty() => options.userns.unwrap_or_default().default_user(),
        None => image.to_owned(),
    }
}

/// Decides all that the container will be, but its name.
fn record(
    id: ContainerId,
    image: &ImageRecord,
    options: &RunOptions,
) -> Result<ContainerRecord, Error> {
    let config = &image.config.config;
    let hostname = options
        .hostname
        .clone()
        .unwrap_or_else(|| id.short().to_owned());
    if !is_hostname(&hostname) {
        return Err(Error::InvalidHostname(hostname));
    }
    let shares_network = matches!(
        options.network,
        NetworkMode::Host | NetworkMode::Container(_)
    );
    options.resources.check_sysctls(!shares_network)?;
    let (arguments, entrypoint_words) = arguments(&image.config, options);
    if arguments.is_empty() {
        return Err(Error::NoCommand(image.familiar()));
    }
    let asked = options.working_directory.as_deref();
    let directory = spec::working_directory(asked, &config.working_dir);
    let health = HealthCheck::resolve(
        config.healthcheck.as_ref(),
        config.shell.as_deref(),
        &options.health,
    )?;
    let mut labels = config.labels.clone();
    labels.extend(options.labels.clone());
    Ok(ContainerRecord {
        version: RECORD_VERSION,
        name: random_name(false)?,
        created: Moment::now(),
        image: image.reference.clone(),
        image_word: options.image_word.clone(),
        image_id: image.id.clone(),
        platform: image.platform.clone(),
        layers: image.config.rootfs.diff_ids.clone(),
        environment: environment(&image.config, options, &hostname),
        arguments,
        entrypoint_words,
        working_directory: directory.to_string_lossy().into_owned(),
        user: user(options, &config.user),
        userns: options.userns.unwrap_or_default(),
        group_add: options.group_add.clone(),
        hostname,
        read_only: options.read_only,
        remove: options.remove,
        streams: options.streams,
        network: options.network.clone(),
        networking: networking(image, options)?,
        security: options.security.clone(),
        labels,
        annotations: options.annotations.clone(),
        stop_timeout: options.stop_timeout,
        timeout: options.timeout,
        restart: options.restart,
        init: options.init,
        log: options.log.clone(),
        health,
        storage: Storage::default(),
        pid_file: options.pid_file.clone(),
        detached: options.detach,
        resources: options.resources.clone(),
        stop_signal: options
            .stop_signal
            .clone()
            .or_else(|| config.stop_signal.clone())
            .unwrap_or_else(|| "SIGTERM".to_owned()),
        id,
    })
}

/// The options of the user, with the ports that the image names.
fn networking(image: &ImageRecord, options: &RunOptions) -> Result<NetworkOptions, Error> {
    const MOST: usize = 1 << 16;
    let mut networking = options.networking.clone();
    for text in image.config.config.exposed_ports.keys() {
        // What an image says wrongly is of no use to anybody, and no reason not to run it.
        let ports = PortSpec::parse_range(text).unwrap_or_default();
        networking.exposed.extend(ports);
        networking.exposed.sort_unstable();
        networking.exposed.dedup();
        if networking.exposed.len() > MOST {
            return Err(Error::Network(NetworkError::TooManyPorts));
        }
    }
    networking.exposed.sort_unstable();
    networking.exposed.dedup();
    Ok(networking)
}
