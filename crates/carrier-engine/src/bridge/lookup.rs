//! Networks are found, and who is on them.

use carrier_spec::ContainerId;

use super::error::BridgeError;
use super::network::Network;
use crate::engine::Engine;
use crate::error::Error;
use crate::net::{Endpoint, NetworkMode};

/// A container that is to be on a network.
#[derive(Clone, Debug)]
pub struct NetworkUser {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// Its addresses, where it runs.
    pub endpoint: Option<Endpoint>,
}

impl Engine {
    /// All networks, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn networks(&self) -> Result<Vec<Network>, Error> {
        let mut networks = Network::predefined();
        for name in self.store.network_names()? {
            match self.store.network::<Network>(&name) {
                // One that is damaged must not hide the others.
                Err(carrier_store::Error::Damaged { .. }) => {}
                found => {
                    let found = found?;
                    networks.retain(|network| found.is_none() || network.name != name);
                    networks.extend(found);
                }
            }
        }
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// The network that `word` names: its name, its id, or the beginning of that.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn network(&self, word: &str) -> Result<Network, Error> {
        let networks = self.networks()?;
        if let Some(network) = networks
            .iter()
            .find(|network| network.name.as_str() == word)
        {
            return Ok(network.clone());
        }
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        let is_id = !word.is_empty() && word.bytes().all(is_digit);
        let fits = |network: &&Network| is_id && network.id.starts_with(word);
        let found: Vec<&Network> = networks.iter().filter(fits).collect();
        match found.as_slice() {
            [] => Err(BridgeError::NotFound(word.to_owned()).into()),
            [network] => Ok((*network).clone()),
            several => Err(Error::AmbiguousId {
                prefix: word.to_owned(),
                count: several.len(),
            }),
        }
    }

    /// The containers that are to be on a network, running or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn network_users(&self, network: &Network) -> Result<Vec<NetworkUser>, Error> {
        let mut users = Vec::new();
        for record in self.records()? {
            let NetworkMode::Bridge(attachments) = &record.network else {
                continue;
            };
            if !attachments.iter().any(|it| it.id == network.id) {
                continue;
            }
            let life = self.life(&record)?;
            let mut endpoints = life.network.endpoints.into_iter();
            let endpoint = endpoints.find(|endpoint| endpoint.id == network.id);
            users.push(NetworkUser {
                id: record.id,
                name: record.name.to_string(),
                endpoint: endpoint.filter(|_| life.status.is_alive()),
            });
        }
        Ok(users)
    }
}
