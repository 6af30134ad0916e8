//! Mounts, masked and read-only paths.

use std::ffi::CString;

use carrier_sys::mount::{Attributes, Change};
use oci_spec::runtime::{Linux, Mount, Spec};
use rustix::mount::{MountAttrFlags, MountPropagationFlags as Propagation};

use super::namespaces::Wanted;
use super::options::{self, Options, WantedMap};
use super::{below_root, c_string, devices, invalid, overlay, target};
use crate::error::Error;
use crate::idmap::IdMaps;
use crate::mapped::{Ids, Mapping};
use crate::plan::{Bind, Filesystem, InitPlan, Kind, Step, Symlinks, Target, Tree};

const BINFMT_MISC: &str = "proc/sys/fs/binfmt_misc";

/// What the child does to the copy of the host's mounts before anything else: mounts of the host
/// arrive where a bind mount asks for that, and nothing goes back.
pub(super) fn first_propagation(linux: &Linux) -> Result<Propagation, Error> {
    match root_propagation(linux)? {
        Some(flags) if flags.contains(Propagation::PRIVATE) => {
            Ok(Propagation::PRIVATE | Propagation::REC)
        }
        _ => Ok(Propagation::DOWNSTREAM | Propagation::REC),
    }
}

/// What becomes of the container's own mounts, where the configuration says so.
pub(super) fn last_propagation(linux: &Linux) -> Result<Option<Propagation>, Error> {
    root_propagation(linux)
}

fn root_propagation(linux: &Linux) -> Result<Option<Propagation>, Error> {
    let Some(word) = linux.rootfs_propagation().as_deref() else {
        return Ok(None);
    };
    if word.is_empty() {
        return Ok(None);
    }
    match options::propagation(word) {
        Some(flags) => Ok(Some(flags)),
        None => Err(invalid(
            "linux.rootfsPropagation",
            &format!("{word:?} is no propagation"),
        )),
    }
}

/// Pushes the mounts and devices. What is returned has to be done when the terminal is there.
pub(super) fn compile(
    plan: &mut InitPlan,
    spec: &Spec,
    namespaces: &Wanted,
    maps: &IdMaps,
) -> Result<Option<Step>, Error> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut devices = devices::Pending::new(spec, mounts, namespaces.has_users())?;
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("mounts[{index}]");
        let destination = mount.destination();
        let mut options = Options::parse(&field, mount)?;
        // Relative ones are deprecated, and mean what is below the root, config.md.
        let destination = &std::path::Path::new("/").join(destination);
        let is_dev = destination.as_os_str() == "/dev";
        if !is_dev && destination.starts_with("/dev") {
            // A root directory that brings its own /dev.
            devices.compile_defaults(plan);
        }
        if options.bind {
            let ids = || namespaces.ids(maps);
            plan.push(
                field.clone(),
                Step::Bind(bind(&field, mount, options, ids)?),
            );
            if is_dev {
                devices.are_the_hosts();
            }
            continue;
        }
        if mount.typ().as_deref() == Some("overlay") {
            let below = overlay::below(&field, mount, options)?;
            plan.push(field, Step::MountOverlayBelow(below));
            continue;
        }
        let protect = is_dev && options.change.set.contains(Attributes::READ_ONLY);
        if protect {
            // The child has to fill it first.
            options.change.set.remove(Attributes::READ_ONLY);
        }
        let kind = mount.typ().as_deref().unwrap_or("none");
        plan.push(
            field.clone(),
            Step::MountFilesystem(filesystem(&field, kind, mount, options)?),
        );
        if is_dev {
            devices.compile_defaults(plan);
            devices.protect = protect;
        }
    }
    Ok(devices.compile_rest(plan))
}

fn filesystem(
    field: &str,
    kind: &str,
    mount: &Mount,
    options: Options,
) -> Result<Filesystem, Error> {
    // runtime-spec asks for `cgroup` whatever the hierarchy; there is one left.
    let kind = if kind == "cgroup" { "cgroup2" } else { kind };
    let mut target = below_root(field, mount.destination(), Symlinks::FollowInside)?;
    let is_kernels = matches!(kind, "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup2");
    if is_kernels || target.path.to_bytes() == b"dev" {
        // The kernel's own views of itself are mounted where they belong, or not at all.
        target.symlinks = Symlinks::Refuse;
    }
    let fallback = match kind {
        "proc" => Some(c"/proc"),
        "sysfs" => Some(c"/sys"),
        "cgroup2" => Some(c"/sys/fs/cgroup"),
        "mqueue" => Some(c"/dev/mqueue"),
        _ => None,
    };
    let source = mount
        .source()
        .as_ref()
        .map_or(kind.as_ref(), |source| source.as_os_str());
    if options.map.is_some() {
        return Err(invalid(field, "only bind mounts can have their ids mapped"));
    }
    if options.subpath.is_some() {
        return Err(invalid(field, "a new filesystem has no directories"));
    }
    let mut settings = vec![(c"source".to_owned(), Some(c_string(field, source)?))];
    settings.extend(options.general);
    settings.extend(options.settings);
    let recursive = options.recursive_change;
    let takes_mode = kind == "tmpfs" && !settings.iter().any(|(key, _)| &**key == c"mode");
    let set = options.change.set | recursive.set;
    let propagation = options.change.propagation | recursive.propagation;
    Ok(Filesystem {
        kind: c_string(field, kind)?,
        options: settings,
        attributes: MountAttrFlags::from_bits_retain(u32::try_from(set.bits()).unwrap_or(0)),
        propagation,
        copy_up: options.copy_up,
        takes_mode,
        target,
        fallback: fallback.map(ToOwned::to_owned),
    })
}

