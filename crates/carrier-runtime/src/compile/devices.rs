//! Device nodes, runtime-spec `config-linux.md`, sections "Devices" and "Default Devices".

use std::path::Path;

use carrier_sys::mount::{Attributes, Change};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount, Spec};
use rustix::fs::FileType;
use rustix::process::{Gid, Uid};

use super::{c_string, invalid, target};
use crate::error::Error;
use crate::plan::{DeviceNode, Devices, InitPlan, Step, Symlinks, Target};

const DEFAULT: [(&str, (u32, u32)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// What `/dev` still lacks while the mounts are compiled.
pub(super) struct Pending {
    defaults: Option<Devices>,
    asked_for: Vec<(DeviceNode, Target)>,
    /// Whether `/dev` is to be read-only in the end.
    pub(super) protect: bool,
}

impl Pending {
    pub(super) fn new(spec: &Spec, mounts: &[Mount], has_users: bool) -> Result<Self, Error> {
        let listed = spec
            .linux()
            .iter()
            .flat_map(oci_spec::runtime::Linux::devices);
        let asked_for = listed
            .flatten()
            .enumerate()
            .map(|(index, device)| node(index, device, !has_users))
            .collect::<Result<Vec<_>, Error>>()?;
        let is_asked_for = |name: &str| {
            let path = format!("dev/{name}");
            asked_for.iter().any(|(node, directory)| {
                let parent = directory.path.to_string_lossy();
                format!("{parent}/{}", node.name.to_string_lossy()) == path
            })
        };
        let defaults = defaults(mounts, !has_users, is_asked_for)?;
        Ok(Self {
            defaults: Some(defaults),
            asked_for,
            protect: false,
        })
    }

    /// Pushes the default devices, once.
    pub(super) fn compile_defaults(&mut self, plan: &mut InitPlan) {
        if let Some(devices) = self.defaults.take() {
            plan.push("linux.devices", Step::PopulateDevices(devices));
        }
    }

    /// A `/dev` of the host is not changed.
    pub(super) fn are_the_hosts(&mut self) {
        self.defaults = None;
    }

    /// Pushes the devices that were asked for. What is returned has to be done when nothing more is
    /// made in `/dev`.
    pub(super) fn compile_rest(mut self, plan: &mut InitPlan) -> Option<Step> {
        self.compile_defaults(plan);
        for (index, (node, directory)) in self.asked_for.into_iter().enumerate() {
            let origin = format!("linux.devices[{index}]");
            plan.push(origin, Step::AddDevice { node, directory });
        }
        self.protect.then(|| {
            Step::ProtectDevices(Change {
                set: Attributes::READ_ONLY,
                ..Change::default()
            })
        })
    }
}

fn defaults(
    mounts: &[Mount],
    make: bool,
    is_asked_for: impl Fn(&str) -> bool,
) -> Result<Devices, Error> {
    const FIELD: &str = "linux.devices";
    let node = |(name, number): (&str, (u32, u32))| {
        Ok(DeviceNode {
            source: c_string(FIELD, format!("/dev/{name}"))?,
            name: c_string(FIELD, name)?,
            kind: FileType::CharacterDevice,
            number,
            mode: 0o666,
            owner: (Uid::ROOT, Gid::ROOT),
            make,
        })
    };
    let link = |(name, text): (&str, &str)| Ok((c_string(FIELD, name)?, c_string(FIELD, text)?));
    // Mount points that are made here need not be looked for later. A file cannot be mounted on one.
    let below = mounts.iter().filter_map(|mount| {
        let is_filesystem = mount.typ().as_deref() != Some("bind");
        let path = mount.destination().strip_prefix("/dev").ok()?;
        (is_filesystem && path.components().count() == 1).then_some(path)
    });
    let nodes = DEFAULT.into_iter().filter(|(name, _)| !is_asked_for(name));
    Ok(Devices {
        directory: target(FIELD, "/dev", Symlinks::Refuse)?,
        nodes: nodes.map(node).collect::<Result<_, Error>>()?,
        links: LINKS.into_iter().map(link).collect::<Result<_, Error>>()?,
        directories: below
            .map(|path| c_string("mounts", path))
            .collect::<Result<_, _>>()?,
    })
}

/// A device of the configuration and the directory that it belongs in.
fn node(index: usize, device: &LinuxDevice, make: bool) -> Result<(DeviceNode, Target), Error> {
    let field = format!("linux.devices[{index}]");
    let path: &Path = device.path();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(invalid(field, "the path names no file"));
    };
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => return Err(invalid(field, "a node of type \"a\" cannot be made")),
    };
    let number = |number: i64| {
        u32::try_from(number).map_err(|_| invalid(field.as_str(), "the device number is negative"))
    };
    let number = match kind {
        FileType::Fifo => (0, 0),
        _ => (number(device.major())?, number(device.minor())?),
    };
    let node = DeviceNode {
        source: c_string(&field, path)?,
        name: c_string(&field, name)?,
        kind,
        number,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (
            Uid::from_raw(device.uid().unwrap_or(0)),
            Gid::from_raw(device.gid().unwrap_or(0)),
        ),
        make: make || kind == FileType::Fifo,
    };
    Ok((node, target(&field, parent, Symlinks::FollowInside)?))
}
