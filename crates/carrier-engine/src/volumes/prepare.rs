//! Finding what a container mounts, each time that it starts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use carrier_store::VolumeRecord;
use oci_spec::runtime::Mount;

use super::devices::mount_of;
use super::driver::Backing;
use super::error::VolumeError;
use super::mount_point::{MountPoint, MountSource, ReadOnly};
use super::oci::{Located, Place};
use super::provide::ensure_source;
use crate::engine::Engine;
use crate::error::Error;
use crate::identity::ResolvedUser;
use crate::record::ContainerRecord;

impl Engine {
    /// Finds the files of all mounts, and gives them to the container's user where that is asked for.
    ///
    /// # Errors
    /// When something is not there any more, or cannot be made.
    pub(crate) fn prepare_storage(
        &self,
        record: &ContainerRecord,
        user: &ResolvedUser,
    ) -> Result<Vec<Mount>, Error> {
        if self.store.clear_overlays(&record.id)? {
            self.sweep()?;
        }
        let mut mounts = Vec::new();
        for (number, mount) in record.storage.mounts.iter().enumerate() {
            let place = self.locate(record, number, mount)?;
            if mount.chown {
                self.give_away(record, mount, &place, user)?;
            }
            let located = Located { mount, place };
            let oci = located.oci_for(user);
            mounts.push(oci.map_err(|error| Error::Configuration(error.into()))?);
        }
        for device in &record.storage.devices {
            for (host, target) in device.nodes()? {
                let mount = mount_of(host, &target);
                mounts.push(mount.map_err(|error| Error::Configuration(error.into()))?);
            }
        }
        Ok(mounts)
    }

    /// The same for somebody who looks at a container that does not run: nothing of a volume or of the
    /// host is changed, and what is not there any more is left out.
    ///
    /// # Errors
    /// When something cannot be found or made.
    pub(crate) fn storage_to_look_at(
        &self,
        record: &ContainerRecord,
        user: &ResolvedUser,
    ) -> Result<Vec<Mount>, Error> {
        let mut seen = record.clone();
        seen.storage.devices.clear();
        seen.storage.mounts.retain(|mount| match &mount.source {
            MountSource::Bind { path, .. } => path.exists(),
            MountSource::Volume { .. } => self.locate_volume(mount).is_ok(),
            MountSource::Tmpfs { .. } | MountSource::Image { .. } => true,
        });
        for mount in &mut seen.storage.mounts {
            mount.chown = false;
            if matches!(
                mount.source,
                MountSource::Bind { .. } | MountSource::Volume { .. }
            ) {
                mount.overlay = false;
                mount.read_only = ReadOnly::All;
            }
        }
        self.prepare_storage(&seen, user)
    }

    fn locate(
        &self,
        record: &ContainerRecord,
        number: usize,
        mount: &MountPoint,
    ) -> Result<Place, Error> {
        let place = match &mount.source {
            MountSource::Bind {
                path, recursive, ..
            } => {
                ensure_source(mount)?;
                Place::Path {
                    path: path.clone(),
                    recursive: *recursive,
                    flags: Vec::new(),
                }
            }
            MountSource::Volume { .. } => self.locate_volume(mount)?,
            MountSource::Tmpfs { options, copy } => Place::Memory {
                options: options.clone(),
                flags: Vec::new(),
                copy: *copy,
            },
            MountSource::Image { layers, .. } => {
                let mut lower = Vec::new();
                for id in layers.iter().rev() {
                    if !self.store.has_layer(id) {
                        return Err(Error::LayerMissing(id.clone()));
                    }
                    lower.push(self.store.layer_dir(id));
                }
                return self.overlay_on(record, number, lower);
            }
        };
        match place {
            Place::Path { path, .. } if mount.overlay => {
                self.overlay_on(record, number, vec![path])
            }
            place => Ok(place),
        }
    }

    /// Where the files of a volume are.
    pub(crate) fn locate_volume(&self, mount: &MountPoint) -> Result<Place, Error> {
        let name = mount.volume();
        let unknown =
            || VolumeError::NoSuchVolume(name.map(ToString::to_string).unwrap_or_default());
        let name = name.ok_or_else(unknown)?;
        let directory = self.store.volume(name);
        let volume: VolumeRecord = directory.read_record()?.ok_or_else(unknown)?;
        if directory.is_unsettled()
            && let Some(lock) = self.store.lock_volume(name)?
        {
            self.settle_volume(&lock)?;
        }
        let backing = Backing::of(&volume.options)?;
        if let Backing::Bind { path, .. } = &backing
            && !path.exists()
        {
            return Err(VolumeError::NoSource(path.clone()).into());
        }
        Ok(Place::of_volume(backing, directory.data()))
    }

    /// What is written goes to a directory of the container's that is empty now.
    fn overlay_on(
        &self,
        record: &ContainerRecord,
        number: usize,
        lower: Vec<PathBuf>,
    ) -> Result<Place, Error> {
        let (upper, work) = self.store.make_overlay(&record.id, number)?;
        // The topmost directory is what the container sees of the root.
        if let Some(top) = lower.first()
            && let Ok(found) = fs::metadata(top)
        {
            let mode = fs::Permissions::from_mode(found.permissions().mode() & 0o7777);
            fs::set_permissions(&upper, mode).map_err(|source| Error::Write {
                path: upper.clone(),
                source,
            })?;
        }
        Ok(Place::Layers { lower, upper, work })
    }
}

impl Located<'_> {
    /// [`Located::oci`], for a container of this user.
    fn oci_for(&self, user: &ResolvedUser) -> Result<Mount, oci_spec::OciSpecError> {
        let mut mount = self.oci()?;
        if self.mount.chown && matches!(self.place, Place::Memory { .. }) {
            let mut words = mount.options().clone().unwrap_or_default();
            words.extend([format!("uid={}", user.uid), format!("gid={}", user.gid)]);
            mount.set_options(Some(words));
        }
        Ok(mount)
    }
}
