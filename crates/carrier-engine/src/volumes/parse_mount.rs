//! `--mount`: fields as in a line of CSV.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::VolumeError;
use super::mount_point::{MountPoint, MountSource, Origin, ReadOnly};
use super::parse::{PROPAGATIONS, clean, container_path, no_id_map, volume_name};
use crate::resources::size;

/// What the fields say, before it is known what they mean for a type.
#[derive(Default)]
struct Fields<'a> {
    text: &'a str,
    kind: String,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    recursion: Option<String>,
    propagation: Option<String>,
    create: bool,
    copy: Option<bool>,
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
    subpath: Option<String>,
    /// Words of a tmpfs.
    tmpfs: Vec<String>,
    flags: Vec<String>,
    chown: bool,
    /// As `-v` says what `relabel` does.
    mode: &'static str,
    /// Keys that only one type has, and that type.
    special: Vec<(&'static str, String)>,
}

impl MountPoint {
    /// Reads the value of `--mount`; a path that begins with a dot starts at `directory`.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn from_mount_option(text: &str, directory: &Path) -> Result<Self, VolumeError> {
        let mut fields = Fields {
            text,
            kind: "volume".to_owned(),
            ..Fields::default()
        };
        for field in split(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
                None => (field.to_ascii_lowercase(), None),
            };
            fields.take(&field, &key, value)?;
        }
        fields.finish(directory)
    }
}

