//! Which events are shown.

use carrier_spec::Reference;

use super::{Event, EventKind};
use crate::images::FilterError;

/// Conditions of `events --filter`: of each kind one must hold, of labels all.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    kinds: Vec<String>,
    actions: Vec<String>,
    containers: Vec<String>,
    images: Vec<String>,
    volumes: Vec<String>,
    networks: Vec<String>,
    labels: Vec<(String, Option<String>)>,
    scopes: Vec<String>,
    /// Kinds of things that nothing happens to here: they let nothing pass.
    absent: bool,
}

impl EventFilter {
    /// Reads filters, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse(texts: &[String]) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for text in texts {
            let (name, value) = crate::images::split_filter(text)?;
            filter.add(&name, value)?;
        }
        Ok(filter)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), FilterError> {
        match name {
            "type" => self.kinds.push(value),
            // Podman's word.
            "event" | "status" => self.actions.push(value),
            "container" => self.containers.push(value),
            "image" => self.images.push(value),
            "volume" => self.volumes.push(value),
            "network" => self.networks.push(value),
            "scope" => self.scopes.push(value),
            "label" => {
                let (key, value) = match value.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (value, None),
                };
                self.labels.push((key, value));
            }
            "config" | "daemon" | "node" | "plugin" | "pod" | "secret" | "service" => {
                self.absent = true;
            }
            other => return Err(FilterError::Unknown(other.to_owned())),
        }
        Ok(())
    }

    /// Whether the event is shown.
    #[must_use]
    pub fn accepts(&self, event: &Event) -> bool {
        let one = |wanted: &[String], is: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|wanted| is(wanted))
        };
        let attributes = &event.actor.attributes;
        !self.absent
            && one(&self.kinds, &|kind| kind == event.kind.word())
            && one(&self.actions, &|action| is_action(action, &event.action))
            && one(&self.scopes, &|scope| scope == event.scope)
            && one(&self.containers, &|word| is_container(event, word))
            && one(&self.images, &|word| is_image(event, word))
            && one(&self.volumes, &|name| {
                event.kind == EventKind::Volume && event.actor.id == name
            })
            && one(&self.networks, &|word| is_network(event, word))
            && self.labels.iter().all(|(key, value)| {
                let found = attributes.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            })
    }
}

/// `exec_create` stands for `exec_create: COMMAND` too.
fn is_action(wanted: &str, action: &str) -> bool {
    let rest = action.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn is_container(event: &Event, word: &str) -> bool {
    event.kind == EventKind::Container
        && (event
            .actor
            .attributes
            .get("name")
            .is_some_and(|name| name == word)
            || (!word.is_empty() && event.actor.id.starts_with(word)))
}

fn is_network(event: &Event, word: &str) -> bool {
    let name = event.actor.attributes.get("name");
    event.kind == EventKind::Network
        && (name.is_some_and(|name| name == word)
            || (!word.is_empty() && event.actor.id.starts_with(word)))
}

/// By name with or without a tag, or by the beginning of the id; containers by their image.
fn is_image(event: &Event, word: &str) -> bool {
    let attribute = match event.kind {
        EventKind::Container => "image",
        EventKind::Image => "name",
        EventKind::Volume | EventKind::Network => return false,
    };
    let name = event.actor.attributes.get(attribute);
    let wanted = word.parse::<Reference>().map(|name| name.familiar());
    let is_name = name.is_some_and(|name| {
        let parsed = name.parse::<Reference>().ok();
        let parsed = parsed.map(|name| (name.familiar(), name.familiar_name()));
        parsed.is_some_and(|(whole, bare)| bare == word || wanted == Ok(whole)) || name == word
    });
    let id = event
        .actor
        .id
        .strip_prefix("sha256:")
        .unwrap_or(&event.actor.id);
    let is_id = || !word.is_empty() && (event.actor.id == word || id.starts_with(word));
    is_name || (event.kind == EventKind::Image && is_id())
}
