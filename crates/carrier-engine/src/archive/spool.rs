//! An archive's files, out of the stream and into nameless files of the store.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::rc::Rc;

use carrier_spec::Digest;
use carrier_store::{ArchiveEntryKind, ArchiveReader, Limits, Store, VerifiedBlob, digest_of};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{BadArchive, MAX_DOCUMENT};
use crate::error::Error;

/// Smaller files are kept in memory, while there is room: each other one takes a descriptor.
const SMALL: usize = 64 * 1024;
const MEMORY: usize = 32 << 20;

/// No archive of images comes near.
const MAX_ENTRIES: u64 = 100_000;

/// As many links as lead from one name to another; Docker's archives have one.
const MAX_LINKS: usize = 4;

/// The documents that say what an archive holds: nobody needs large ones.
const DOCUMENTS: [&str; 4] = ["manifest.json", "index.json", "oci-layout", "repositories"];

/// All files of an archive, by name.
pub(super) struct Spool {
    entries: HashMap<String, Entry>,
}

enum Entry {
    File(Content),
    /// Another entry.
    Link(String),
}

/// The content of one file.
pub(super) struct Content {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) bytes: Bytes,
}

pub(super) enum Bytes {
    Memory(Vec<u8>),
    File(Rc<VerifiedBlob>),
}

impl Content {
    /// The whole content of a document.
    pub(super) fn document(&self, path: &str) -> Result<Vec<u8>, Error> {
        if self.size > MAX_DOCUMENT {
            return Err(too_large(path));
        }
        match &self.bytes {
            Bytes::Memory(bytes) => Ok(bytes.clone()),
            Bytes::File(blob) => {
                let mut bytes = Vec::new();
                let file = blob.open().map_err(super::stream("read the archive"))?;
                let read = file.take(MAX_DOCUMENT).read_to_end(&mut bytes);
                read.map_err(super::stream("read the archive"))?;
                Ok(bytes)
            }
        }
    }

    /// The first bytes.
    pub(super) fn start(&self) -> Result<Vec<u8>, Error> {
        let mut start = Vec::new();
        match &self.bytes {
            Bytes::Memory(bytes) => start.extend(bytes.iter().take(8)),
            Bytes::File(blob) => {
                let file = blob.open().map_err(super::stream("read the archive"))?;
                let read = file.take(8).read_to_end(&mut start);
                read.map_err(super::stream("read the archive"))?;
            }
        }
        Ok(start)
    }
}

impl Spool {
    /// Reads an archive to its end.
    pub(super) fn read(store: &Store, input: impl Read) -> Result<Self, Error> {
        allow_descriptors();
        let limits = Limits {
            entries: MAX_ENTRIES,
            ..Limits::default()
        };
        let mut archive = ArchiveReader::new(input, limits).map_err(BadArchive::from)?;
        let mut entries = HashMap::new();
        let mut memory = 0;
        while let Some(entry) = archive.next_entry().map_err(BadArchive::from)? {
            let path = normal(&entry.path, "")?;
            let entry = match entry.kind {
                ArchiveEntryKind::Directory => continue,
                ArchiveEntryKind::File => {
                    let content = content(store, &mut archive, &path, &mut memory)?;
                    Entry::File(content)
                }
                ArchiveEntryKind::Symlink(target) => {
                    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                    Entry::Link(normal(&target, directory)?)
                }
                ArchiveEntryKind::HardLink(target) => Entry::Link(normal(&target, "")?),
                ArchiveEntryKind::Other => return Err(bad(&path, "it is neither file nor link")),
            };
            // Readers differ in which of two they take.
            if entries.insert(path.clone(), entry).is_some() {
                return Err(bad(&path, "there are two of it"));
            }
        }
        Ok(Self { entries })
    }

    /// The file of that name, which is no link.
    pub(super) fn file(&self, path: &str) -> Result<&Content, Error> {
        match self.entries.get(path) {
            None => Err(BadArchive::Missing(path.to_owned()).into()),
            Some(Entry::File(content)) => Ok(content),
            Some(Entry::Link(_)) => Err(bad(path, "it is a link")),
        }
    }

    /// The file of that name, which may be a link to one in the archive, as Docker writes layers that
    /// several images have.
    pub(super) fn linked_file(&self, path: &str) -> Result<&Content, Error> {
        let mut at = path;
        for _ in 0..=MAX_LINKS {
            match self.entries.get(at) {
                Some(Entry::Link(target)) => at = target,
                _ => return self.file(at),
            }
        }
        Err(bad(path, "its links lead nowhere"))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// The blob of that digest, whose bytes are what it says.
    pub(super) fn blob(&self, digest: &Digest, size: u64) -> Result<&Content, Error> {
        let path = blob_path(digest);
        let content = self.file(&path)?;
        if content.digest != *digest {
            return Err(BadArchive::WrongDigest {
                expected: digest.clone(),
                actual: content.digest.clone(),
            }
            .into());
        }
        if content.size != size {
            return Err(bad(&path, "it has another size than its descriptor says"));
        }
        Ok(content)
    }
}

pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}", digest.as_str().replacen(':', "/", 1))
}

/// Takes the current file out of the archive.
fn content(
    store: &Store,
    archive: &mut ArchiveReader<'_>,
    path: &str,
    memory: &mut usize,
) -> Result<Content, Error> {
    let is_document = DOCUMENTS.contains(&path);
    let mut small = Vec::new();
    let mut file = None;
    let mut size = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = archive.read(&mut buffer).map_err(BadArchive::from)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        size += count as u64;
        if is_document && size > MAX_DOCUMENT {
            return Err(too_large(path));
        }
        let fits = small.len() + count <= SMALL && *memory + small.len() + count <= MEMORY;
        if file.is_none() && fits {
            small.extend_from_slice(bytes);
            continue;
        }
        let writer = match &mut file {
            Some(writer) => writer,
            none => none.insert(store.new_blob()?),
        };
        let written = writer.write_all(&std::mem::take(&mut small));
        written
            .and_then(|()| writer.write_all(bytes))
            .map_err(|source| Error::Write {
                path: store.root().to_owned(),
                source,
            })?;
    }
    Ok(match file {
        None => {
            *memory += small.len();
            Content {
                digest: digest_of(&small),
                size,
                bytes: Bytes::Memory(small),
            }
        }
        Some(writer) => {
            let blob = writer.finish();
            Content {
                digest: blob.digest().clone(),
                size,
                bytes: Bytes::File(Rc::new(blob)),
            }
        }
    })
}

/// A name in its only spelling, relative to the archive's root.
fn normal(path: &[u8], directory: &str) -> Result<String, Error> {
    let shown = || String::from_utf8_lossy(path).into_owned();
    let text = std::str::from_utf8(path).map_err(|_| bad(&shown(), "its name is not UTF-8"))?;
    let mut parts: Vec<&str> = Vec::new();
    let absolute = text.starts_with('/');
    let base = if absolute { "" } else { directory };
    for part in base.split('/').chain(text.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                let left = parts.pop();
                left.ok_or_else(|| bad(&shown(), "it leads out of the archive"))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// An image may have more layers than a process has descriptors where nobody says otherwise.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Without it, an archive of very many layers fails with an error that tells why.
    let _ = setrlimit(Resource::Nofile, raised);
}

fn bad(path: &str, reason: &'static str) -> Error {
    BadArchive::BadEntry {
        path: path.chars().take(200).collect(),
        reason,
    }
    .into()
}

fn too_large(path: &str) -> Error {
    bad(path, "it is larger than 4 MiB")
}
