//! The words of `mounts[].options`.

use std::ffi::CString;

use carrier_sys::mount::{Attributes, Change};
use oci_spec::runtime::Mount;
use rustix::mount::MountPropagationFlags as Propagation;

use super::{c_string, invalid, ranges};
use crate::error::Error;
use crate::idmap::IdMaps;

/// What a word does to a mount.
#[derive(Clone, Copy)]
enum Effect {
    Set(Attributes),
    Clear(Attributes),
    SetAll(Attributes),
    ClearAll(Attributes),
    Propagate(Propagation),
    Bind,
    BindAll,
    CopyUp,
    MapIds,
    MapIdsBelow,
    /// The filesystem's as a whole: mount(2) takes them for a bind mount too, and does nothing.
    Filesystem,
    Nothing,
    Unsupported,
}

/// Words that mean the mount and not the filesystem; all others are the filesystem's own.
const WORDS: [(&str, Effect); 62] = {
    use Effect::{
        Bind, BindAll, Clear, ClearAll, CopyUp, Filesystem, MapIds, MapIdsBelow, Nothing,
        Propagate, Set, SetAll, Unsupported,
    };
    [
        ("bind", Bind),
        ("rbind", BindAll),
        ("defaults", Nothing),
        ("ro", Set(Attributes::READ_ONLY)),
        ("rw", Clear(Attributes::READ_ONLY)),
        ("nosuid", Set(Attributes::NO_SUID)),
        ("suid", Clear(Attributes::NO_SUID)),
        ("nodev", Set(Attributes::NO_DEVICES)),
        ("dev", Clear(Attributes::NO_DEVICES)),
        ("noexec", Set(Attributes::NO_EXEC)),
        ("exec", Clear(Attributes::NO_EXEC)),
        ("noatime", Set(Attributes::NO_ACCESS_TIME)),
        ("atime", Clear(Attributes::NO_ACCESS_TIME)),
        ("strictatime", Set(Attributes::STRICT_ACCESS_TIME)),
        ("nostrictatime", Clear(Attributes::STRICT_ACCESS_TIME)),
        ("relatime", Clear(Attributes::NO_ACCESS_TIME)),
        ("norelatime", Nothing),
        ("nodiratime", Set(Attributes::NO_DIRECTORY_ACCESS_TIME)),
        ("diratime", Clear(Attributes::NO_DIRECTORY_ACCESS_TIME)),
        ("nosymfollow", Set(Attributes::NO_SYMLINKS)),
        ("symfollow", Clear(Attributes::NO_SYMLINKS)),
        ("rro", SetAll(Attributes::READ_ONLY)),
        ("rrw", ClearAll(Attributes::READ_ONLY)),
        ("rnosuid", SetAll(Attributes::NO_SUID)),
        ("rsuid", ClearAll(Attributes::NO_SUID)),
        ("rnodev", SetAll(Attributes::NO_DEVICES)),
        ("rdev", ClearAll(Attributes::NO_DEVICES)),
        ("rnoexec", SetAll(Attributes::NO_EXEC)),
        ("rexec", ClearAll(Attributes::NO_EXEC)),
        ("rnoatime", SetAll(Attributes::NO_ACCESS_TIME)),
        ("ratime", ClearAll(Attributes::NO_ACCESS_TIME)),
        ("rstrictatime", SetAll(Attributes::STRICT_ACCESS_TIME)),
        ("rnostrictatime", ClearAll(Attributes::STRICT_ACCESS_TIME)),
        ("rrelatime", ClearAll(Attributes::NO_ACCESS_TIME)),
        ("rnorelatime", Nothing),
        ("rnodiratime", SetAll(Attributes::NO_DIRECTORY_ACCESS_TIME)),
        ("rdiratime", ClearAll(Attributes::NO_DIRECTORY_ACCESS_TIME)),
        ("rnosymfollow", SetAll(Attributes::NO_SYMLINKS)),
        ("rsymfollow", ClearAll(Attributes::NO_SYMLINKS)),
        ("private", Propagate(Propagation::PRIVATE)),
        ("rprivate", Propagate(RPRIVATE)),
        ("slave", Propagate(Propagation::DOWNSTREAM)),
        ("rslave", Propagate(RSLAVE)),
        ("shared", Propagate(Propagation::SHARED)),
        ("rshared", Propagate(RSHARED)),
        ("unbindable", Propagate(Propagation::UNBINDABLE)),
        ("runbindable", Propagate(RUNBINDABLE)),
        ("tmpcopyup", CopyUp),
        ("idmap", MapIds),
        ("ridmap", MapIdsBelow),
        ("async", Filesystem),
        ("sync", Filesystem),
        ("dirsync", Filesystem),
        ("lazytime", Filesystem),
        ("nolazytime", Filesystem),
        ("mand", Filesystem),
        ("nomand", Filesystem),
        // Filesystems that can count versions always do, and the kernel logs what it logs.
        ("iversion", Nothing),
        ("noiversion", Nothing),
        ("silent", Nothing),
        ("loud", Nothing),
        ("remount", Unsupported),
    ]
};

