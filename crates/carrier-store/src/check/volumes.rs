//! Volumes: nothing that a container may have written is ever removed here.

use std::fs;

use carrier_spec::VolumeName;

use super::places::entries;
use super::{Checker, Remedy};
use crate::error::Error;

impl Checker<'_> {
    pub(super) fn check_volumes(&mut self) -> Result<(), Error> {
        for path in entries(&self.store.root().join("volumes"))? {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.parse::<VolumeName>().ok());
            let Some(name) = name.filter(|_| path.is_dir()) else {
                self.find_stray(&path);
                continue;
            };
            if !self.check_directory(&path) {
                continue;
            }
            let record = path.join(crate::volumes::RECORD);
            self.check_file(&record);
            let volume = self.store.volume(&name);
            match volume.read_record() {
                Ok(Some(found)) if found.name == name => {}
                // What it is called is known, and its files are there.
                _ => self.find(&record, "does not tell what the volume is", Remedy::Rewrite),
            }
            if fs::symlink_metadata(volume.data()).is_err() {
                self.find(volume.data(), "is missing", Remedy::MakeDirectory);
            }
        }
        Ok(())
    }
}
