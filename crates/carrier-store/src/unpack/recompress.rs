//! The same layer in another compression.

use std::fs::File;
use std::io::{self, Write};

use carrier_spec::{Compression, Descriptor, DiffId, Digest};
use flate2::GzBuilder;
use flate2::write::GzEncoder;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::Limits;
use super::stream::TarStream;
use crate::error::Error;
use crate::store::Store;

/// What gzip(1) and zstd(1) take where nobody says anything.
const GZIP_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 3;

const BUFFER: usize = 256 * 1024;

/// A layer that was compressed anew, in a file without a name.
#[derive(Debug)]
pub struct Recompressed {
    /// The bytes.
    pub file: File,
    /// What they hash to.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// What the decompressed stream hashes to.
    pub diff_id: DiffId,
}

impl Store {
    /// Compresses a layer of the store anew; nothing where its blob is missing or cannot be read.
    /// The same bytes and level always give the same result.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full, [`Error::UnsupportedDigest`].
    pub fn recompress(
        &self,
        layer: &Descriptor,
        format: Compression,
        level: Option<i32>,
    ) -> Result<Option<Recompressed>, Error> {
        let (Ok(old), Some(blob)) = (layer.layer_compression(), self.open_blob(&layer.digest)?)
        else {
            return Ok(None);
        };
        let path = self.path("staging");
        // Not below blobs/: where there are no nameless files, a name in staging/ is swept.
        let file = nameless(&path).map_err(Error::io("write in", &path))?;
        let mut output =
            Encoder::new(Hashed::new(file), format, level).map_err(Error::io("write in", &path))?;
        let Ok(mut stream) = TarStream::new(blob, old, &Limits::default()) else {
            return Ok(None);
        };
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => output
                    .write_all(buffer.get(..count).unwrap_or_default())
                    .map_err(Error::io("write in", &path))?,
                Err(_) => return Ok(None),
            }
        }
        let Ok(diff_id) = stream.finish() else {
            return Ok(None);
        };
        let written = output.finish().map_err(Error::io("write in", &path))?;
        Ok(Some(Recompressed {
            file: written.file,
            digest: Digest::from_sha256(written.hash.finalize().into()),
            size: written.count,
            diff_id,
        }))
    }
}

/// A file that is gone when it is closed.
fn nameless(directory: &std::path::Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    match rustix::fs::open(directory, flags, mode) {
        Ok(file) => Ok(file.into()),
        // NFS, and overlayfs before Linux 6.1.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let path = directory.join(format!("recompress-{}", std::process::id()));
            let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::open(&path, flags, mode)?;
            std::fs::remove_file(&path)?;
            Ok(file.into())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Writes a file, hashing and counting.
struct Hashed {
    file: File,
    hash: Sha256,
    count: u64,
}

impl Hashed {
    fn new(file: File) -> Self {
        Self {
            file,
            hash: Sha256::new(),
            count: 0,
        }
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Encoder {
    Plain(Hashed),
    Gzip(Box<GzEncoder<Hashed>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Hashed>>),
}

impl Encoder {
    fn new(output: Hashed, format: Compression, level: Option<i32>) -> io::Result<Self> {
        Ok(match format {
            Compression::None => Self::Plain(output),
            Compression::Gzip => {
                let level = level.unwrap_or(GZIP_LEVEL).clamp(0, 9);
                let level = flate2::Compression::new(level.unsigned_abs());
                // Neither a name nor a time: the result depends on the layer only.
                Self::Gzip(Box::new(GzBuilder::new().write(output, level)))
            }
            Compression::Zstd => {
                let level = level.unwrap_or(ZSTD_LEVEL);
                let mut encoder = zstd::stream::write::Encoder::new(output, level)?;
                encoder.include_checksum(true)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    fn finish(self) -> io::Result<Hashed> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::digest_of;
    use std::io::{Read as _, Seek as _};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn stored(store: &Store, bytes: &[u8], kind: &str) -> Descriptor {
        let digest = digest_of(bytes);
        let size = bytes.len() as u64;
        let mut writer = store.new_blob().unwrap();
        writer.write_all(bytes).unwrap();
        let mut ingest = store.ingest();
        ingest.add_blob(writer.verify(&digest, size).unwrap());
        ingest.commit().unwrap();
        Descriptor {
            media_type: format!("application/vnd.oci.image.layer.v1.tar{kind}"),
            digest,
            size,
            platform: None,
        }
    }

    #[test]
    fn a_layer_has_the_same_diff_id_in_every_compression() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        let text = b"a layer, more or less. ".repeat(10_000);
        // Two members are one stream.
        let members = [gzip(&text[..1000]), gzip(&text[1000..])].concat();
        let layer = stored(&store, &members, "+gzip");
        for (format, kind) in [
            (Compression::None, ""),
            (Compression::Gzip, "+gzip"),
            (Compression::Zstd, "+zstd"),
        ] {
            let again = || store.recompress(&layer, format, None).unwrap().unwrap();
            let (mut made, other) = (again(), again());
            assert_eq!(made.digest, other.digest, "{format:?} is not deterministic");
            assert_eq!(made.diff_id.0, digest_of(&text));
            let mut bytes = Vec::new();
            made.file.rewind().unwrap();
            made.file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, made.size);
            assert_eq!(digest_of(&bytes), made.digest);
            let back = stored(&store, &bytes, kind);
            let back = store.recompress(&back, Compression::None, None);
            assert_eq!(back.unwrap().unwrap().digest, digest_of(&text));
        }
    }

    #[test]
    fn a_damaged_layer_is_not_compressed() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        let whole = gzip(&b"x".repeat(100_000));
        let cut = stored(&store, &whole[..whole.len() / 2], "+gzip");
        let result = store.recompress(&cut, Compression::Zstd, None).unwrap();
        assert!(result.is_none());
        std::fs::remove_file(store.blob_path(&cut.digest).unwrap()).unwrap();
        let result = store.recompress(&cut, Compression::Zstd, None).unwrap();
        assert!(result.is_none());
    }
}
