//! Looking for damage: what is in the store that should not be, what is missing, and what is not as it
//! was written.
//!
//! The quick way looks at names, modes, sizes and records. The deep way also reads every blob. What is
//! in the layers' trees is looked at by whoever has their ids: see [`check_tree`].

mod containers;
mod images;
mod layers;
mod places;
mod repair;
mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use carrier_spec::{DiffId, Digest};

use crate::containers::ContainerDir;
use crate::error::Error;
use crate::images::ImageUser;
use crate::store::Store;

pub use layers::{CheckedLayer, check_tree};
pub use repair::Repaired;

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Names, modes, sizes and records.
    Quick,
    /// Every byte.
    Deep,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, from the root of the store.
    pub path: PathBuf,
    /// What.
    pub problem: String,
    /// What makes it right, as far as the store can do that.
    pub remedy: Remedy,
    /// The images that lack something then, and are whole again when they are pulled.
    pub images: Vec<String>,
}

/// What makes a finding right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing here: what is missing comes back with a pull, or does not.
    Fetch,
    /// Removing it.
    Remove,
    /// Removing a layer.
    RemoveLayer(DiffId),
    /// Another mode.
    SetMode(u32),
    /// Making the directory.
    MakeDirectory,
    /// Writing a file anew whose content is known.
    Rewrite,
    /// Giving the container its name again.
    Name(String),
    /// Removing what nobody works on.
    Sweep,
}

impl Finding {
    /// What makes it right, in words.
    #[must_use]
    pub fn fix(&self) -> String {
        let pull: Vec<String> = self
            .images
            .iter()
            .map(|name| format!("`carrier pull {name}`"))
            .collect();
        let repaired = match &self.remedy {
            Remedy::Fetch if pull.is_empty() => return "remove what needs it".to_owned(),
            Remedy::Fetch => return format!("needs {}", pull.join(", ")),
            Remedy::Remove | Remedy::RemoveLayer(_) | Remedy::Sweep => "--repair removes it",
            Remedy::SetMode(_) => "--repair sets the mode",
            Remedy::MakeDirectory => "--repair makes it",
            Remedy::Rewrite => "--repair writes it anew",
            Remedy::Name(_) => "--repair gives the name back",
        };
        if pull.is_empty() {
            repaired.to_owned()
        } else {
            format!("{repaired}, then it needs {}", pull.join(", "))
        }
    }
}

/// What a look at the store has brought.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The layers that are there and whose trees can be looked at.
    pub layers: Vec<CheckedLayer>,
    /// How many blobs there are.
    pub blobs: usize,
    /// How many images there are.
    pub images: usize,
}

/// Who needs what: blobs with their sizes, and layers.
#[derive(Default)]
struct Needs {
    blobs: BTreeMap<Digest, (u64, Vec<String>)>,
    layers: BTreeMap<DiffId, Vec<String>>,
    /// The compressed form of a layer.
    sources: BTreeMap<DiffId, carrier_spec::Descriptor>,
}

struct Checker<'a> {
    store: &'a Store,
    depth: Depth,
    needs: Needs,
    checked: Checked,
}

impl Store {
    /// Looks for damage. Images and containers do not change meanwhile where the look is quick; what
    /// changes during a deep one may be taken for damage.
    ///
    /// # Errors
    /// [`Error::Io`] when not even the names of things can be read.
    pub fn check(
        &self,
        depth: Depth,
        read: &dyn Fn(&ContainerDir) -> Result<Option<ImageUser>, Error>,
    ) -> Result<Checked, Error> {
        let mut checker = Checker {
            store: self,
            depth,
            needs: Needs::default(),
            checked: Checked::default(),
        };
        let lock = self.lock();
        checker.check_places()?;
        checker.check_images()?;
        checker.check_containers(read)?;
        checker.check_volumes()?;
        if depth == Depth::Deep {
            drop(lock);
        }
        checker.check_blobs()?;
        checker.check_layers()?;
        Ok(checker.checked)
    }
}

impl Checker<'_> {
    fn find(&mut self, path: impl AsRef<Path>, problem: impl Into<String>, remedy: Remedy) {
        self.find_in(path, problem, remedy, Vec::new());
    }

    fn find_in(
        &mut self,
        path: impl AsRef<Path>,
        problem: impl Into<String>,
        remedy: Remedy,
        images: Vec<String>,
    ) {
        let path = path.as_ref();
        let relative = path.strip_prefix(self.store.root()).unwrap_or(path);
        self.checked.findings.push(Finding {
            path: relative.to_owned(),
            problem: problem.into(),
            remedy,
            images,
        });
    }
}
