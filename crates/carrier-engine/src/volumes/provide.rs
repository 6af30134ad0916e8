//! Making what a new container mounts: volumes that do not exist, their first content, and directories
//! of the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use carrier_spec::{ContainerId, VolumeName};
use carrier_store::{ImageRecord, LayerView, VolumeLock, VolumeRecord};
use carrier_sys::umask::with_users;

use super::driver::Backing;
use super::error::VolumeError;
use super::mount_point::{MountPoint, MountSource, Storage};
use super::plan::{combine, inherited};
use crate::engine::{Engine, random};
use crate::error::Error;
use crate::moment::Moment;
use crate::record::{ContainerRecord, RunOptions};
use crate::system::in_namespace;

/// What was made for a container. The volumes are locked until its record is there, so that nobody
/// removes them before.
#[derive(Debug)]
pub(crate) struct Provided {
    pub(crate) storage: Storage,
    locks: BTreeMap<VolumeName, VolumeLock>,
}

impl Engine {
    /// Decides what the container mounts, and makes what is missing.
    ///
    /// # Errors
    /// When a mount makes no sense or cannot be made; what was made for this container only is gone then.
    pub(crate) fn provide_storage(
        &self,
        record: &ContainerRecord,
        image: &ImageRecord,
        options: &RunOptions,
    ) -> Result<Provided, Error> {
        let mut others = Vec::new();
        for from in &options.storage.volumes_from {
            let other = self.container(&from.container)?;
            others.extend(inherited(&other.storage.mounts, from.read_only));
        }
        let volumes = image.config.config.volumes.keys().map(String::as_str);
        let mut mounts = combine(&options.storage, others, volumes, options.read_only)?;
        super::refuse_labels(&mounts, &options.storage.volumes_from)?;
        for device in &options.storage.devices {
            device.nodes()?;
        }
        for mount in &mut mounts {
            self.complete(mount)?;
        }
        let mut provided = Provided {
            storage: Storage {
                mounts,
                volumes_from: options
                    .storage
                    .volumes_from
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                shm_size: options.storage.shm_size,
                devices: options.storage.devices.clone(),
            },
            locks: BTreeMap::new(),
        };
        match self.make_volumes(&mut provided, record, options.starts) {
            Ok(()) => Ok(provided),
            Err(error) => {
                self.discard_storage(provided);
                Err(error)
            }
        }
    }

    /// Gives a mount a name or an image, and finds out whether its source is there.
    fn complete(&self, mount: &mut MountPoint) -> Result<(), Error> {
        match &mut mount.source {
            MountSource::Volume { name, options, .. } => {
                Backing::of(options)?;
                if name.is_none() {
                    *name = Some(VolumeName::from_random(random()?));
                }
            }
            MountSource::Image {
                reference,
                id,
                layers,
            } => {
                let image = self.image_by_word(reference, None)?;
                *id = Some(image.id);
                *layers = image.config.rootfs.diff_ids;
            }
            MountSource::Bind { .. } => ensure_source(mount)?,
            MountSource::Tmpfs { .. } => {}
        }
        Ok(())
    }

    /// Makes and locks the volumes in the order of their names, as everybody does, and fills them.
    fn make_volumes(
        &self,
        provided: &mut Provided,
        record: &ContainerRecord,
        starts: bool,
    ) -> Result<(), Error> {
        let mut wanted: Vec<&MountPoint> = provided.storage.mounts.iter().collect();
        wanted.retain(|mount| mount.volume().is_some());
        wanted.sort_by(|a, b| a.volume().cmp(&b.volume()));
        for mount in wanted {
            let Some(name) = mount.volume() else { continue };
            // What dies with its container need not survive a power cut, nor what is new at its start.
            let durable = !(is_own(mount) && (record.remove || starts));
            if !provided.locks.contains_key(name) {
                let lock = self.make_volume(name, mount, record, durable)?;
                provided.locks.insert(name.clone(), lock);
            }
            if let Some(lock) = provided.locks.get(name) {
                refuse_other(lock, mount)?;
                self.fill_volume(lock, mount, record, durable)?;
            }
        }
        Ok(())
    }

