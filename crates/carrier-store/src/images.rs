//! Images: what a reference means on a platform.
//!
//! A record holds all that running the image takes, so that a cached run reads one small file.
//! Layers and blobs that no image and no container needs are removed with the last image.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use carrier_spec::{
    Descriptor, DiffId, Digest, ImageConfig, ImageId, ManifestOrIndex, Platform, Reference,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::atomic::{Durability, read_json, write_json};
use crate::blobs::digest_of;
use crate::error::Error;
use crate::staging::Staged;
use crate::store::Store;
use crate::tree::RemoveError;

const DIRECTORY: &str = "images";
const INDEX: &str = "index.json";

/// Registries refuse larger manifests, distribution-spec.
const MAX_MANIFEST: u64 = 4 << 20;

/// An image for one platform, under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The name.
    pub reference: Reference,
    /// What the image runs on.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Descriptor,
    /// The image's identity.
    pub id: ImageId,
    /// The image's configuration.
    pub config: ImageConfig,
    /// Bytes of the unpacked layers.
    pub size: u64,
}

impl Store {
    /// The image that `reference` means for `platform`; where none is named, for the host, else for
    /// whichever platform it was pulled. A damaged record counts as none, so that the image is pulled
    /// anew.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn image(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Option<ImageRecord>, Error> {
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let directory = self.image_dir(reference);
        let exact = directory.join(file_name(&wanted));
        if let Some(record) = read_record(&exact)? {
            return Ok(Some(record));
        }
        let others = records_in(&directory)?;
        let fits =
            |record: &ImageRecord| platform.is_none_or(|wanted| wanted.accepts(&record.platform));
        Ok(others.into_iter().find(fits))
    }

    /// All images. One whose record is damaged is not among them: it must not hide the others, nor
    /// keep them from being changed, and pulling it again writes its record anew.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn images(&self) -> Result<Vec<ImageRecord>, Error> {
        let mut records = Vec::new();
        for directory in entries(&self.path(DIRECTORY))? {
            records.extend(records_in(&directory)?);
        }
        Ok(records)
    }

    /// Bytes of the layers of an image with this configuration.
    ///
    /// # Errors
    /// [`Error::LayerMissing`].
    pub fn unpacked_size(&self, config: &ImageConfig) -> Result<u64, Error> {
        config
            .rootfs
            .diff_ids
            .iter()
            .map(|id| self.layer_size(id))
            .sum()
    }

    /// Makes a reference mean an image. Survives a power cut that follows at once.
    ///
    /// # Errors
    /// [`Error::LayerMissing`] when somebody removed a layer meanwhile: pull it again.
    pub fn put_image(&self, record: &ImageRecord) -> Result<(), Error> {
        let _lock = self.lock()?;
        let missing = record
            .config
            .rootfs
            .diff_ids
            .iter()
            .find(|id| !self.has_layer(id));
        if let Some(id) = missing {
            return Err(Error::LayerMissing(id.clone()));
        }
        let directory = self.image_dir(&record.reference);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => {
                other.map_err(Error::io("make", &directory))?;
                self.sync_directory(DIRECTORY)?;
            }
        }
        write_json(
            &directory.join(file_name(&record.platform)),
            record,
            Durability::Synced,
        )?;
        self.refresh_index();
        Ok(())
    }

    /// Forgets an image, with the layers and blobs that then nobody needs; `in_use` are the layers
    /// of containers. Returns whether all files could be deleted: those of other ids are left to a
    /// sweep in the user namespace. Needs no space on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_image(
        &self,
        record: &ImageRecord,
        in_use: impl Fn() -> Result<Vec<DiffId>, Error>,
    ) -> Result<bool, Error> {
        let lock = self.lock()?;
        let directory = self.image_dir(&record.reference);
        let file = directory.join(file_name(&record.platform));
        fs::remove_file(&file).map_err(Error::io("remove", &file))?;
        // Fails while the reference has other platforms.
        let _ = fs::remove_dir(&directory);
        let garbage = self.collect_garbage(record, in_use()?)?;
        self.refresh_index();
        // Deleting takes long; the names are gone already.
        drop(lock);
        let mut clean = true;
        for layer in garbage {
            clean &= discard(&layer)?;
        }
        Ok(clean)
    }

    /// Deletes the blobs and takes the layers out of sight that only the image of `record`, which
    /// was just forgotten, had needed.
    fn collect_garbage(
        &self,
        record: &ImageRecord,
        in_use: Vec<DiffId>,
    ) -> Result<Vec<Staged>, Error> {
        let mut layers: HashSet<DiffId> = in_use.into_iter().collect();
        let mut blobs = HashSet::new();
        for image in self.images()? {
            layers.extend(image.config.rootfs.diff_ids.iter().cloned());
            blobs.extend(self.blobs_of(&image)?);
        }
        for digest in self.blobs_of(record)?.difference(&blobs) {
            let path = self.blob_path(digest)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.map_err(Error::io("remove", &path))?,
            }
        }
        let unused = record.config.rootfs.diff_ids.iter();
        let unused = unused.filter(|id| !layers.contains(id));
        let taken = unused.map(|id| Staged::take(self, &self.layer_path(id)));
        taken.filter_map(Result::transpose).collect()
    }

    /// Every blob that the image consists of; a damaged manifest tells of none but itself.
    fn blobs_of(&self, image: &ImageRecord) -> Result<HashSet<Digest>, Error> {
        let mut blobs = HashSet::from([image.manifest.digest.clone(), image.id.0.clone()]);
        if let Some(bytes) = self.read_blob(&image.manifest.digest, MAX_MANIFEST)?
            && let Ok(ManifestOrIndex::Manifest(manifest)) = ManifestOrIndex::parse(&bytes, None)
        {
            blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
        }
        Ok(blobs)
    }

    /// Brings `index.json` up to date. A full disk may forbid that, but not the change of an image: no
    /// list is better than a wrong one then.
    fn refresh_index(&self) {
        if self.write_index().is_err() {
            let _ = fs::remove_file(self.path(INDEX));
        }
    }

    /// Writes `index.json`, image-spec `image-layout.md`, for other tools: Carrier never reads it.
    fn write_index(&self) -> Result<(), Error> {
        let entry = |image: ImageRecord| {
            json!({
                "mediaType": image.manifest.media_type,
                "digest": image.manifest.digest,
                "size": image.manifest.size,
                "platform": image.platform,
                "annotations": { "org.opencontainers.image.ref.name": image.reference },
            })
        };
        let manifests: Vec<_> = self.images()?.into_iter().map(entry).collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        write_json(&self.path(INDEX), &index, Durability::Cached)
    }

    /// References hold characters that file names do not.
    fn image_dir(&self, reference: &Reference) -> PathBuf {
        let key = digest_of(reference.to_string().as_bytes());
        self.path(DIRECTORY).join(key.hex())
    }
}

