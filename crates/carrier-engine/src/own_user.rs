//! `--userns keep-id`: the caller is in the container's `/etc/passwd` and `/etc/group`, as in Podman.
//!
//! The lines are written into the container's own layer before its first start, for who is not there yet:
//! the image stays as it is, and programs may change the files as they like.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use carrier_store::dress;
use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::engine::{Engine, open_directory};
use crate::error::Error;
use crate::identity::{accounts, groups};
use crate::launch::MAX_PASSWD;
use crate::record::ContainerRecord;
use crate::system::in_namespace;
use crate::userns::UserMode;

/// Who the caller is in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnUser {
    name: String,
    uid: u32,
    comment: String,
    home: String,
    group: String,
    gid: u32,
}

/// Whether there may be a file already that the container did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    /// A copy of the image's.
    Replace,
}

impl OwnUser {
    /// Nobody where the caller is root, or mounts files of his own.
    pub(crate) fn of(record: &ContainerRecord) -> Option<Self> {
        let UserMode::KeepId { uid, gid } = record.userns else {
            return None;
        };
        let is_mounted = |path: &str| record.storage.mounts.iter().any(|one| one.target == path);
        if ["/etc", "/etc/passwd", "/etc/group"]
            .into_iter()
            .any(is_mounted)
        {
            return None;
        }
        let host = |path| fs::read(path).unwrap_or_default();
        let (passwd, group) = (host("/etc/passwd"), host("/etc/group"));
        Some(Self::named(record, (uid, gid), &passwd, &group))
    }

    /// The caller as the host knows him; by a number where that is not his.
    fn named(
        record: &ContainerRecord,
        (uid, gid): (u32, u32),
        passwd: &[u8],
        group: &[u8],
    ) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let account = accounts(passwd).find(|account| account.uid == own && uid == own);
        let own_group = rustix::process::getegid().as_raw();
        let group = groups(group).find(|one| one.gid == own_group && gid == own_group);
        let is_mounted = |home: &str| {
            let mut mounts = record.storage.mounts.iter();
            mounts.any(|one| one.target != "/" && Path::new(home).starts_with(&one.target))
        };
        let home = account.as_ref().map(|account| account.home);
        let home = home.filter(|home| is_mounted(home));
        let home = home.unwrap_or(&record.working_directory);
        let is_plain = !home.contains(|c: char| c == ':' || c.is_control());
        Self {
            name: account
                .as_ref()
                .map_or_else(|| uid.to_string(), |account| account.name.to_owned()),
            uid,
            comment: account
                .map_or("container user", |account| account.comment)
                .to_owned(),
            home: if is_plain { home } else { "/" }.to_owned(),
            group: group.map_or_else(|| gid.to_string(), |group| group.name.to_owned()),
            gid,
        }
    }

    /// The image's file with the caller in it; nothing where he, or his name, is there already.
    pub(crate) fn passwd(&self, image: &[u8]) -> Option<Vec<u8>> {
        let mut all = accounts(image);
        let is_there = all.any(|one| one.uid == self.uid || one.name == self.name);
        let Self {
            name,
            uid,
            gid,
            comment,
            home,
            ..
        } = self;
        (!is_there).then(|| {
            with_line(
                image,
                &format!("{name}:*:{uid}:{gid}:{comment}:{home}:/bin/sh"),
            )
        })
    }

    /// The same of groups.
    pub(crate) fn group(&self, image: &[u8]) -> Option<Vec<u8>> {
        let mut all = groups(image);
        let is_there = all.any(|one| one.gid == self.gid || one.name == self.group);
        let Self {
            name, group, gid, ..
        } = self;
        (!is_there).then(|| with_line(image, &format!("{group}:x:{gid}:{name}")))
    }

    /// Writes both files into `upper`, which hides `layer`; where the image has none, there will be none.
    pub(crate) fn write(
        &self,
        layer: BorrowedFd<'_>,
        upper: BorrowedFd<'_>,
        existing: Existing,
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let of_image = match openat(layer, c"etc", flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            found => found?,
        };
        let Some(passwd) = regular(&of_image, "passwd")? else {
            return Ok(());
        };
        let group = regular(&of_image, "group")?;
        let changed = [
            (
                "passwd",
                self.passwd(&passwd.1).map(|text| (passwd.0, text)),
            ),
            (
                "group",
                group.and_then(|(file, text)| Some((file, self.group(&text)?))),
            ),
        ];
        for (name, content) in changed {
            let Some((model, text)) = content else {
                continue;
            };
            match mkdirat(upper, c"etc", Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) => {}
                made => {
                    made?;
                    dress(
                        of_image.as_fd(),
                        openat(upper, c"etc", flags, Mode::empty())?.as_fd(),
                    )?;
                }
            }
            let etc = openat(upper, c"etc", flags, Mode::empty())?;
            put(&etc, name, &model, &text, existing)?;
        }
        Ok(())
    }
}