    fn make_volume(
        &self,
        name: &VolumeName,
        mount: &MountPoint,
        record: &ContainerRecord,
        durable: bool,
    ) -> Result<VolumeLock, Error> {
        let MountSource::Volume {
            labels, options, ..
        } = &mount.source
        else {
            return Err(VolumeError::NoSuchVolume(name.to_string()).into());
        };
        // Between the two calls somebody may remove it.
        loop {
            if let Some(lock) = self.store.lock_volume(name)? {
                return Ok(lock);
            }
            let volume = VolumeRecord {
                name: name.clone(),
                created: Moment::now().nanoseconds(),
                labels: labels.clone(),
                options: options.clone(),
                anonymous: mount.is_anonymous(),
                container: is_own(mount).then(|| record.id.clone()),
            };
            if self.store.create_volume(&volume, durable)? {
                self.emit(&super::event("create", name));
            }
        }
    }

    /// Copies what the image has at the target into a volume that is empty.
    fn fill_volume(
        &self,
        lock: &VolumeLock,
        mount: &MountPoint,
        record: &ContainerRecord,
        durable: bool,
    ) -> Result<(), Error> {
        self.settle_volume(lock)?;
        let MountSource::Volume { copy: true, .. } = &mount.source else {
            return Ok(());
        };
        let is_directory = lock
            .directory()
            .read_record()?
            .is_some_and(|volume| volume.options.is_empty());
        if !is_directory || mount.subpath.is_some() || !lock.directory().is_empty()? {
            return Ok(());
        }
        let layers = record.layers.iter().rev();
        let view = LayerView::open(layers.map(|id| self.store.layer_dir(id)))?;
        match view.directory(&mount.target) {
            Ok(None) => return Ok(()),
            Ok(Some(parts)) if lock.fill_with_nothing(&parts)? => return Ok(()),
            // Some directories only root of the user namespace may look into.
            _ => {}
        }
        let filled: Result<(), String> = in_namespace(self.host.own_ids()?, || {
            let parts = view
                .directory(&mount.target)
                .map_err(|error| error.to_string())?;
            let parts: Vec<OwnedFd> = parts.unwrap_or_default();
            let filled = lock.fill(&self.store, &record.layers, &parts, durable);
            filled.map_err(|error| Error::from(error).line())
        })?;
        filled.map_err(|reason| {
            VolumeError::Fill {
                name: lock.name().clone(),
                target: mount.target.clone(),
                reason,
            }
            .into()
        })
    }

    /// Brings to its place what somebody who was killed has copied.
    pub(super) fn settle_volume(&self, lock: &VolumeLock) -> Result<(), Error> {
        if !lock.directory().is_unsettled() {
            return Ok(());
        }
        let settled: Result<(), String> = in_namespace(&self.host.maps, || {
            lock.settle().map_err(|error| Error::from(error).line())
        })?;
        settled.map_err(|reason| {
            VolumeError::Fill {
                name: lock.name().clone(),
                target: "what an image has".to_owned(),
                reason,
            }
            .into()
        })
    }

    /// Removes the volumes that were made for a container which is not made.
    pub(crate) fn discard_storage(&self, provided: Provided) {
        let Provided { storage, locks } = provided;
        let own = storage.mounts.iter().filter(|mount| is_own(mount));
        let own: Vec<&VolumeName> = own.filter_map(MountPoint::volume).collect();
        for (name, lock) in locks {
            // Those of others have users; what cannot be removed here is left to a sweep.
            let unused = self.volume_users(&name).is_ok_and(|users| users.is_empty());
            if own.contains(&&name) && unused {
                let _ = self.store.remove_volume(&lock);
            }
        }
    }

    /// Removes the anonymous volumes of a container that is gone, where nobody else has them.
    pub(crate) fn remove_anonymous_volumes(&self, record: &ContainerRecord) -> Result<(), Error> {
        let own = record
            .storage
            .mounts
            .iter()
            .filter(|mount| mount.is_anonymous());
        for name in own.filter_map(MountPoint::volume) {
            match self.remove_volume_unless_used(name) {
                // The damaged container may have it: a repair decides when that is whole again, or gone.
                Err(Error::Store(carrier_store::Error::Damaged { .. })) => {}
                removed => drop(removed?),
            }
        }
        Ok(())
    }

