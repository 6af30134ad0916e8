//! What is shown of networks: which ones a list shows, and all that is known about one.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::lookup::NetworkUser;
use super::network::Network;
use crate::engine::Engine;
use crate::error::Error;
use crate::images::{FilterError, known_filters, split_filter};
use crate::net::Endpoint;
use crate::time;

/// Conditions that networks must meet: all kinds, and of each kind one; of labels all.
#[derive(Clone, Debug, Default)]
pub struct NetworkFilter {
    names: Vec<String>,
    ids: Vec<String>,
    drivers: Vec<String>,
    scopes: Vec<String>,
    labels: Vec<(String, Option<String>, bool)>,
    /// Whether every user has it.
    predefined: Option<bool>,
    /// Nanoseconds since 1970: only what is older.
    until: Option<i128>,
    /// The ids of those that containers are to be on, and whether these are wanted.
    used: Option<(Vec<String>, bool)>,
}

/// What `network prune` knows.
const PRUNE: [&str; 3] = ["label", "label!", "until"];

impl Engine {
    /// Reads the filters of a list of networks, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn network_filter(&self, filters: &[String]) -> Result<NetworkFilter, Error> {
        let mut filter = NetworkFilter::default();
        for text in filters {
            let (name, value) = split_filter(text)?;
            if name == "dangling" {
                let wanted = truth(&value).ok_or_else(|| bad(&name, &value))?;
                filter.used = Some((self.used_networks()?, !wanted));
            } else {
                filter.add(&name, &value)?;
            }
        }
        Ok(filter)
    }

    /// The same of what `network prune` removes.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn network_prune_filter(&self, filters: &[String]) -> Result<NetworkFilter, Error> {
        let mut filter = NetworkFilter::default();
        for known in known_filters(filters, &PRUNE) {
            let (name, value) = known?;
            filter.add(&name, &value)?;
        }
        Ok(filter)
    }

    fn used_networks(&self) -> Result<Vec<String>, Error> {
        let mut used = Vec::new();
        for network in self.networks()? {
            // Nobody can remove those that every user has.
            if network.is_predefined() || !self.network_users(&network)?.is_empty() {
                used.push(network.id);
            }
        }
        Ok(used)
    }

    /// All that is known about the network that `word` names, in the shape of Docker's
    /// `GET /networks/{id}`.
    ///
    /// # Errors
    /// When there is none.
    pub fn inspect_network(&self, word: &str) -> Result<Value, Error> {
        let network = self.network(word)?;
        let users = self.network_users(&network)?;
        Ok(describe(&network, &users))
    }
}

impl NetworkFilter {
    fn add(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        match name {
            "name" => self.names.push(value.to_owned()),
            "id" => self.ids.push(value.to_owned()),
            "driver" => self.drivers.push(value.to_owned()),
            "scope" => self.scopes.push(value.to_owned()),
            "label" | "label!" => {
                let (key, value) = match value.split_once('=') {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (value, None),
                };
                self.labels.push((key.to_owned(), value, name == "label"));
            }
            "type" => {
                self.predefined = Some(match value {
                    "builtin" => true,
                    "custom" => false,
                    _ => return Err(bad(name, value)),
                });
            }
            "until" => {
                let time = time::parse(value, Timestamp::now()).ok_or_else(|| bad(name, value))?;
                self.until = Some(time.as_nanosecond());
            }
            _ => return Err(FilterError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    /// Whether the network meets the conditions.
    #[must_use]
    pub fn accepts(&self, network: &Network) -> bool {
        let one_of = |wanted: &[String], fits: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|text| fits(text))
        };
        let has_label = |(key, value, wanted): &(String, Option<String>, bool)| {
            let found = network.labels.get(key);
            let matches = found.is_some_and(|found| value.as_ref().is_none_or(|it| it == found));
            matches == *wanted
        };
        one_of(&self.names, &|text| network.name.as_str().contains(text))
            && one_of(&self.ids, &|text| network.id.starts_with(text))
            && one_of(&self.drivers, &|text| network.driver.name() == text)
            && one_of(&self.scopes, &|text| text == "local")
            && self.labels.iter().all(has_label)
            && self
                .predefined
                .is_none_or(|wanted| network.is_predefined() == wanted)
            && self
                .until
                .is_none_or(|until| i128::from(network.created.nanoseconds()) < until)
            && self
                .used
                .as_ref()
                .is_none_or(|(used, wanted)| used.contains(&network.id) == *wanted)
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn bad(name: &str, value: &str) -> FilterError {
    FilterError::BadValue {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn describe(network: &Network, users: &[NetworkUser]) -> Value {
    let config = network.subnets.iter().map(|it| {
        let mut config = json!({"Subnet": it.subnet, "Gateway": it.gateway});
        if let (Some(range), Some(fields)) = (it.range, config.as_object_mut()) {
            fields.insert("IPRange".to_owned(), range.to_string().into());
        }
        config
    });
    let container = |user: &NetworkUser| {
        let endpoint = user.endpoint.as_ref()?;
        Some((user.id.to_string(), member(user, endpoint)))
    };
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created.to_string(),
        "Scope": "local",
        "Driver": network.driver.name(),
        "EnableIPv4": network.subnets.iter().any(|it| it.subnet.is_ipv4()),
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": null,
            "Config": config.collect::<Vec<_>>(),
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": users.iter().filter_map(container).collect::<Map<_, _>>(),
        "Options": network.options,
        "Labels": network.labels,
    })
}

fn member(user: &NetworkUser, endpoint: &Endpoint) -> Value {
    let text = |address: Option<String>| address.unwrap_or_default();
    json!({
        "Name": user.name,
        "EndpointID": endpoint.id_for(user.id.as_str()),
        "MacAddress": text(endpoint.mac.map(|mac| mac.to_string())),
        "IPv4Address": text(endpoint.ip.map(|(ip, bits)| format!("{ip}/{bits}"))),
        "IPv6Address": text(endpoint.ip6.map(|(ip, bits)| format!("{ip}/{bits}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, labels: &[(&str, &str)]) -> Network {
        let mut network = Network::predefined().remove(0);
        network.name = name.parse().unwrap();
        let pairs = labels.iter();
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        network.labels = pairs.collect();
        network
    }

    #[test]
    fn filters_are_dockers() {
        let web = network("web", &[("a", "1")]);
        for (filters, expected) in [
            (&[][..], true),
            (&[("name", "we")], true),
            (&[("name", "x"), ("name", "eb")], true),
            (&[("name", "x")], false),
            (&[("driver", "bridge"), ("scope", "local")], true),
            (&[("scope", "swarm")], false),
            (&[("label", "a")], true),
            (&[("label", "a=2")], false),
            (&[("label!", "a=2")], true),
            (&[("type", "custom")], true),
            (&[("type", "builtin")], false),
        ] {
            let mut filter = NetworkFilter::default();
            for (name, value) in filters {
                filter.add(name, value).unwrap();
            }
            assert_eq!(filter.accepts(&web), expected, "{filters:?}");
        }
        let mut filter = NetworkFilter::default();
        for (name, value) in [("colour", "red"), ("type", "x"), ("until", "soon")] {
            assert!(filter.add(name, value).is_err(), "{name}={value} was taken");
        }
    }
}