fn with_line(file: &[u8], line: &str) -> Vec<u8> {
    let mut text = file.to_vec();
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
    text
}

/// A file of the image, and what is in it.
fn regular(directory: &OwnedFd, name: &str) -> io::Result<Option<(File, Vec<u8>)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        found => File::from(found?),
    };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut text = Vec::new();
    (&file).take(MAX_PASSWD).read_to_end(&mut text)?;
    Ok(Some((file, text)))
}

fn put(
    directory: &OwnedFd,
    name: &str,
    model: &File,
    text: &[u8],
    existing: Existing,
) -> io::Result<()> {
    if existing == Existing::Replace {
        match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
            Err(Errno::NOENT) => {}
            gone => gone?,
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = match openat(directory, name, flags, Mode::from_raw_mode(0o600)) {
        Err(Errno::EXIST) => return Ok(()),
        made => File::from(made?),
    };
    file.write_all(text)?;
    dress(model.as_fd(), file.as_fd())
}

impl Engine {
    /// Gives a container whose first start this is to its own root, and writes down who the caller is.
    pub(crate) fn own_upper(
        &self,
        record: &ContainerRecord,
        existing: Existing,
    ) -> Result<(), Error> {
        let own = OwnUser::of(record);
        let mut layers = Vec::new();
        for id in &record.layers {
            layers.push(open_directory(self.store.layer_dir(id))?);
        }
        let upper = self.store.container(&record.id).upper();
        let work = || -> io::Result<()> {
            std::os::unix::fs::chown(&upper, Some(0), Some(0))?;
            let (Some(own), [layer]) = (&own, layers.as_slice()) else {
                return Ok(());
            };
            own.write(layer.handle.as_fd(), File::open(&upper)?.as_fd(), existing)
        };
        let done: Result<(), String> = in_namespace(&self.maps_of(record), || {
            work().map_err(|error| error.to_string())
        })?;
        done.map_err(Error::CopyRoot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> OwnUser {
        OwnUser {
            name: "ann".to_owned(),
            uid: 1000,
            comment: "Ann".to_owned(),
            home: "/src".to_owned(),
            group: "ann".to_owned(),
            gid: 100,
        }
    }

    #[test]
    fn who_is_not_in_the_file_is_added_to_it() {
        let line = "ann:*:1000:100:Ann:/src:/bin/sh\n";
        for (image, expected) in [
            ("", Some(line.to_owned())),
            (
                "root:x:0:0::/:/bin/sh",
                Some(format!("root:x:0:0::/:/bin/sh\n{line}")),
            ),
            ("app:x:1000:1000::/app:/bin/sh\n", None),
            ("ann:x:7:7::/:/bin/sh\n", None),
        ] {
            let passwd = user().passwd(image.as_bytes());
            assert_eq!(
                passwd.map(|text| String::from_utf8(text).unwrap()),
                expected,
                "{image}"
            );
        }
        let group = user().group(b"wheel:x:10:\n").unwrap();
        assert_eq!(group, b"wheel:x:10:\nann:x:100:ann\n");
        assert_eq!(user().group(b"users:x:100:\n"), None);
    }
}