const SUBPATH: &str = "X-mount.subdir=";

const RPRIVATE: Propagation = Propagation::PRIVATE.union(Propagation::REC);
const RSLAVE: Propagation = Propagation::DOWNSTREAM.union(Propagation::REC);
const RSHARED: Propagation = Propagation::SHARED.union(Propagation::REC);
const RUNBINDABLE: Propagation = Propagation::UNBINDABLE.union(Propagation::REC);

/// The words that are understood, for `features`; the filesystem's own are not among them.
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    WORDS
        .iter()
        .filter(|(_, effect)| !matches!(effect, Effect::Unsupported))
        .map(|(word, _)| *word)
}

/// The flags of a propagation's name.
pub(super) fn propagation(word: &str) -> Option<Propagation> {
    match effect(word) {
        Some(Effect::Propagate(flags)) => Some(flags),
        _ => None,
    }
}

fn effect(word: &str) -> Option<Effect> {
    let mut words = WORDS.iter();
    words
        .find(|(known, _)| *known == word)
        .map(|(_, effect)| *effect)
}

/// Other owners for the files of a mount.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WantedMap {
    /// The container's own, where the mount says nothing.
    pub(super) maps: Option<IdMaps>,
    /// Also in the mounts below.
    pub(super) recursive: bool,
}

/// What `mounts[].options`, `uidMappings` and `gidMappings` say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) bind: bool,
    pub(super) recursive: bool,
    /// Begin with what the mount covers.
    pub(super) copy_up: bool,
    /// Give the files other owners.
    pub(super) map: Option<WantedMap>,
    /// `X-mount.subdir` of mount(8): what of the source is mounted.
    pub(super) subpath: Option<CString>,
    /// For the mount itself.
    pub(super) change: Change,
    /// For the mount and those below it.
    pub(super) recursive_change: Change,
    /// Options of any filesystem, for a new one.
    pub(super) general: Vec<(CString, Option<CString>)>,
    /// Options of the filesystem itself.
    pub(super) settings: Vec<(CString, Option<CString>)>,
}

impl Options {
    pub(super) fn parse(field: &str, mount: &Mount) -> Result<Self, Error> {
        let mut options = Self {
            bind: mount.typ().as_deref() == Some("bind"),
            map: mapped(field, mount)?,
            ..Self::default()
        };
        for word in mount.options().iter().flatten() {
            match effect(word) {
                Some(effect) => options.apply(field, word, effect)?,
                None if word.starts_with(SUBPATH) => {
                    options.subpath = Some(subpath(field, word)?);
                }
                None => options.settings.push(setting(field, word)?),
            }
        }
        Ok(options)
    }

    fn apply(&mut self, field: &str, word: &str, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::Bind => self.bind = true,
            Effect::BindAll => (self.bind, self.recursive) = (true, true),
            Effect::Set(attribute) => set(&mut self.change, attribute),
            Effect::Clear(attribute) => clear(&mut self.change, attribute),
            Effect::SetAll(attribute) => set(&mut self.recursive_change, attribute),
            Effect::ClearAll(attribute) => clear(&mut self.recursive_change, attribute),
            Effect::Propagate(flags) if flags.contains(Propagation::REC) => {
                self.recursive_change.propagation = (flags - Propagation::REC).bits().into();
            }
            Effect::Propagate(flags) => self.change.propagation = flags.bits().into(),
            Effect::CopyUp => self.copy_up = true,
            Effect::MapIds => drop(self.map.get_or_insert_default()),
            Effect::MapIdsBelow => self.map.get_or_insert_default().recursive = true,
            Effect::Filesystem => self.general.push(setting(field, word)?),
            Effect::Nothing => {}
            Effect::Unsupported => {
                return Err(Error::Unsupported {
                    field: format!("{field}.options: {word}"),
                });
            }
        }
        Ok(())
    }

    /// Filesystem options that a bind mount has no use for are refused, not forgotten.
    pub(super) fn refuse_settings(&self, field: &str) -> Result<(), Error> {
        match self.settings.first() {
            None => Ok(()),
            Some((key, _)) => Err(invalid(
                field,
                &format!("a bind mount has no option {key:?}"),
            )),
        }
    }
}