    /// Lets the volumes of a container outlive it and whom they were made for; with `anonymous_too` also
    /// those that nobody named.
    pub(crate) fn release_volumes(
        &self,
        record: &ContainerRecord,
        anonymous_too: bool,
    ) -> Result<(), Error> {
        let mounts = record.storage.mounts.iter();
        let released = mounts.filter(|mount| anonymous_too || !mount.is_anonymous());
        for name in released.filter_map(MountPoint::volume) {
            // Somebody may be filling it; a volume that is nobody's stays so, and a damaged one is left
            // alone by everybody.
            let volume = self.store.volume(name).read_record().ok().flatten();
            if volume.is_some_and(|volume| volume.container.is_some())
                && let Some(lock) = self.store.lock_volume(name)?
            {
                release(&lock)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_volume_unless_used(&self, name: &VolumeName) -> Result<bool, Error> {
        let Some(lock) = self.store.lock_volume(name)? else {
            return Ok(false);
        };
        if !self.volume_users(name)?.is_empty() {
            release(&lock)?;
            return Ok(false);
        }
        self.destroy_volume(lock)?;
        Ok(true)
    }

    pub(super) fn destroy_volume(&self, lock: VolumeLock) -> Result<(), Error> {
        let name = lock.name().clone();
        let clean = self.store.remove_volume(&lock)?;
        // A sweep leaves alone what somebody holds.
        drop(lock);
        self.emit(&super::event("destroy", &name));
        if clean { Ok(()) } else { self.sweep() }
    }

    /// Volumes of containers that somebody who was killed did not make, and copies on their way.
    pub(crate) fn repair_volumes(&self) -> Result<(), Error> {
        for name in self.store.volume_names()? {
            let directory = self.store.volume(&name);
            // A damaged one is a finding of the check.
            let Ok(Some(volume)) = directory.read_record() else {
                continue;
            };
            if !self.is_orphan(&volume) && !directory.is_unsettled() {
                continue;
            }
            // Whoever has the lock is at work on it.
            let Some(lock) = self.store.try_lock_volume(&name)? else {
                continue;
            };
            self.repair_volume(lock)?;
        }
        Ok(())
    }

    fn repair_volume(&self, lock: VolumeLock) -> Result<(), Error> {
        // Before the lock somebody may have made the container, or kept the volume.
        let Ok(Some(volume)) = lock.directory().read_record() else {
            return Ok(());
        };
        if self.is_orphan(&volume) {
            match self.volume_users(lock.name()) {
                // The damaged container may have it.
                Err(Error::Store(carrier_store::Error::Damaged { .. })) => {}
                Err(error) => return Err(error),
                Ok(users) if users.is_empty() => return self.destroy_volume(lock),
                Ok(_) => release(&lock)?,
            }
        }
        self.settle_volume(&lock)
    }

    /// Whether a volume was made for a container that is not there.
    fn is_orphan(&self, volume: &VolumeRecord) -> bool {
        let is_gone = |id: &ContainerId| !self.store.container(id).path().exists();
        volume.anonymous && volume.container.as_ref().is_some_and(is_gone)
    }
}

/// Whether a volume is made for the container that has this mount.
fn is_own(mount: &MountPoint) -> bool {
    mount.is_anonymous() && mount.origin != super::Origin::VolumesFrom
}

/// Refuses a volume that is not what is asked for.
fn refuse_other(lock: &VolumeLock, mount: &MountPoint) -> Result<(), Error> {
    let MountSource::Volume {
        labels, options, ..
    } = &mount.source
    else {
        return Ok(());
    };
    match lock.directory().read_record()? {
        Some(there) if super::differs(&there, labels, options) => {
            Err(VolumeError::Differs(lock.name().clone()).into())
        }
        _ => Ok(()),
    }
}

/// Lets a volume outlive the container that it was made for.
fn release(lock: &VolumeLock) -> Result<(), Error> {
    if let Some(volume) = lock.directory().read_record()?
        && volume.container.is_some()
    {
        lock.write_record(&VolumeRecord {
            container: None,
            ..volume
        })?;
    }
    Ok(())
}

/// Finds out whether there is something to mount, and makes a directory where that is asked for: owned
/// by the caller, as Docker's is by its own.
pub(super) fn ensure_source(mount: &MountPoint) -> Result<(), VolumeError> {
    let MountSource::Bind { path, make, .. } = &mount.source else {
        return Ok(());
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // What cannot be looked at may still be mounted, or fails then.
        _ => return Ok(()),
    }
    if !make {
        return Err(VolumeError::NoSource(path.clone()));
    }
    let made = with_users(|| fs::create_dir_all(path));
    made.map_err(|source| VolumeError::MakeSource {
        path: path.clone(),
        source,
    })
}
