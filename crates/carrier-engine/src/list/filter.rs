//! Which containers a list shows, or `container prune` removes.

use carrier_spec::{DiffId, ImageId, Reference};
use jiff::Timestamp;
use regex::Regex;

use super::ContainerSummary;
use crate::engine::Engine;
use crate::error::Error;
use crate::images::{FilterError, known_filters, split_filter};
use crate::life::Status;
use crate::net::{BoundPort, PortSpec};
use crate::time;

/// Conditions that containers must meet: all kinds, and of each kind one; of labels all.
#[derive(Clone, Debug, Default)]
pub struct ContainerFilter {
    ids: Vec<String>,
    names: Vec<Regex>,
    labels: Vec<Label>,
    codes: Vec<i64>,
    statuses: Vec<&'static str>,
    ancestors: Vec<Ancestor>,
    /// Made before all of these, and after all of those: nanoseconds since 1970.
    before: Option<u64>,
    since: Option<u64>,
    volumes: Vec<String>,
    networks: Vec<String>,
    published: Vec<Ports>,
    exposed: Vec<Ports>,
    health: Vec<String>,
    policies: Vec<String>,
    commands: Vec<String>,
    /// Nothing is a task of a swarm.
    nothing: bool,
}

#[derive(Clone, Debug)]
struct Label {
    key: String,
    value: Option<String>,
    wanted: bool,
}

/// An image that containers were made of, or of an image that was made of it.
#[derive(Clone, Debug)]
struct Ancestor {
    /// As the user wrote it: an image that is gone has still its name in records.
    word: String,
    image: Option<(ImageId, Vec<DiffId>)>,
}

/// `PORT[-PORT][/PROTOCOL]`
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ports {
    first: u16,
    last: u16,
    protocol: String,
}

/// The words that `status` knows, in Docker's order; `stopped` is Podman's.
const STATUSES: [(&str, &str); 8] = [
    ("created", "created"),
    ("restarting", "restarting"),
    ("running", "running"),
    ("removing", "removing"),
    ("paused", "paused"),
    ("exited", "exited"),
    ("dead", "dead"),
    ("stopped", "exited"),
];

const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// What `container prune` knows.
const PRUNE: [&str; 3] = ["label", "label!", "until"];

impl Engine {
    /// Reads the filters of a list of containers, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`]; when a container that is named there does not exist.
    pub fn container_filter(&self, filters: &[String]) -> Result<ContainerFilter, Error> {
        let mut filter = ContainerFilter::default();
        for text in filters {
            let (name, value) = split_filter(text)?;
            match name.as_str() {
                "before" => filter.before_at(self.created_at(&value)?),
                "since" | "after" => filter.since_at(self.created_at(&value)?),
                "ancestor" => filter.ancestors.push(self.ancestor(value)?),
                _ => filter.add(&name, &value)?,
            }
        }
        Ok(filter)
    }

    /// Reads the filters of `container prune`, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn container_prune_filter(&self, filters: &[String]) -> Result<ContainerFilter, Error> {
        let mut filter = ContainerFilter::default();
        for known in known_filters(filters, &PRUNE) {
            let (name, value) = known?;
            filter.add(&name, &value)?;
        }
        Ok(filter)
    }

    fn created_at(&self, word: &str) -> Result<u64, Error> {
        Ok(self.container(word)?.created.nanoseconds())
    }

    fn ancestor(&self, word: String) -> Result<Ancestor, Error> {
        let image = if self.image_exists(&word)? {
            let image = self.image_by_word(&word, None)?;
            Some((image.id, image.config.rootfs.diff_ids))
        } else {
            None
        };
        Ok(Ancestor { word, image })
    }
}

impl ContainerFilter {
    /// Whether containers that do not run are meant too: who asks for a status means that one.
    #[must_use]
    pub fn asks_for_status(&self) -> bool {
        !self.statuses.is_empty()
    }

    fn before_at(&mut self, time: u64) {
        self.before = Some(self.before.map_or(time, |known| known.min(time)));
    }

