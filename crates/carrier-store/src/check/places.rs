//! The directories and files that every store has, blobs, and what does not belong there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use carrier_spec::Digest;

use super::{Checker, Depth, Remedy};
use crate::error::Error;
use crate::foundation;
use crate::images::is_mark;
use crate::store::{DIRECTORIES, MARK, MARK_TEXT};

/// A directory of the root that is made when it is needed.
const NETWORKS: &str = "networks";

/// Where the engine finds the process that keeps the networks.
const KEEPER: &str = "keeper";

/// Files of the root, beside the mark.
const FILES: [&str; 2] = ["index.json", "lock"];

impl Checker<'_> {
    /// The root and the directories in it.
    pub(super) fn check_places(&mut self) -> Result<(), Error> {
        let root = self.store.root().to_owned();
        self.check_private(&root);
        for name in DIRECTORIES {
            let path = root.join(name);
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                self.check_private(&path);
            } else if name == "volumes" && !path.exists() {
                // A store of an earlier version: made with the first volume.
            } else if path.exists() {
                self.find(&path, "is no directory", Remedy::Remove);
            } else {
                self.find(&path, "is missing", Remedy::MakeDirectory);
            }
        }
        let mark = root.join(MARK);
        if fs::read(&mark).ok().as_deref() != Some(MARK_TEXT) {
            self.find(&mark, "is missing or damaged", Remedy::Rewrite);
        }
        let index = root.join("index.json");
        if self.store.images()?.is_empty() && !index.exists() {
            // No image was ever here.
        } else if fs::read(&index).ok() != Some(self.store.index_text()?) {
            self.find(
                &index,
                "is missing or does not list the images",
                Remedy::Rewrite,
            );
        }
        for path in entries(&root)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let top = |known: &&str| !known.contains('/') && **known == name;
            if name == MARK || FILES.contains(&&*name) {
                self.check_file(&path);
            } else if name == NETWORKS {
                self.check_networks(&path)?;
            } else if name == foundation::DIRECTORY {
                if !foundation::is_whole(&path) {
                    self.find(&path, "is damaged", Remedy::Remove);
                }
            } else if !DIRECTORIES.iter().any(top) {
                self.find_stray(&path);
            }
        }
        for path in entries(&root.join("blobs"))? {
            if !path.ends_with("sha256") {
                self.find_stray(&path);
            }
        }
        for path in self.store.leftovers()? {
            self.find(&path, "is left of a command that has ended", Remedy::Sweep);
        }
        for path in entries(&root.join("downloads"))? {
            let is_known = digest_of_name(&path).is_some() || is_mark(&path);
            if !is_known || !path.is_file() {
                self.find_stray(&path);
            }
        }
        Ok(())
    }

    /// Files that are about no network are nobody's: what a crash left is removed by the next who makes
    /// one.
    fn check_networks(&mut self, directory: &Path) -> Result<(), Error> {
        self.check_private(directory);
        for path in entries(directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if crate::networks::name_of(&path).is_some() {
                self.check_file(&path);
            } else if !name.starts_with('.') && name != KEEPER {
                self.find_stray(&path);
            }
        }
        Ok(())
    }

    /// Blobs: their names, modes and sizes, and on a deep look their bytes.
    pub(super) fn check_blobs(&mut self) -> Result<(), Error> {
        for path in entries(&self.store.root().join("blobs/sha256"))? {
            let Some(digest) = digest_of_name(&path) else {
                self.find_stray(&path);
                continue;
            };
            let Ok(found) = fs::symlink_metadata(&path) else {
                continue;
            };
            self.checked.blobs += 1;
            let needed = self.needs.blobs.get(&digest).cloned();
            let (size, images) = needed.unwrap_or((found.len(), Vec::new()));
            if !found.is_file() {
                self.find_in(&path, "is no file", Remedy::Remove, images);
            } else if found.len() != size {
                let problem = format!("has {} of {size} bytes", found.len());
                self.find_in(&path, problem, Remedy::Remove, images);
            } else if !self.check_file(&path) {
                // Its mode is a finding already.
            } else if self.depth == Depth::Deep && !self.store.blob_is_whole(&digest)? {
                self.find_in(&path, "does not have its digest", Remedy::Remove, images);
            }
        }
        for (digest, (_, images)) in self.needs.blobs.clone() {
            if fs::symlink_metadata(self.store.blob_path(&digest)?).is_err() {
                let path = self.store.blob_path(&digest)?;
                self.find_in(path, "is missing", Remedy::Fetch, images);
            }
        }
        Ok(())
    }

    pub(super) fn find_stray(&mut self, path: &Path) {
        // What is being written has a name with the number of its writer for a moment.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let writer = name
            .strip_prefix('.')
            .and_then(|name| name.rsplit_once('.'));
        let alive = writer.is_some_and(|(_, number)| {
            number.parse::<u32>().is_ok() && Path::new("/proc").join(number).exists()
        });
        if !alive {
            self.find(path, "does not belong here", Remedy::Remove);
        }
    }

    /// A directory that nobody else may see.
    fn check_private(&mut self, path: &Path) {
        if let Ok(found) = fs::metadata(path)
            && found.mode() & 0o7777 != 0o700
        {
            let problem = format!("has mode {:04o}, not 0700", found.mode() & 0o7777);
            self.find(path, problem, Remedy::SetMode(0o700));
        }
    }

    /// A directory that nobody else may change.
    pub(super) fn check_directory(&mut self, path: &Path) -> bool {
        self.check_mode(path, 0o700)
    }

    /// A file that nobody else may change.
    pub(super) fn check_file(&mut self, path: &Path) -> bool {
        self.check_mode(path, 0o400)
    }

    fn check_mode(&mut self, path: &Path, needed: u32) -> bool {
        let Ok(found) = fs::symlink_metadata(path) else {
            return true;
        };
        let mode = found.mode() & 0o7777;
        let good = mode & 0o7022 == 0 && mode & needed == needed;
        if !good {
            let right = (mode | needed) & 0o755;
            self.find(path, format!("has mode {mode:04o}"), Remedy::SetMode(right));
        }
        good
    }
}

/// What is in a directory, in the order of names; nothing in one that cannot be read, which is a
/// finding of its own.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let Ok(read) = fs::read_dir(directory) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    Ok(paths)
}

/// The digest that a file name is the hexadecimal part of.
pub(super) fn digest_of_name(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    format!("sha256:{name}").parse().ok()
}
