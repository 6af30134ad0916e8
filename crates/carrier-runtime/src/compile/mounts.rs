//! Mounts, devices, masked and read-only paths.

use std::ffi::CString;

use carrier_sys::mount::Attributes;
use oci_spec::runtime::{Linux, Mount, Spec};
use rustix::mount::MountAttrFlags;

use super::{c_string, invalid, target};
use crate::error::Error;
use crate::plan::{Bind, DeviceNode, Devices, Filesystem, InitPlan, Kind, Step, Symlinks, Target};

/// The devices that every container has, runtime-spec `config-linux.md`, section "Default Devices".
const DEVICES: [(&str, (u32, u32)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

const DEVICE_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

const BINFMT_MISC: &str = "proc/sys/fs/binfmt_misc";

pub(super) fn compile(plan: &mut InitPlan, spec: &Spec) -> Result<(), Error> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("mounts[{index}]");
        let options = Options::parse(&field, mount)?;
        let destination = mount.destination();
        if options.bind {
            plan.push(field.clone(), Step::Bind(bind(&field, mount, &options)?));
            continue;
        }
        let kind = mount
            .typ()
            .as_deref()
            .ok_or_else(|| invalid(&field, "it has no type"))?;
        plan.push(
            field.clone(),
            Step::MountFilesystem(filesystem(&field, kind, mount, options)?),
        );
        if destination.as_os_str() == "/dev" {
            plan.push(field, Step::PopulateDevices(devices(mounts)?));
        }
    }
    Ok(())
}

fn filesystem(
    field: &str,
    kind: &str,
    mount: &Mount,
    options: Options,
) -> Result<Filesystem, Error> {
    // The kernel's own views of itself are mounted where they belong, or not at all.
    let symlinks = match kind {
        "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup2" => Symlinks::Refuse,
        _ if mount.destination().as_os_str() == "/dev" => Symlinks::Refuse,
        _ => Symlinks::FollowInside,
    };
    let source = mount
        .source()
        .as_ref()
        .map_or(kind.as_ref(), |source| source.as_os_str());
    let mut settings = vec![(c"source".to_owned(), Some(c_string(field, source)?))];
    settings.extend(options.settings);
    Ok(Filesystem {
        kind: c_string(field, kind)?,
        options: settings,
        attributes: options.attributes,
        target: target(field, mount.destination(), symlinks)?,
    })
}

fn bind(field: &str, mount: &Mount, options: &Options) -> Result<Bind, Error> {
    let source = mount
        .source()
        .as_ref()
        .ok_or_else(|| invalid(field, "a bind mount needs a source"))?;
    if let Some((key, _)) = options.settings.first() {
        return Err(invalid(
            field,
            &format!("a bind mount has no option {key:?}"),
        ));
    }
    let pairs = [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, Attributes::READ_ONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, Attributes::NO_SUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, Attributes::NO_DEVICES),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, Attributes::NO_EXEC),
    ];
    let wanted = pairs
        .into_iter()
        .filter(|(flag, _)| options.attributes.contains(*flag));
    Ok(Bind {
        source: c_string(field, source)?,
        target: target(field, mount.destination(), Symlinks::FollowInside)?,
        kind: if source.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        },
        recursive: options.recursive,
        attributes: wanted.fold(Attributes::empty(), |all, (_, attribute)| all | attribute),
    })
}

fn devices(mounts: &[Mount]) -> Result<Devices, Error> {
    let node = |(name, number): (&str, (u32, u32))| {
        Ok(DeviceNode {
            source: c_string("linux.devices", format!("/dev/{name}"))?,
            name: c_string("linux.devices", name)?,
            number,
        })
    };
    let link = |(name, text): (&str, &str)| {
        Ok((
            c_string("linux.devices", name)?,
            c_string("linux.devices", text)?,
        ))
    };
    // Mount points that are made here need not be looked for later.
    let below = mounts
        .iter()
        .filter_map(|mount| mount.destination().strip_prefix("/dev").ok());
    let direct = below.filter(|path| path.components().count() == 1);
    Ok(Devices {
        nodes: DEVICES
            .into_iter()
            .map(node)
            .collect::<Result<_, Error>>()?,
        links: DEVICE_LINKS
            .into_iter()
            .map(link)
            .collect::<Result<_, Error>>()?,
        directories: direct
            .map(|path| c_string("mounts", path))
            .collect::<Result<_, _>>()?,
    })
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
            target: place(BINFMT_MISC),
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

/// The words of `mounts[].options`.
#[derive(Debug)]
struct Options {
    bind: bool,
    recursive: bool,
    attributes: MountAttrFlags,
    /// Options of the filesystem itself.
    settings: Vec<(CString, Option<CString>)>,
}

impl Options {
    fn parse(field: &str, mount: &Mount) -> Result<Self, Error> {
        use MountAttrFlags as Attr;
        let mut options = Self {
            bind: mount.typ().as_deref() == Some("bind"),
            recursive: false,
            attributes: Attr::empty(),
            settings: Vec::new(),
        };
        for word in mount.options().iter().flatten() {
            match word.as_str() {
                "bind" => options.bind = true,
                "rbind" => (options.bind, options.recursive) = (true, true),
                "ro" => options.attributes |= Attr::MOUNT_ATTR_RDONLY,
                "rw" => options.attributes.remove(Attr::MOUNT_ATTR_RDONLY),
                "nosuid" => options.attributes |= Attr::MOUNT_ATTR_NOSUID,
                "suid" => options.attributes.remove(Attr::MOUNT_ATTR_NOSUID),
                "nodev" => options.attributes |= Attr::MOUNT_ATTR_NODEV,
                "dev" => options.attributes.remove(Attr::MOUNT_ATTR_NODEV),
                "noexec" => options.attributes |= Attr::MOUNT_ATTR_NOEXEC,
                "exec" => options.attributes.remove(Attr::MOUNT_ATTR_NOEXEC),
                "noatime" => options.attributes |= Attr::MOUNT_ATTR_NOATIME,
                "strictatime" => options.attributes |= Attr::MOUNT_ATTR_STRICTATIME,
                "nodiratime" => options.attributes |= Attr::MOUNT_ATTR_NODIRATIME,
                // What a new mount in a namespace of its own is anyway.
                "relatime" | "defaults" | "private" | "rprivate" => {}
                "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable"
                | "tmpcopyup" | "idmap" | "ridmap" => {
                    return Err(Error::Unsupported {
                        field: format!("{field}.options: {word}"),
                    });
                }
                setting => options.settings.push(setting_of(field, setting)?),
            }
        }
        Ok(options)
    }
}

fn setting_of(field: &str, word: &str) -> Result<(CString, Option<CString>), Error> {
    match word.split_once('=') {
        Some((key, value)) => Ok((c_string(field, key)?, Some(c_string(field, value)?))),
        None => Ok((c_string(field, word)?, None)),
    }
}
