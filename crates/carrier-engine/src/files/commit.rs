//! `commit`: an image of what a container has become.

mod config;

use std::fs::File;
use std::io::{self, BufWriter, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_runtime::IdMaps;
use carrier_spec::{Descriptor, ImageId, ManifestOrIndex, MediaType, Reference};
use carrier_store::{ImageRecord, MergedDirectory};
use carrier_sys::process::{ExitStatus, Namespaces};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::diff::Sides;
use super::pack::{LayerStyle, Packer};
use crate::archive::new_image::{NewImage, NewLayer};
use crate::control::Answer;
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::monitor::{Peer, request};
use crate::record::ContainerRecord;
use crate::system::in_namespace;
use crate::unpacker::{self, Unpacker};

/// Larger documents are not pulled.
const MAX_DOCUMENT: u64 = 4 << 20;

/// What a process says about its failure is short.
const MAX_REASON: u64 = 4096;
const BUFFER: usize = 256 * 1024;

/// How an image is made of a container.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// Its name.
    pub name: Option<Reference>,
    /// Who made it.
    pub author: String,
    /// What the history says about it.
    pub message: String,
    /// Its configuration, as instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// The container is held meanwhile.
    pub pause: bool,
}

impl Engine {
    /// Makes an image of the container that `word` names, running or not. When this returns, the
    /// image survives a power cut.
    ///
    /// # Errors
    /// When there is no such container, its image is gone, or a change makes no sense.
    pub fn commit(&self, word: &str, options: &CommitOptions) -> Result<ImageId, Error> {
        let record = self.container(word)?;
        let image = self.image_of(&record)?;
        let (config, base) = self.documents(&image)?;
        let changed = config::changed(&image, &record, &options.changes)?;
        let sides = self.sides(&record)?;
        // Before a stranger's bytes are read.
        let unpacker = Unpacker::start(self.host.own_ids()?)?;
        let held = Held::new(self, &record, options.pause)?;
        let are_equal: Result<bool, String> = in_namespace(&self.ids_of(&record)?, || {
            sides.are_equal().map_err(|error| error.to_string())
        })?;
        // What cannot be compared can be no layer either, and is complained of then.
        let layer = match are_equal {
            Ok(true) => None,
            _ => Some(self.layer_of(&record, &sides, &unpacker)?),
        };
        drop(held);
        let diff_id = layer.as_ref().map(|layer| &layer.summary.diff_id);
        let config = config::document(config, &changed, &record, options, diff_id)?;
        let id = self.add_image(NewImage {
            name: options.name.clone(),
            platform: image.platform,
            config,
            base,
            layer,
        })?;
        let name = options.name.as_ref().map(Reference::familiar);
        let event = Event::container("commit", &record).with("comment", &options.message);
        self.emit(
            &event
                .with("imageID", id.to_string())
                .with("imageRef", name.unwrap_or_default()),
        );
        Ok(id)
    }

    /// The image that a container was made of.
    fn image_of(&self, record: &ContainerRecord) -> Result<ImageRecord, Error> {
        let images = self.store.images()?.into_iter();
        let mut same = images.filter(|image| image.id == record.image_id);
        same.next()
            .ok_or_else(|| Error::NoImageOfThatName(record.image_name()))
    }

    /// Its configuration, and what its manifest says of its layers.
    fn documents(
        &self,
        image: &ImageRecord,
    ) -> Result<(serde_json::Value, Vec<Descriptor>), Error> {
        let read = |digest| -> Result<Vec<u8>, Error> {
            let document = self.store.read_blob(digest, MAX_DOCUMENT)?;
            document.ok_or_else(|| Error::ImageDamaged {
                image: image.familiar(),
                part: digest.clone(),
            })
        };
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| Error::Configuration(error);
        let manifest = read(&image.manifest.digest)?;
        let kind = Some(image.manifest.media_type.as_str());
        let manifest = ManifestOrIndex::parse(&manifest, kind).map_err(|e| wrong(e.into()))?;
        let ManifestOrIndex::Manifest(manifest) = manifest else {
            return Err(wrong("the image's manifest is an index".into()));
        };
        // One manifest does not mix Docker's names with OCI's.
        let renamed = manifest.layers.into_iter().map(|layer| Descriptor {
            media_type: match MediaType::from_name(&layer.media_type) {
                Some(kind) => kind.name().to_owned(),
                None => layer.media_type.clone(),
            },
            ..layer
        });
        let config = serde_json::from_slice(&read(&image.id.0)?).map_err(|e| wrong(e.into()))?;
        Ok((config, renamed.collect()))
    }

