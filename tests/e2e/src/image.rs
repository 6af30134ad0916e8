//! Images, made byte by byte.

use std::io::{Read, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// A layer: an archive, and how it is compressed.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    archive: Vec<u8>,
    compression: &'static str,
}

impl Layer {
    /// An empty layer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            archive: Vec::new(),
            compression: "gzip",
        }
    }

    /// A layer of a whole archive.
    #[must_use]
    pub fn of_archive(archive: Vec<u8>) -> Self {
        Self {
            archive,
            compression: "gzip",
        }
    }

    /// Compresses with `gzip`, `zstd`, or not at all: `""`.
    #[must_use]
    pub fn compressed_with(self, compression: &'static str) -> Self {
        Self {
            compression,
            ..self
        }
    }

    /// Adds a file of root's.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, "", content.as_ref(), 0o644, 0)
    }

    /// Adds a program of root's.
    #[must_use]
    pub fn program(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, "", content.as_ref(), 0o755, 0)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"", 0o777, 0)
    }

    /// Adds a directory of `owner`.
    #[must_use]
    pub fn directory(self, name: &str, mode: u32, owner: u64) -> Self {
        self.entry(EntryType::Directory, name, "", b"", mode, owner)
    }

    /// Adds an entry of root's of any type, a letter of the format.
    #[must_use]
    pub fn special(self, kind: u8, name: &str, link: &str, content: &[u8]) -> Self {
        self.entry(EntryType::new(kind), name, link, content, 0o644, 0)
    }

    /// Adds an extended header for the next entry.
    #[must_use]
    pub fn record(self, key: &str, value: &[u8]) -> Self {
        let text = [key.as_bytes(), b"=", value].concat();
        let fits = |length: &usize| length.to_string().len() + text.len() + 2 == *length;
        let length = (1..).find(fits).unwrap().to_string();
        let record = [length.as_bytes(), b" ", &text, b"\n"].concat();
        self.special(b'x', "record", "", &record)
    }

    fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        content: &[u8],
        mode: u32,
        owner: u64,
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_700_000_000);
        // Names that an honest builder would refuse.
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.archive.extend_from_slice(header.as_bytes());
        self.archive.extend_from_slice(content);
        self.archive
            .resize(self.archive.len().next_multiple_of(512), 0);
        self
    }

    /// The archive, which is not compressed.
    #[must_use]
    pub fn finished(&self) -> Vec<u8> {
        let ends = self.archive.ends_with(&[0; 1024]);
        if ends {
            self.archive.clone()
        } else {
            [self.archive.as_slice(), &[0; 1024]].concat()
        }
    }

    fn blob(&self) -> Vec<u8> {
        let archive = self.finished();
        match self.compression {
            "gzip" => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&archive).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::encode_all(archive.as_slice(), 1).unwrap(),
            _ => archive,
        }
    }
}

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the layers are, lowest first.
    pub layers: Vec<Layer>,
    /// The `config` object of the configuration.
    pub config: Value,
    /// Go's name of the architecture.
    pub architecture: &'static str,
    /// Docker's media types instead of OCI's.
    pub docker: bool,
    /// Whether the configuration names other layers than those of the manifest.
    pub foreign_diff_ids: bool,
}

impl Image {
    /// An image of some layers.
    #[must_use]
    pub fn new(layers: Vec<Layer>, config: Value) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        Self {
            layers,
            config,
            architecture,
            docker: false,
            foreign_diff_ids: false,
        }
    }

    /// The manifest, and every blob behind it.
    #[must_use]
    pub fn build(&self) -> (Value, Vec<Vec<u8>>) {
        let names = if self.docker { &DOCKER } else { &OCI };
        let blobs: Vec<Vec<u8>> = self.layers.iter().map(Layer::blob).collect();
        let diff_ids: Vec<String> = self
            .layers
            .iter()
            .map(|layer| match self.foreign_diff_ids {
                true => digest(b"another layer"),
                false => digest(&layer.finished()),
            })
            .collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux", "config": self.config,
            "created": "2026-01-01T00:00:00Z",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let describe = |kind: String, blob: &[u8]| json!({ "mediaType": kind, "digest": digest(blob), "size": blob.len() });
        let layers: Vec<Value> = self
            .layers
            .iter()
            .zip(&blobs)
            .map(|(layer, blob)| {
                let suffix = match (layer.compression, self.docker) {
                    ("", _) => String::new(),
                    (how, true) => format!(".{how}"),
                    (how, false) => format!("+{how}"),
                };
                describe(format!("{}{suffix}", names.layer), blob)
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": names.manifest,
            "config": describe(names.config.to_owned(), &config), "layers": layers,
        });
        (manifest, blobs.into_iter().chain([config]).collect())
    }

    /// Pushes the image under a tag, by the distribution specification's own requests.
    pub fn push(&self, host: &str, repository: &str, tag: &str) -> Value {
        let (manifest, blobs) = self.build();
        for blob in blobs {
            put_blob(host, repository, &blob);
        }
        let bytes = serde_json::to_vec(&manifest).unwrap();
        put_manifest(
            host,
            repository,
            tag,
            manifest["mediaType"].as_str().unwrap(),
            &bytes,
        );
        json!({
            "mediaType": manifest["mediaType"], "digest": digest(&bytes), "size": bytes.len(),
            "platform": { "os": "linux", "architecture": self.architecture },
        })
    }
}

/// Pushes several images as one index.
pub(crate) fn push_index(host: &str, repository: &str, tag: &str, images: &[Image]) {
    let entries: Vec<Value> = images
        .iter()
        .map(|image| image.push(host, repository, image.architecture))
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries });
    put_manifest(
        host,
        repository,
        tag,
        kind,
        &serde_json::to_vec(&index).unwrap(),
    );
}

struct Names {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: Names = Names {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar",
};

const DOCKER: Names = Names {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar",
};

/// `sha256:…` of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

/// Uploads a blob by the distribution specification's own requests.
pub(crate) fn put_blob(host: &str, repository: &str, blob: &[u8]) {
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let answer = request(host, "POST", &uploads, "", b"");
    let location = header(&answer, "location").expect("an upload has a location");
    let path = location
        .split_once(host)
        .map_or(location.as_str(), |(_, path)| path);
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}digest={}", digest(blob));
    let answer = request(host, "PUT", &path, "application/octet-stream", blob);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

pub(crate) fn put_manifest(host: &str, repository: &str, tag: &str, kind: &str, bytes: &[u8]) {
    let answer = request(
        host,
        "PUT",
        &format!("/v2/{repository}/manifests/{tag}"),
        kind,
        bytes,
    );
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// One HTTP/1.1 request; the answer as text.
fn request(host: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn header(answer: &str, name: &str) -> Option<String> {
    let lines = answer.lines().take_while(|line| !line.is_empty());
    let mut fields = lines.filter_map(|line| line.split_once(": "));
    fields
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
}
