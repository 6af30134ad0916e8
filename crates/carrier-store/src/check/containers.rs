//! Containers and their names.

use std::fs;
use std::path::Path;

use carrier_spec::ContainerId;

use super::places::entries;
use super::{Checker, Remedy};
use crate::containers::ContainerDir;
use crate::error::Error;
use crate::images::ImageUser;

impl Checker<'_> {
    pub(super) fn check_containers(
        &mut self,
        read: &dyn Fn(&ContainerDir) -> Result<Option<ImageUser>, Error>,
    ) -> Result<(), Error> {
        // Nobody is between taking a name and making its container then.
        let _names = self.store.lock_records();
        let root = self.store.root().to_owned();
        for path in entries(&root.join("containers"))? {
            let id = path.file_name().and_then(|name| name.to_str());
            let id = id.and_then(|name| name.parse::<ContainerId>().ok());
            let Some(id) = id.filter(|_| path.is_dir()) else {
                self.find_stray(&path);
                continue;
            };
            if !self.check_directory(&path) {
                continue;
            }
            self.check_file(&path.join("container.json"));
            for name in ["upper", "work"] {
                if !path.join(name).is_dir() {
                    let remedy = Remedy::MakeDirectory;
                    self.find(path.join(name), "is missing", remedy);
                }
            }
            match read(&self.store.container(&id)) {
                Ok(Some(container)) => self.check_container(&root, &id, container),
                _ => self.find(&path, "has no record that can be read", Remedy::Remove),
            }
        }
        for path in entries(&root.join("names"))? {
            let target = fs::read_link(&path).ok();
            let target = target.and_then(|target| target.to_str()?.parse::<ContainerId>().ok());
            match target {
                None => self.find_stray(&path),
                Some(id) if !self.store.container(&id).path().exists() => {
                    self.find(&path, "is the name of no container", Remedy::Remove);
                }
                Some(id) => {
                    let named = read(&self.store.container(&id)).ok().flatten();
                    if named.is_some_and(|named| path.file_name() != Some(named.name.as_ref())) {
                        self.find(&path, "is the name of no container", Remedy::Remove);
                    }
                }
            }
        }
        Ok(())
    }

    fn check_container(&mut self, root: &Path, id: &ContainerId, container: ImageUser) {
        let name = root.join("names").join(&container.name);
        let owner = fs::read_link(&name).ok();
        if owner.as_deref() != Some(Path::new(id.as_str())) {
            let problem = format!("is not the name of container {}", id.short());
            self.find(name, problem, Remedy::Name(id.to_string()));
        }
        for layer in container.layers {
            self.needs.layers.entry(layer).or_default();
        }
    }
}
