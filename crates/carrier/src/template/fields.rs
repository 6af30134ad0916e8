//! Fields of what templates are about: Docker's structures, and maps that everybody fills.

use serde_json::{Map, Value};

use super::{Command, Operand, TemplateError};

/// Maps whose keys are nobody's but the user's: what is not there is nothing, and no mistake.
const FREE: [&str; 16] = [
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
    "Containers",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields that Docker's types have and that JSON leaves out where there is nothing: a field that stands
/// beside it in any case, its name, and whether it is an empty text instead of null.
const OPTIONAL: [(&str, &str, bool); 16] = [
    ("Hostname", "ExposedPorts", false),
    ("Hostname", "Healthcheck", false),
    ("Hostname", "Shell", false),
    ("Hostname", "StopTimeout", false),
    ("HostConfig", "SizeRootFs", false),
    ("HostConfig", "SizeRw", false),
    ("NetworkMode", "Annotations", false),
    ("NetworkMode", "Mounts", false),
    ("NetworkMode", "StorageOpt", false),
    ("NetworkMode", "Sysctls", false),
    ("NetworkMode", "Tmpfs", false),
    ("Propagation", "Driver", true),
    ("Propagation", "Name", true),
    ("RootFS", "Variant", true),
    ("StartedAt", "Health", false),
    ("Subnet", "IPRange", true),
];

pub(super) fn is_free(name: &str) -> bool {
    FREE.contains(&name)
}

/// What a path leads to; `is_free` says what the first step is in.
pub(super) fn field(
    value: &Value,
    mut is_free_map: bool,
    path: &[String],
) -> Result<Value, TemplateError> {
    let mut value = value;
    for name in path {
        let unknown = || TemplateError::NoField(path.join("."));
        value = match value {
            Value::Object(object) if is_free_map => object.get(name).unwrap_or(&Value::Null),
            Value::Null if is_free_map => value,
            Value::Object(object) => match member(object, name) {
                Some(found) => found,
                None => return step_into_nothing(object, name, path).ok_or_else(unknown),
            },
            _ => return Err(unknown()),
        };
        is_free_map = is_free(name);
    }
    Ok(value.clone())
}

/// A field by its name, or the only one whose name differs in capitals: Go's names of fields are not
/// those of JSON, `ID` and `Id`.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = object.get(name) {
        return Some(found);
    }
    let is_alike = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(name);
    let mut alike = object.iter().filter(is_alike);
    let (_, found) = alike.next()?;
    alike.next().is_none().then_some(found)
}

/// A field that is left out, where it is the end of the path: Go finds no field in nothing.
fn step_into_nothing(object: &Map<String, Value>, name: &str, path: &[String]) -> Option<Value> {
    if path.last().map(String::as_str) != Some(name) {
        return None;
    }
    let mut optional = OPTIONAL.iter();
    let (_, _, is_text) =
        optional.find(|(beside, known, _)| *known == name && object.contains_key(*beside))?;
    Some(if *is_text { "".into() } else { Value::Null })
}

/// The field that a pipeline is, if it is one and nothing else.
pub(super) fn last_field(pipeline: &[Command]) -> Option<&str> {
    match pipeline {
        [command] => match command.as_slice() {
            [operand] => field_of(operand),
            _ => None,
        },
        _ => None,
    }
}

/// The field that an operand is.
pub(super) fn field_of(operand: &Operand) -> Option<&str> {
    match operand {
        Operand::Field(path) | Operand::Variable(_, path) | Operand::Group(_, path) => {
            path.last().map(String::as_str)
        }
        Operand::Literal(_) | Operand::Function(_) => None,
    }
}

/// What a field that is `null` in JSON is for a function: a list or a map without anything, as in Go.
pub(super) fn empty(field: &str) -> Option<Value> {
    match zero(field)? {
        "[]" => Some(Value::Array(Vec::new())),
        "map[]" => Some(Value::Object(Map::new())),
        _ => None,
    }
}

/// What Go prints for a field of Docker's answers that is `null` in JSON, which depends on its type; none
/// for what is no such field.
pub(super) fn zero(field: &str) -> Option<&'static str> {
    const LISTS: [&str; 27] = [
        "Aliases",
        "Binds",
        "CapAdd",
        "CapDrop",
        "Cmd",
        "DNSNames",
        "DeviceCgroupRules",
        "DeviceRequests",
        "Devices",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "Entrypoint",
        "Env",
        "ExecIDs",
        "ExtraHosts",
        "GroupAdd",
        "Links",
        "Mounts",
        "OnBuild",
        "SecondaryIPAddresses",
        "SecondaryIPv6Addresses",
        "SecurityOpt",
        "Shell",
        "Ulimits",
        "VolumesFrom",
        "Warnings",
    ];
    const MAPS: [&str; 10] = [
        "Annotations",
        "AuxiliaryAddresses",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "Options",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
    ];
    const POINTERS: [&str; 9] = [
        "Health",
        "Healthcheck",
        "IPAMConfig",
        "MemorySwappiness",
        "OomKillDisable",
        "PidsLimit",
        "SizeRootFs",
        "SizeRw",
        "StopTimeout",
    ];
    let all = [(&LISTS[..], "[]"), (&MAPS, "map[]"), (&POINTERS, "<nil>")];
    let mut found = all.into_iter().filter(|(names, _)| names.contains(&field));
    found.next().map(|(_, zero)| zero)
}