/// Says whether all files could be deleted.
fn discard(layer: &Staged) -> Result<bool, Error> {
    match layer.discard() {
        Ok(()) => Ok(true),
        Err(RemoveError::Foreign { .. }) => Ok(false),
        Err(RemoveError::Io { path, source }) => Err(Error::Io {
            action: "remove",
            path,
            source,
        }),
    }
}

fn file_name(platform: &Platform) -> String {
    format!("{}.json", platform.file_stem())
}

/// A damaged record means nothing, as a missing one does.
fn read_record(path: &Path) -> Result<Option<ImageRecord>, Error> {
    match read_json(path) {
        Err(Error::Damaged { .. }) => Ok(None),
        record => record,
    }
}

/// The records of one reference; whatever its platforms, the host's are asked for by name.
fn records_in(directory: &Path) -> Result<Vec<ImageRecord>, Error> {
    let mut records = Vec::new();
    for path in entries(directory)? {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden {
            records.extend(read_record(&path)?);
        }
    }
    Ok(records)
}

/// What is in a directory, in the order of names; nothing in one that does not exist.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read", directory))?,
    };
    let mut paths: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        (home, store)
    }

    fn layer(store: &Store, name: &str) -> DiffId {
        let id = DiffId(digest_of(name.as_bytes()));
        let staged = store.stage_layer().unwrap();
        let summary = crate::LayerSummary {
            diff_id: id.clone(),
            entries: 1,
            bytes: 7,
            skipped_devices: 0,
        };
        let mut ingest = store.ingest();
        ingest.add_layer(staged, &summary).unwrap();
        ingest.commit().unwrap();
        id
    }

    fn image(store: &Store, name: &str, platform: &str, layers: &[DiffId]) -> ImageRecord {
        let platform: Platform = platform.parse().unwrap();
        let mut config = ImageConfig::default();
        config.rootfs.diff_ids = layers.to_vec();
        let mut writer = store.new_blob().unwrap();
        let bytes = format!("manifest of {name} for {platform}");
        writer.write_all(bytes.as_bytes()).unwrap();
        let digest = digest_of(bytes.as_bytes());
        let size = bytes.len() as u64;
        let mut ingest = store.ingest();
        ingest.add_blob(writer.verify(&digest, size).unwrap());
        ingest.commit().unwrap();
        let record = ImageRecord {
            reference: name.parse().unwrap(),
            platform,
            manifest: Descriptor {
                media_type: "m".into(),
                digest: digest.clone(),
                size,
                platform: None,
            },
            id: ImageId(digest),
            size: store.unpacked_size(&config).unwrap(),
            config,
        };
        store.put_image(&record).unwrap();
        record
    }

    #[test]
    fn platforms_of_a_reference_live_side_by_side() {
        let (_home, store) = store();
        let base = layer(&store, "base");
        image(&store, "a", "linux/arm64", std::slice::from_ref(&base));
        let name = "a".parse().unwrap();
        let found = |platform: Option<&str>| {
            let platform = platform.map(|text| text.parse().unwrap());
            let record = store.image(&name, platform.as_ref()).unwrap();
            record.map(|record| record.platform.to_string())
        };
        assert_eq!(found(None).as_deref(), Some("linux/arm64"));
        assert_eq!(
            found(Some("linux/arm64/v8")).as_deref(),
            Some("linux/arm64")
        );
        assert_eq!(found(Some("linux/s390x")), None);
        let host = Platform::host().to_string();
        image(&store, "a", &host, &[base]);
        assert_eq!(found(None), Some(host));
        assert_eq!(store.images().unwrap().len(), 2);
    }

    #[test]
    fn what_nobody_needs_goes_with_the_last_image() {
        let (_home, store) = store();
        let (shared, own, used) = (layer(&store, "s"), layer(&store, "o"), layer(&store, "u"));
        let a = image(
            &store,
            "a",
            "linux/amd64",
            &[shared.clone(), own.clone(), used.clone()],
        );
        let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&shared));
        assert!(store.remove_image(&a, || Ok(vec![used.clone()])).unwrap());
        assert!(!store.has_layer(&own));
        assert!(store.has_layer(&shared) && store.has_layer(&used));
        assert!(!store.has_blob(&a.manifest.digest).unwrap());
        assert!(store.has_blob(&b.manifest.digest).unwrap());
        assert!(store.image(&a.reference, None).unwrap().is_none());
    }

    #[test]
    fn an_image_without_its_layers_is_refused() {
        let (_home, store) = store();
        let base = layer(&store, "base");
        let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
        store.remove_image(&a, || Ok(Vec::new())).unwrap();
        assert!(matches!(store.put_image(&a), Err(Error::LayerMissing(id)) if id == base));
    }

    #[test]
    fn a_damaged_record_harms_no_other_image() {
        let (_home, store) = store();
        let base = layer(&store, "base");
        let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
        let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&base));
        let record = store.image_dir(&a.reference).join(file_name(&a.platform));
        for damage in [&b""[..], b"{", b"{}", b"\xff\xfe"] {
            fs::write(&record, damage).unwrap();
            assert_eq!(store.image(&a.reference, None).unwrap(), None);
            assert_eq!(store.images().unwrap(), std::slice::from_ref(&b));
        }
        store.put_image(&a).unwrap();
        assert_eq!(store.images().unwrap().len(), 2);
        fs::write(&record, b"").unwrap();
        assert!(store.remove_image(&b, || Ok(Vec::new())).unwrap());
        assert!(store.images().unwrap().is_empty());
    }

    /// A small file system; nothing where this process may not mount one.
    fn small_disk() -> Option<(tempfile::TempDir, Store)> {
        use rustix::mount::{MountFlags, mount};
        let home = tempfile::tempdir().unwrap();
        let options = c"size=1m,mode=0700";
        if mount("small", home.path(), "tmpfs", MountFlags::empty(), options).is_err() {
            println!("skipped: only root can mount a small file system");
            return None;
        }
        let store = Store::open(&home.path().join("store")).unwrap();
        Some((home, store))
    }

    #[test]
    fn an_image_can_be_removed_from_a_full_disk() {
        let Some((home, store)) = small_disk() else {
            return;
        };
        let base = layer(&store, "base");
        let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
        let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&base));
        let mut filler = fs::File::create(home.path().join("filler")).unwrap();
        while filler.write_all(&[0; 512]).is_ok() {}
        assert!(store.remove_image(&a, || Ok(Vec::new())).unwrap());
        assert!(store.remove_image(&b, || Ok(Vec::new())).unwrap());
        assert!(!store.has_layer(&base));
        let flags = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(home.path(), flags).unwrap();
    }
}
