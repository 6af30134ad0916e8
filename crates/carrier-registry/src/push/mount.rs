//! Where else in a registry a blob should be, as far as the store knows.

use std::collections::HashMap;

use carrier_spec::{Digest, ManifestOrIndex, Reference};
use carrier_store::Store;

use super::plan::{MAX_MANIFEST, Plan};
use crate::Error;

/// Each repository that turns out not to have a blob costs a request.
const MOST: usize = 3;

/// Repositories by blob, the most likely first.
pub(super) struct Candidates(HashMap<Digest, Vec<String>>);

impl Candidates {
    pub(super) fn of(&self, digest: &Digest) -> Vec<String> {
        let found = self.0.get(digest).into_iter().flatten();
        found.take(MOST).cloned().collect()
    }
}

/// Looks for other images from the registry of `destination` that consist of the same blobs.
pub(super) fn candidates(
    store: &Store,
    destination: &Reference,
    plan: &Plan,
) -> Result<Candidates, Error> {
    let mut found: HashMap<Digest, Vec<String>> = HashMap::new();
    for image in store.images()? {
        // Where it came from is a better guess than what it is called here.
        let homes = [image.origin, image.reference].into_iter().flatten();
        let homes = homes.filter(|home| home.registry() == destination.registry());
        let homes: Vec<Reference> = homes
            .filter(|home| home.repository() != destination.repository())
            .collect();
        if homes.is_empty() {
            continue;
        }
        let manifest = store.read_blob(&image.manifest.digest, MAX_MANIFEST)?;
        let manifest = manifest.and_then(|bytes| ManifestOrIndex::parse(&bytes, None).ok());
        let Some(ManifestOrIndex::Manifest(manifest)) = manifest else {
            continue;
        };
        let wanted = |digest: &Digest| plan.layers.iter().any(|blob| blob.digest == *digest);
        for layer in manifest.layers.into_iter().filter(|it| wanted(&it.digest)) {
            let repositories = found.entry(layer.digest).or_default();
            for repository in homes.iter().map(Reference::repository) {
                if !repositories.iter().any(|known| known == repository) {
                    repositories.push(repository.to_owned());
                }
            }
        }
    }
    for repositories in found.values_mut() {
        repositories.sort_by_key(|repository| {
            let stranger = !same_owner(repository, destination.repository());
            (stranger, repository.clone())
        });
    }
    Ok(Candidates(found))
}

/// Whoever may write to a repository may most likely read those beside it.
fn same_owner(a: &str, b: &str) -> bool {
    let owner = |repository: &str| {
        repository
            .split_once('/')
            .map(|(first, _)| first.to_owned())
    };
    owner(a) == owner(b)
}