fn bind(
    field: &str,
    mount: &Mount,
    options: Options,
    containers: impl FnOnce() -> Option<Ids>,
) -> Result<Bind, Error> {
    let source = mount
        .source()
        .as_ref()
        .ok_or_else(|| invalid(field, "a bind mount needs a source"))?;
    options.refuse_settings(field)?;
    if options.copy_up {
        return Err(invalid(field, "tmpcopyup is for new filesystems"));
    }
    if options.subpath.is_some() && options.map.is_some() {
        return Err(invalid(
            field,
            "the ids of a part of a source cannot be mapped",
        ));
    }
    let mut recursive_change = options.recursive_change;
    if options.change.propagation == 0 && recursive_change.propagation == 0 {
        // Mounts of the host must not come in behind the container's back.
        recursive_change.propagation = Propagation::PRIVATE.bits().into();
    }
    let mut change = options.change;
    if recursive_change.clear.contains(Attributes::READ_ONLY)
        && change.set.contains(Attributes::READ_ONLY)
    {
        // `rrw` beside `ro`: what is mounted below stays as it is.
        recursive_change.clear.remove(Attributes::READ_ONLY);
    } else if options.recursive && change.set.contains(Attributes::READ_ONLY) {
        // What is mounted below a read-only directory is no less read-only.
        set_below(&mut change, &mut recursive_change, Attributes::READ_ONLY);
    }
    Ok(Bind {
        source: c_string(field, source)?,
        subpath: options.subpath,
        target: below_root(field, mount.destination(), Symlinks::FollowInside)?,
        kind: if source.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        },
        recursive: options.recursive,
        change,
        recursive_change,
        tree: match options.map {
            Some(wanted) => Tree::Mapped(mapping(field, wanted, containers)?),
            None => Tree::Source,
        },
    })
}

fn mapping(
    field: &str,
    wanted: WantedMap,
    containers: impl FnOnce() -> Option<Ids>,
) -> Result<Mapping, Error> {
    let WantedMap { maps, recursive } = wanted;
    let (ids, field) = match maps {
        Some(maps) => (Some(Ids::Maps(maps)), format!("{field}.uidMappings")),
        None => (containers(), format!("{field}.options")),
    };
    let missing = "idmap without uidMappings and gidMappings takes those of the container, which has \
                   no user namespace";
    Ok(Mapping {
        ids: ids.ok_or_else(|| invalid(field.as_str(), missing))?,
        recursive,
        field,
    })
}

fn set_below(change: &mut Change, recursive: &mut Change, attribute: Attributes) {
    change.set.remove(attribute);
    recursive.set |= attribute;
}

/// Registers an emulator in the container's own `binfmt_misc`, which exists for each user namespace
/// since Linux 6.7. The kernel opens the emulator at once (flag F), so that its path means the host's.
pub(super) fn compile_emulator(plan: &mut InitPlan, registration: &[u8]) {
    let place = |path: &str| Target {
        path: CString::new(path).unwrap_or_default(),
        symlinks: Symlinks::Refuse,
    };
    plan.push(
        "emulator",
        Step::MountFilesystem(Filesystem {
            kind: c"binfmt_misc".to_owned(),
            options: Vec::new(),
            attributes: MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC,
            propagation: 0,
            copy_up: false,
            takes_mode: false,
            target: place(BINFMT_MISC),
            fallback: None,
        }),
    );
    plan.push(
        "emulator",
        Step::WriteFile {
            target: place(&format!("{BINFMT_MISC}/register")),
            content: registration.to_vec(),
        },
    );
}

pub(super) fn compile_masks(plan: &mut InitPlan, linux: &Linux) -> Result<(), Error> {
    for path in linux.masked_paths().iter().flatten() {
        let masked = target("linux.maskedPaths", path, Symlinks::FollowInside)?;
        plan.push("linux.maskedPaths", Step::Mask(masked));
    }
    for path in linux.readonly_paths().iter().flatten() {
        let protected = target("linux.readonlyPaths", path, Symlinks::FollowInside)?;
        plan.push("linux.readonlyPaths", Step::ProtectPath(protected));
    }
    Ok(())
}