impl Fields<'_> {
    fn take(&mut self, field: &str, key: &str, value: Option<&str>) -> Result<(), VolumeError> {
        let flag = || flag(field, value);
        let text = || match value {
            Some(value) => Ok(value.to_owned()),
            None => Err(invalid(
                format!("invalid field '{field}' must be a key=value pair"),
                "write KEY=VALUE",
            )),
        };
        match key {
            "type" => self.kind = text()?.to_ascii_lowercase(),
            "source" | "src" => self.source = Some(text()?),
            "target" | "dst" | "destination" => self.target = Some(text()?),
            "readonly" | "ro" => self.read_only = flag()?,
            "rw" | "readwrite" => self.read_only = !flag()?,
            "consistency" => drop(text()?),
            "bind-propagation" => self.set("bind", key, text()?, |it, text| {
                it.propagation = Some(text);
            }),
            "bind-nonrecursive" => {
                let recursion = if flag()? { "disabled" } else { "enabled" };
                self.set("bind", key, recursion.to_owned(), |it, text| {
                    it.recursion = Some(text);
                });
            }
            "bind-recursive" => self.set("bind", key, text()?, |it, text| {
                it.recursion = Some(text);
            }),
            "bind-create-src" => {
                self.create = flag()?;
                self.special.push(("bind", key.to_owned()));
            }
            "volume-nocopy" => {
                self.copy = Some(!flag()?);
                self.special.push(("volume", key.to_owned()));
            }
            "volume-label" => self.pair("volume", key, &text()?, |it| &mut it.labels),
            "volume-opt" => self.pair("volume", key, &text()?, |it| &mut it.options),
            "volume-driver" => only_local(&text()?)?,
            "volume-subpath" => self.set("volume", key, text()?, |it, text| {
                it.subpath = Some(text);
            }),
            "image-subpath" => self.set("image", key, text()?, |it, text| {
                it.subpath = Some(text);
            }),
            "subpath" => self.subpath = Some(text()?),
            "tmpfs-size" => {
                let size = format!("size={}", size_of(&text()?)?);
                self.set("tmpfs", key, size, |it, text| it.tmpfs.push(text));
            }
            "tmpfs-mode" => {
                let mode = format!("mode={}", octal(&text()?)?);
                self.set("tmpfs", key, mode, |it, text| it.tmpfs.push(text));
            }
            "tmpcopyup" | "notmpcopyup" => {
                self.set("tmpfs", key, key.to_owned(), |it, text| it.tmpfs.push(text));
            }
            "u" | "chown" => self.chown = flag()?,
            "relabel" => match text()?.as_str() {
                "shared" => self.mode = "z",
                "private" => self.mode = "Z",
                _ => {
                    return Err(invalid(
                        format!("invalid value in '{field}'"),
                        "relabel is shared or private",
                    ));
                }
            },
            "idmap" => return Err(no_id_map(self.text)),
            "dev" | "nodev" | "exec" | "noexec" | "suid" | "nosuid" => {
                let word = if flag()? { key } else { opposite(key) };
                self.flags.push(word.to_owned());
            }
            _ => return Err(unexpected(key, field)),
        }
        Ok(())
    }

    /// Keeps what only one type has.
    fn set(
        &mut self,
        kind: &'static str,
        key: &str,
        text: String,
        keep: impl FnOnce(&mut Self, String),
    ) {
        self.special.push((kind, key.to_owned()));
        keep(self, text);
    }

    fn pair(
        &mut self,
        kind: &'static str,
        key: &str,
        text: &str,
        of: impl FnOnce(&mut Self) -> &mut BTreeMap<String, String>,
    ) {
        self.special.push((kind, key.to_owned()));
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        of(self).insert(name.to_owned(), value.to_owned());
    }

    fn finish(mut self, directory: &Path) -> Result<MountPoint, VolumeError> {
        let Some(target) = self.target.take() else {
            return Err(invalid("target is required", "add target=/PATH"));
        };
        if let Some((kind, key)) = self.special.iter().find(|(kind, _)| *kind != self.kind) {
            return Err(invalid(
                format!("cannot mix '{key}' with mount type '{}'", self.kind),
                format!("it is for mounts of type={kind}"),
            ));
        }
        let source = self.source(directory)?;
        let mut mount = MountPoint::new(container_path(&target)?, source, Origin::Mount);
        mount.flags = std::mem::take(&mut self.flags);
        mount.chown = self.chown;
        mount.mode = self.mode.to_owned();
        if let Some(subpath) = self.subpath.take() {
            if matches!(
                mount.source,
                MountSource::Bind { .. } | MountSource::Tmpfs { .. }
            ) {
                return Err(invalid(
                    "subpath is for volumes and images",
                    "name the directory as the source",
                ));
            }
            mount.subpath = Some(relative(&subpath)?);
        }
        for word in std::mem::take(&mut self.tmpfs) {
            mount.apply_to_tmpfs(&word)?;
        }
        self.protect(&mut mount)?;
        mount.check()?;
        Ok(mount)
    }

    fn source(&mut self, directory: &Path) -> Result<MountSource, VolumeError> {
        let source = self.source.take().filter(|source| !source.is_empty());
        match (self.kind.as_str(), source) {
            ("bind", Some(path)) if path.starts_with(['/', '.']) => Ok(MountSource::Bind {
                path: clean(&directory.join(path)),
                make: self.create,
                recursive: self.recursion.as_deref() != Some("disabled"),
            }),
            ("bind", Some(path)) => Err(invalid(
                format!("invalid mount path: {path:?} must be an absolute path"),
                "begin the source with a slash, or with ./",
            )),
            ("bind" | "image", None) => Err(invalid("source is required", "add source=...")),
            ("volume", name) => {
                let mut source = match name {
                    Some(name) => MountSource::named(volume_name(&name)?),
                    None => MountSource::anonymous(),
                };
                if let MountSource::Volume {
                    copy,
                    labels,
                    options,
                    ..
                } = &mut source
                {
                    *copy = self.copy.unwrap_or(true);
                    *labels = std::mem::take(&mut self.labels);
                    *options = std::mem::take(&mut self.options);
                }
                Ok(source)
            }
            ("tmpfs", None) => Ok(MountSource::Tmpfs {
                options: Vec::new(),
                copy: false,
            }),
            ("tmpfs", Some(_)) => Err(invalid(
                "cannot use 'source' with mount type 'tmpfs'",
                "leave it out",
            )),
            ("image", Some(reference)) => Ok(MountSource::Image {
                reference,
                id: None,
                layers: Vec::new(),
            }),
            ("ramfs", _) => Err(invalid(
                "mount type ramfs: the kernel lets only root mount it",
                "use type=tmpfs",
            )),
            ("devpts", _) => Err(invalid(
                "mount type devpts: the container has one at /dev/pts",
                "leave it out",
            )),
            ("glob", _) => Err(invalid(
                "mount type glob is not available",
                "let the shell expand it, a mount each",
            )),
            ("artifact", _) => Err(invalid(
                "mount type artifact is not available",
                "use type=image with an image",
            )),
            (kind, _) => Err(invalid(
                format!("invalid mount type: {kind:?}"),
                "types are bind, volume, tmpfs and image",
            )),
        }
    }

    /// What cannot be written, and which mounts arrive.
    fn protect(&mut self, mount: &mut MountPoint) -> Result<(), VolumeError> {
        if let Some(word) = self.propagation.take() {
            if !PROPAGATIONS.contains(&word.as_str()) {
                return Err(invalid(
                    format!("invalid bind-propagation: {word:?}"),
                    format!("it is one of {}", PROPAGATIONS.join(", ")),
                ));
            }
            mount.propagation = Some(word);
        }
        if self.read_only {
            mount.read_only = ReadOnly::All;
        }
        match self.recursion.as_deref() {
            None | Some("enabled" | "disabled") => {}
            Some("writable") if self.read_only => mount.read_only = ReadOnly::Top,
            Some("readonly") if self.read_only => {
                if mount
                    .propagation
                    .as_deref()
                    .is_some_and(|word| word != "rprivate")
                {
                    return Err(invalid(
                        "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate'",
                        "leave bind-propagation out",
                    ));
                }
            }
            Some(word @ ("writable" | "readonly")) => {
                return Err(invalid(
                    format!("option 'bind-recursive={word}' requires 'readonly' to be specified"),
                    "add readonly",
                ));
            }
            Some(word) => {
                return Err(invalid(
                    format!("invalid value for bind-recursive: {word}"),
                    "it is enabled, disabled, writable or readonly",
                ));
            }
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> VolumeError {
    VolumeError::invalid(format!("invalid --mount: {}", message.into()), hint)
}

fn unexpected(key: &str, field: &str) -> VolumeError {
    invalid(
        format!("unexpected key '{key}' in '{field}'"),
        "keys are type, source, target, readonly, bind-propagation, bind-recursive, \
                     bind-create-src, volume-nocopy, volume-label, volume-opt, volume-subpath, \
                     image-subpath, tmpfs-size, tmpfs-mode, tmpcopyup, chown and relabel",
    )
}

fn only_local(driver: &str) -> Result<(), VolumeError> {
    match driver {
        "" | "local" => Ok(()),
        other => Err(invalid(
            format!("volume driver {other:?} is not available"),
            "volumes are directories of this host: leave volume-driver out",
        )),
    }
}

fn flag(field: &str, value: Option<&str>) -> Result<bool, VolumeError> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some(value) => Err(invalid(
            format!("invalid value for '{field}': {value}"),
            "it is true or false",
        )),
    }
}