    fn since_at(&mut self, time: u64) {
        self.since = Some(self.since.map_or(time, |known| known.max(time)));
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        let bad = || FilterError::BadValue {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        match name {
            "id" => self.ids.push(value.to_owned()),
            "name" => self.names.push(Regex::new(value).map_err(|_| bad())?),
            "label" => self.labels.push(label(value, true)),
            "label!" => self.labels.push(label(value, false)),
            "exited" => self.codes.push(value.parse().map_err(|_| bad())?),
            "status" => {
                let known = STATUSES.iter().find(|(word, _)| *word == value);
                self.statuses.push(known.ok_or_else(bad)?.1);
            }
            "health" if HEALTH.contains(&value) => self.health.push(value.to_owned()),
            "volume" => self.volumes.push(value.to_owned()),
            "network" => self.networks.push(value.to_owned()),
            "publish" => self.published.push(ports(value).ok_or_else(bad)?),
            "expose" => self.exposed.push(ports(value).ok_or_else(bad)?),
            "is-task" => match value {
                "true" | "True" | "1" => self.nothing = true,
                "false" | "False" | "0" => {}
                _ => return Err(bad()),
            },
            "until" => {
                let time = time::parse(value, Timestamp::now()).ok_or_else(bad)?;
                self.before_at(u64::try_from(time.as_nanosecond()).unwrap_or(0));
            }
            "restart-policy" => self.policies.push(value.to_owned()),
            "command" => self.commands.push(value.to_owned()),
            "pod" => return Err(FilterError::NotAvailable("pod", "pods")),
            "health" => return Err(bad()),
            other => return Err(FilterError::Unknown(other.to_owned())),
        }
        Ok(())
    }

    /// Whether the container meets the conditions.
    #[must_use]
    pub fn accepts(&self, container: &ContainerSummary) -> bool {
        let (life, created) = (&container.life, container.created.nanoseconds());
        let code = (life.status == Status::Exited).then(|| i64::from(life.code));
        !self.nothing
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && one(&self.ids, |id| {
                container.id.as_str().starts_with(id.as_str())
            })
            && one(&self.names, |name| is_name(name, container.name.as_str()))
            && one(&self.codes, |wanted| code == Some(*wanted))
            && one(&self.statuses, |word| *word == life.status.word())
            && one(&self.health, |word| {
                word == container.health().unwrap_or("none")
            })
            && one(&self.policies, |policy| {
                is_policy(policy, &container.restart.to_string())
            })
            && one(&self.commands, |word| {
                container.command.first() == Some(word)
            })
            && one(&self.networks, |network| *network == container.network)
            && one(&self.volumes, |volume| {
                container.mounts.contains(volume) || container.mount_targets.contains(volume)
            })
            && one(&self.published, |ports| {
                // Docker's documents mean the container's port, its code the host's.
                let bound = container.life.network.ports.iter();
                ports.fit(bound.clone().map(BoundPort::target))
                    || ports.fit(bound.map(BoundPort::source))
            })
            && one(&self.exposed, |ports| {
                // What is published is exposed, too.
                let bound = container.life.network.ports.iter().map(BoundPort::target);
                ports.fit(container.exposed.iter().copied().chain(bound))
            })
            && one(&self.ancestors, |ancestor| ancestor.fits(container))
            && self.labels.iter().all(|label| {
                let found = container.labels.get(&label.key);
                let matches = match &label.value {
                    Some(value) => found == Some(value),
                    None => found.is_some(),
                };
                matches == label.wanted
            })
    }
}

fn one<T>(wanted: &[T], fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

/// As in Docker, with and without the slash that its API puts in front.
fn is_name(pattern: &Regex, name: &str) -> bool {
    pattern.is_match(name) || pattern.is_match(&format!("/{name}"))
}

/// `on-failure` stands for `on-failure:3` too.
fn is_policy(wanted: &str, policy: &str) -> bool {
    policy == wanted || policy.split(':').next() == Some(wanted)
}

fn label(text: &str, wanted: bool) -> Label {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    Label {
        key: key.to_owned(),
        value,
        wanted,
    }
}

fn ports(text: &str) -> Option<Ports> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let is_known = matches!(protocol, "tcp" | "udp" | "sctp");
    (first <= last && is_known).then(|| Ports {
        first,
        last,
        protocol: protocol.to_owned(),
    })
}

impl Ports {
    /// Whether one of the ports is among these.
    fn fit(&self, ports: impl Iterator<Item = PortSpec>) -> bool {
        let mut ports = ports.filter(|it| it.protocol.name() == self.protocol);
        ports.any(|it| (self.first..=self.last).contains(&it.port))
    }
}

impl Ancestor {
    fn fits(&self, container: &ContainerSummary) -> bool {
        if let Some((id, layers)) = &self.image {
            let is_descendant =
                container.layers.len() > layers.len() && container.layers.starts_with(layers);
            return container.image_id == *id || (is_descendant && !layers.is_empty());
        }
        let hex = self.word.strip_prefix("sha256:").unwrap_or(&self.word);
        let is_id = hex.len() >= 12 && container.image_id.0.hex().starts_with(hex);
        let named: Option<Reference> = self.word.parse().ok();
        let image: Option<Reference> = container.image.parse().ok();
        let named = named.map(|name| name.familiar());
        is_id || (named.is_some() && named == image.map(|name| name.familiar()))
    }
}

#[cfg(test)]
mod tests;