/// The ids that are the mount's own, config.md: one kind MUST come with the other.
fn mapped(field: &str, mount: &Mount) -> Result<Option<WantedMap>, Error> {
    let maps = IdMaps {
        users: ranges(mount.uid_mappings().as_deref()),
        groups: ranges(mount.gid_mappings().as_deref()),
    };
    match (maps.users.is_empty(), maps.groups.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(WantedMap {
            maps: Some(maps),
            recursive: false,
        })),
        (no_users, _) => {
            let (missing, other) = if no_users {
                ("uidMappings", "gidMappings")
            } else {
                ("gidMappings", "uidMappings")
            };
            let reason = format!("it is required beside {other}");
            Err(invalid(format!("{field}.{missing}"), &reason))
        }
    }
}

/// A path below the source, without `..`.
fn subpath(field: &str, word: &str) -> Result<CString, Error> {
    let path = word.strip_prefix(SUBPATH).unwrap_or(word);
    Ok(super::below_root(field, path, crate::plan::Symlinks::FollowInside)?.path)
}

/// The last of two words wins.
fn set(change: &mut Change, attribute: Attributes) {
    change.set |= attribute;
    change.clear.remove(attribute);
}

fn clear(change: &mut Change, attribute: Attributes) {
    change.clear |= attribute;
    change.set.remove(attribute);
}

fn setting(field: &str, word: &str) -> Result<(CString, Option<CString>), Error> {
    match word.split_once('=') {
        Some((key, value)) => Ok((c_string(field, key)?, Some(c_string(field, value)?))),
        None => Ok((c_string(field, word)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxIdMappingBuilder, MountBuilder};

    fn parse(words: &[&str]) -> Result<Options, Error> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let mount = MountBuilder::default()
            .destination("/x")
            .typ("tmpfs")
            .options(words);
        Options::parse("mounts[0]", &mount.build().unwrap())
    }

    #[test]
    fn the_last_of_two_words_wins() {
        let options = parse(&["ro", "nosuid", "rw", "suid", "nodev"]).unwrap();
        assert_eq!(options.change.set, Attributes::NO_DEVICES);
        assert!(options.change.clear.contains(Attributes::READ_ONLY));
    }

    #[test]
    fn recursive_words_reach_the_mounts_below() {
        let options = parse(&["rbind", "rro", "rslave"]).unwrap();
        assert!(options.bind && options.recursive);
        assert_eq!(options.recursive_change.set, Attributes::READ_ONLY);
        assert_eq!(
            options.recursive_change.propagation,
            u64::from(Propagation::DOWNSTREAM.bits())
        );
        assert!(options.change.is_empty());
    }

    #[test]
    fn other_words_are_the_filesystems() {
        let options = parse(&["size=64k", "noswap"]).unwrap();
        let expected = [
            (c"size".to_owned(), Some(c"64k".to_owned())),
            (c"noswap".to_owned(), None),
        ];
        assert_eq!(options.settings, expected);
    }

    fn map(users: Option<u32>, groups: Option<u32>, word: &str) -> Result<Options, Error> {
        let ids = |id: u32| {
            let builder = LinuxIdMappingBuilder::default();
            let built = builder.container_id(id).host_id(0_u32).size(1_u32).build();
            vec![built.unwrap()]
        };
        let mount = MountBuilder::default().destination("/x").typ("bind");
        let mut mount = mount.options(vec![word.to_owned()]).build().unwrap();
        mount.set_uid_mappings(users.map(ids));
        mount.set_gid_mappings(groups.map(ids));
        Options::parse("mounts[0]", &mount)
    }

    #[test]
    fn ids_are_mapped_by_a_word_or_by_maps() {
        let wanted = |users, word| map(users, users, word).unwrap().map.unwrap();
        let containers = WantedMap::default();
        assert_eq!(wanted(None, "idmap"), containers);
        assert!(wanted(None, "ridmap").recursive);
        let own = wanted(Some(7), "ro");
        assert_eq!(own.maps.as_ref().unwrap().users[0].inside, 7);
        assert!(!own.recursive && wanted(Some(7), "ridmap").recursive);
        assert!(map(None, None, "ro").unwrap().map.is_none());
    }

    #[test]
    fn maps_of_users_come_with_maps_of_groups() {
        let refused = |users, groups| map(users, groups, "idmap").unwrap_err().to_string();
        let missing = "mounts[0].gidMappings is invalid: it is required beside uidMappings";
        assert_eq!(refused(Some(1), None), missing);
        assert!(refused(None, Some(1)).starts_with("mounts[0].uidMappings is invalid"));
    }
}