fn opposite(word: &str) -> &'static str {
    match word {
        "dev" => "nodev",
        "nodev" => "dev",
        "exec" => "noexec",
        "noexec" => "exec",
        "suid" => "nosuid",
        _ => "suid",
    }
}

fn octal(text: &str) -> Result<String, VolumeError> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(format!("{mode:o}")),
        _ => Err(invalid(
            format!("invalid value for tmpfs-mode: {text}"),
            "write an octal number, such as 1777",
        )),
    }
}

fn size_of(text: &str) -> Result<u64, VolumeError> {
    let refused = |_| {
        invalid(
            format!("invalid value for tmpfs-size: {text}"),
            "write a number of bytes, or 64m",
        )
    };
    size(text).map_err(refused)
}

/// A path below a source: links in it may lead nowhere else either, which is seen to at the mount.
fn relative(text: &str) -> Result<String, VolumeError> {
    let path = Path::new(text);
    let leads_up = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if path.is_absolute() || leads_up || text.is_empty() {
        return Err(invalid(
            format!("subpath {text:?} must be a relative path within the source"),
            "leave the slash in front and .. out",
        ));
    }
    Ok(text.to_owned())
}

/// Fields of a line of CSV, RFC 4180: a field in quotes may have commas.
fn split(text: &str) -> Result<Vec<String>, VolumeError> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err(invalid(
            format!("a quote in {text:?} is not closed"),
            "add the quote",
        ));
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    Ok(fields)
}
