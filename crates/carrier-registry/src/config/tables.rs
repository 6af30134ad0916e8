//! The tables of the files, as they are written.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::place::Prefix;
use super::{Mirror, Registry};
use crate::policy::{PublicKey, Requirement, Rule};

/// Keys of `config.toml`, by table.
const TOP: &[&str] = &["registry", "network", "policy"];
const NETWORK: &[&str] = &["connect-timeout", "read-timeout", "retries"];
const REGISTRY: &[&str] = &[
    "prefix",
    "location",
    "insecure",
    "blocked",
    "mirror",
    "mirror-by-digest-only",
];
const POLICY: &[&str] = &["prefix", "require", "keys"];
const MIRROR: &[&str] = &["location", "insecure", "pull-from-mirror"];

/// What a file may say.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FileTables {
    #[serde(default, rename = "registry")]
    pub(super) registries: Vec<RegistryTable>,
    #[serde(default)]
    pub(super) network: NetworkTable,
    #[serde(default, rename = "policy")]
    pub(super) policies: Vec<PolicyTable>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PolicyTable {
    #[serde(default)]
    prefix: String,
    require: RequireKey,
    #[serde(default)]
    keys: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RequireKey {
    Nothing,
    Digest,
    Signature,
    Reject,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct NetworkTable {
    pub(super) connect_timeout: Option<u64>,
    pub(super) read_timeout: Option<u64>,
    pub(super) retries: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct RegistryTable {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<MirrorTable>,
    mirror_by_digest_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct MirrorTable {
    location: String,
    insecure: bool,
    pull_from_mirror: Option<MirrorUse>,
}

/// For which references a mirror is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MirrorUse {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

impl FileTables {
    /// Reads a file of Podman's, which has keys that are for others.
    pub(super) fn lenient(text: &str) -> Result<Self, String> {
        let mut table = parse(text)?;
        if table.contains_key("registries") {
            return Err("it has the format of version 1, [registries...]".to_owned());
        }
        table.remove("network");
        table.remove("policy");
        table.try_into().map_err(|error| one_line(&error))
    }

    /// Reads Carrier's own file: a key that means nothing is a mistake.
    pub(super) fn strict(text: &str) -> Result<Self, String> {
        let table = parse(text)?;
        check(&table, TOP, "")?;
        for network in tables(&table, "network") {
            check(network, NETWORK, "network.")?;
        }
        for policy in tables(&table, "policy") {
            check(policy, POLICY, "policy.")?;
        }
        for registry in tables(&table, "registry") {
            check(registry, REGISTRY, "registry.")?;
            for mirror in tables(registry, "mirror") {
                check(mirror, MIRROR, "registry.mirror.")?;
            }
        }
        table.try_into().map_err(|error| one_line(&error))
    }
}

/// Every key with its tables, sorted.
#[cfg(test)]
pub(super) fn keys() -> Vec<String> {
    let tables = [
        ("network", NETWORK),
        ("registry", REGISTRY),
        ("registry.mirror", MIRROR),
        ("policy", POLICY),
    ];
    let all = tables.iter().flat_map(|(table, keys)| {
        let keys = keys.iter().filter(|key| **key != "mirror");
        keys.map(move |key| format!("{table}.{key}"))
    });
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", one_line(&error))
    })
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', ", ")
}

/// The tables below a key, whether one stands there or an array.
fn tables<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = &'a Table> {
    let value = table.get(key);
    let one = value.and_then(Value::as_table).into_iter();
    let many = value.and_then(Value::as_array).into_iter().flatten();
    one.chain(many.filter_map(Value::as_table))
}

fn check(table: &Table, known: &[&str], place: &str) -> Result<(), String> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown key {place}{key}")),
        None => Ok(()),
    }
}

impl Rule {
    /// Reads a rule with its keys, whose paths are relative to the file's directory.
    pub(super) fn new(table: &PolicyTable, file: &Path) -> Result<Self, String> {
        let directory = file.parent().unwrap_or(Path::new("/"));
        let key = |path: &PathBuf| {
            let path = directory.join(path);
            let pem =
                std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            PublicKey::parse(&pem).map_err(|reason| format!("{}: {reason}", path.display()))
        };
        let keys: Vec<PublicKey> = table.keys.iter().map(key).collect::<Result<_, _>>()?;
        let requirement = match (table.require, keys.is_empty()) {
            (RequireKey::Signature, true) => {
                return Err("a [[policy]] that requires a signature has no keys".to_owned());
            }
            (RequireKey::Signature, false) => Requirement::Signature(keys),
            (_, false) => return Err("a [[policy]] has keys for nothing".to_owned()),
            (RequireKey::Nothing, true) => Requirement::Nothing,
            (RequireKey::Digest, true) => Requirement::Digest,
            (RequireKey::Reject, true) => Requirement::Reject,
        };
        Ok(Self {
            prefix: table.prefix.trim_end_matches('/').to_owned(),
            requirement,
            file: file.to_owned(),
        })
    }
}

impl Registry {
    pub(super) fn new(table: RegistryTable, file: &Path) -> Result<Self, String> {
        let location = location(&table.location)?;
        let prefix = match (table.prefix.as_str(), location.as_str()) {
            ("", "") => return Err("a [[registry]] has neither prefix nor location".to_owned()),
            ("", location) => location,
            (prefix, _) => prefix,
        };
        let mirror = |mirror: MirrorTable| {
            let used_for = match (table.mirror_by_digest_only, mirror.pull_from_mirror) {
                (true, Some(_)) => {
                    return Err(format!(
                        "pull-from-mirror of {} contradicts mirror-by-digest-only",
                        mirror.location
                    ));
                }
                (true, None) => MirrorUse::DigestOnly,
                (false, used_for) => used_for.unwrap_or_default(),
            };
            if mirror.location.is_empty() {
                return Err(format!("a mirror of {prefix} has no location"));
            }
            Ok(Mirror {
                location: self::location(&mirror.location)?,
                insecure: mirror.insecure,
                used_for,
            })
        };
        Ok(Self {
            prefix: Prefix::parse(prefix)?,
            mirrors: table
                .mirror
                .into_iter()
                .map(mirror)
                .collect::<Result<_, _>>()?,
            insecure: table.insecure,
            blocked: table.blocked,
            file: file.to_owned(),
            location,
        })
    }
}

/// A location is a host and perhaps a path: a scheme has no meaning there.
fn location(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if !text.is_empty() && (text.starts_with('*') || Prefix::parse(text).is_err()) {
        return Err(format!("{text:?} is no location: write HOST[:PORT][/PATH]"));
    }
    Ok(text.to_owned())
}
