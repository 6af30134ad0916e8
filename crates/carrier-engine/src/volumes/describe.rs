//! Mounts in the shape of Docker's API; pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::mount_point::{MountPoint, MountSource, Origin, ReadOnly, Storage};
use crate::record::ContainerRecord;
use crate::resources::size;

/// What `/dev/shm` holds where nobody says.
const SHM_SIZE: u64 = 64 << 20;

/// `Mounts`: `volumes` is where volumes are.
pub(crate) fn mounts(record: &ContainerRecord, volumes: &Path) -> Vec<Value> {
    let shown = record.storage.mounts.iter().filter(|mount| {
        // Docker keeps those in the configuration only.
        !matches!(mount.origin, Origin::Tmpfs | Origin::ReadOnly)
    });
    shown.map(|mount| describe(mount, volumes)).collect()
}

fn describe(mount: &MountPoint, volumes: &Path) -> Value {
    let propagation = match mount.source {
        MountSource::Bind { .. } => mount.propagation.as_deref().unwrap_or("rprivate"),
        _ => "",
    };
    let mut described = json!({
        "Type": mount.kind(),
        "Source": source(mount, volumes),
        "Destination": mount.target,
        "Mode": mount.mode,
        "RW": mount.read_only == ReadOnly::No,
        "Propagation": propagation,
    });
    if let (Some(name), Some(fields)) = (mount.volume(), described.as_object_mut()) {
        fields.insert("Name".to_owned(), name.as_str().into());
        fields.insert("Driver".to_owned(), "local".into());
    }
    described
}

fn source(mount: &MountPoint, volumes: &Path) -> String {
    match &mount.source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Volume { name, .. } => {
            let name = name.as_ref().map_or("", |name| name.as_str());
            volumes.join(name).join("_data").display().to_string()
        }
        MountSource::Tmpfs { .. } => String::new(),
        MountSource::Image { reference, .. } => reference.clone(),
    }
}

/// The fields of `HostConfig` that are about mounts.
pub(crate) fn host_config(record: &ContainerRecord) -> Map<String, Value> {
    let storage = &record.storage;
    let of = |origin| {
        storage
            .mounts
            .iter()
            .filter(move |mount| mount.origin == origin)
    };
    let binds: Vec<String> = of(Origin::Volume).filter_map(bind).collect();
    let objects: Vec<Value> = of(Origin::Mount).map(object).collect();
    let tmpfs: Map<String, Value> = of(Origin::Tmpfs)
        .map(|mount| (mount.target.clone(), mount.mode.as_str().into()))
        .collect();
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("Binds", or_null(binds.is_empty(), json!(binds)));
    set(
        "VolumesFrom",
        or_null(storage.volumes_from.is_empty(), json!(storage.volumes_from)),
    );
    let devices = storage.devices.iter().map(|device| {
        json!({
            "PathOnHost": device.host.display().to_string(),
            "PathInContainer": device.target,
            "CgroupPermissions": device.permissions,
        })
    });
    set("Devices", devices.collect());
    set("UsernsMode", record.userns.word().into());
    set(
        "GroupAdd",
        or_null(record.group_add.is_empty(), json!(record.group_add)),
    );
    set("ShmSize", storage.shm_size.unwrap_or(SHM_SIZE).into());
    if !objects.is_empty() {
        set("Mounts", objects.into());
    }
    if !tmpfs.is_empty() {
        set("Tmpfs", tmpfs.into());
    }
    fields
}

fn or_null(empty: bool, value: Value) -> Value {
    if empty { Value::Null } else { value }
}

/// `SOURCE:TARGET[:MODE]`; anonymous volumes are in `Config.Volumes`.
fn bind(mount: &MountPoint) -> Option<String> {
    if mount.is_anonymous() {
        return None;
    }
    let source = match &mount.source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        _ => mount.volume()?.to_string(),
    };
    let mode = match mount.mode.as_str() {
        "" => String::new(),
        mode => format!(":{mode}"),
    };
    Some(format!("{source}:{}{mode}", mount.target))
}

/// A mount as `POST /containers/create` has it.
fn object(mount: &MountPoint) -> Value {
    let mut object = json!({ "Type": mount.kind(), "Target": mount.target });
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    match &mount.source {
        MountSource::Bind {
            path,
            make,
            recursive,
        } => {
            set("Source", path.display().to_string().into());
            let mut options = Map::new();
            if let Some(word) = &mount.propagation {
                options.insert("Propagation".to_owned(), word.as_str().into());
            }
            for (name, is_set) in [
                ("CreateMountpoint", *make),
                ("NonRecursive", !*recursive),
                ("ReadOnlyNonRecursive", mount.read_only == ReadOnly::Top),
            ] {
                if is_set {
                    options.insert(name.to_owned(), true.into());
                }
            }
            if !options.is_empty() {
                set("BindOptions", options.into());
            }
        }
        MountSource::Volume {
            copy,
            labels,
            options,
            ..
        } => {
            if let Some(name) = mount.volume().filter(|_| !mount.is_anonymous()) {
                set("Source", name.as_str().into());
            }
            let volume = json!({
                "NoCopy": !copy,
                "Labels": labels,
                "DriverConfig": { "Options": options },
                "Subpath": mount.subpath.as_deref().unwrap_or(""),
            });
            set("VolumeOptions", volume);
        }
        MountSource::Tmpfs { options, .. } => {
            let get = |key: &str| options.iter().find_map(|word| word.strip_prefix(key));
            let mode = get("mode=").and_then(|mode| u32::from_str_radix(mode, 8).ok());
            set(
                "TmpfsOptions",
                json!({ "SizeBytes": get("size=").and_then(|text| size(text).ok()), "Mode": mode }),
            );
        }
        MountSource::Image { reference, .. } => {
            set("Source", reference.as_str().into());
            let subpath = mount.subpath.as_deref().unwrap_or("");
            set("ImageOptions", json!({ "Subpath": subpath }));
        }
    }
    if mount.read_only != ReadOnly::No {
        set("ReadOnly", true.into());
    }
    object
}

/// `Config.Volumes`: places that the image or the user calls volumes.
pub(crate) fn declared(record: &ContainerRecord) -> impl Iterator<Item = &str> {
    let anonymous = record.storage.mounts.iter().filter(|mount| {
        mount.is_anonymous() && matches!(mount.origin, Origin::Volume | Origin::Image)
    });
    anonymous.map(|mount| mount.target.as_str())
}

/// What `ps` calls the mounts: names of volumes, and paths.
pub(crate) fn names(storage: &Storage) -> Vec<String> {
    let name = |mount: &MountPoint| match &mount.source {
        MountSource::Bind { path, .. } => Some(path.display().to_string()),
        MountSource::Volume { name, .. } => name.as_ref().map(ToString::to_string),
        _ => None,
    };
    storage.mounts.iter().filter_map(name).collect()
}

/// Where something is mounted.
pub(crate) fn targets(storage: &Storage) -> Vec<String> {
    let mounts = storage.mounts.iter();
    mounts.map(|mount| mount.target.clone()).collect()
}