    /// Makes a layer of what a container wrote.
    fn layer_of(
        &self,
        record: &ContainerRecord,
        sides: &Sides,
        unpacker: &Unpacker,
    ) -> Result<NewLayer, Error> {
        let failed = |reason: String| Error::Files {
            container: record.name.to_string(),
            reason,
        };
        let (archive, reasons, child) =
            start(sides, &self.ids_of(record)?).map_err(|error| match error {
                Started::Engine(error) => error,
                Started::Io(error) => failed(error.to_string()),
            })?;
        let layer = self.new_layer(unpacker, File::from(archive));
        let mut reason = String::new();
        // A process that says nothing has died.
        let _ = File::from(reasons)
            .take(MAX_REASON)
            .read_to_string(&mut reason);
        match child.wait() {
            Ok(ExitStatus::Exited(0)) => layer,
            _ if reason.is_empty() => Err(failed(
                "the process that reads its files has died".to_owned(),
            )),
            _ => Err(failed(reason)),
        }
    }
}

enum Started {
    Engine(Error),
    Io(io::Error),
}

impl From<rustix::io::Errno> for Started {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// Starts a process that writes the layer: where that comes out, and where the reason of a failure.
fn start(
    sides: &Sides,
    maps: &IdMaps,
) -> Result<(OwnedFd, OwnedFd, carrier_sys::process::Child), Started> {
    let (archive, output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (reasons, told) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut ends = Some((output, told));
    let child = unpacker::spawn(maps, Namespaces::USER, |_token| {
        let Some((output, told)) = ends.take() else {
            return 1;
        };
        match sides.write_layer(File::from(output)) {
            Ok(()) => 0,
            Err(error) => {
                // A parent that is gone needs to know nothing.
                let _ = rustix::io::write(&told, error.to_string().as_bytes());
                1
            }
        }
    });
    drop(ends);
    Ok((archive, reasons, child.map_err(Started::Engine)?))
}

impl Sides {
    fn write_layer(&self, output: File) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let upper = rustix::fs::open(&self.upper, flags, Mode::empty())?;
        let style = LayerStyle {
            is_whole: self.is_copied,
        };
        let output = BufWriter::with_capacity(BUFFER, output);
        let mut packer = Packer::new(output).keeping_holes().for_layer(style);
        if self.is_copied {
            let lower = MergedDirectory::root(self.layers.iter().cloned())?;
            for name in lower.names()? {
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                if rustix::fs::statat(upper.as_fd(), &name, flags).is_err() {
                    packer.whiteout(name.to_bytes())?;
                }
            }
        }
        packer.below(upper, Vec::new())?;
        packer.finish().map(drop)
    }
}

/// A container that is held, and let go when this is dropped, or when this process is killed.
struct Held(Option<Peer>);

impl Held {
    fn new(engine: &Engine, record: &ContainerRecord, wanted: bool) -> Result<Self, Error> {
        if !wanted || !engine.life(record)?.is_running() {
            return Ok(Self(None));
        }
        let Some(monitor) = engine.connect(record)? else {
            // It has just ended: then nothing changes its files.
            return Ok(Self(None));
        };
        match monitor.ask(request::HOLD, &[]) {
            Ok(Answer::Done) => Ok(Self(Some(monitor))),
            Ok(Answer::Late) => Err(Error::CannotHold),
            Err(error) if engine.life(record)?.is_running() => Err(error),
            // As above.
            Ok(Answer::Gone | Answer::Exited(_)) | Err(_) => Ok(Self(None)),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(monitor) = &self.0 {
            // It may have been killed meanwhile.
            let _ = monitor.ask(request::RELEASE, &[]);
        }
    }
}
