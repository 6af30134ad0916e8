//! Networks are removed.

use std::time::{Duration, Instant};

use super::error::BridgeError;
use super::network::Network;
use super::protocol::{Answer, Request};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;

/// How long a keeper may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// Forgets the network that `word` names; with `force`, one that is gone already is fine. Durable.
    ///
    /// # Errors
    /// When containers are on it.
    pub fn remove_network(&self, word: &str, force: bool) -> Result<(), Error> {
        let removed = self.network(word).and_then(|network| {
            if network.is_predefined() {
                let name = network.name.to_string();
                return Err(BridgeError::Predefined(name, "removed").into());
            }
            self.forget_network(&network)
        });
        match removed {
            Err(Error::Bridge(BridgeError::NotFound(_))) if force => Ok(()),
            other => other,
        }
    }

    /// Removes the networks that no container is to be on and that `accepts` lets pass; returns their
    /// names.
    ///
    /// # Errors
    /// When the store cannot be read or changed; what was removed by then is gone.
    pub fn prune_networks(&self, accepts: impl Fn(&Network) -> bool) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        for network in self.networks()? {
            let is_candidate = !network.is_predefined() && accepts(&network);
            if !is_candidate || !self.network_users(&network)?.is_empty() {
                continue;
            }
            match self.forget_network(&network) {
                // Somebody has just begun to use it, or has removed it.
                Err(Error::Bridge(
                    BridgeError::InUse { .. }
                    | BridgeError::Refused { .. }
                    | BridgeError::NotFound(_),
                )) => {}
                other => {
                    other?;
                    removed.push(network.name.to_string());
                }
            }
        }
        Ok(removed)
    }

    /// Only the keeper knows who is on a network just now; without one, nobody is, and none begins
    /// meanwhile. Nor does another network of that name come to be until this one is gone for good.
    fn forget_network(&self, network: &Network) -> Result<(), Error> {
        let networks = self.store.lock_networks()?;
        let written: Option<Network> = self.store.network(&network.name)?;
        if written.is_none_or(|written| written.id != network.id) {
            return Err(BridgeError::NotFound(network.name.to_string()).into());
        }
        let deadline = Instant::now() + PATIENCE;
        // Held until the end: whoever is the next keeper looks for a network that is gone.
        let _keeper = loop {
            if let Some(lock) = self.lock_keeper()? {
                self.check_unused(network)?;
                break Some(lock);
            }
            if let Some(keeper) = self.find_networks()? {
                let file = self.store.network_file(&network.name);
                keeper.ask(&Request::Remove(Box::new(network.clone()), file))?;
                match keeper.answer()? {
                    Answer::Done => break None,
                    other => return Err(super::client::refused(other).into()),
                }
            }
            if deadline <= Instant::now() {
                let source = rustix::io::Errno::TIMEDOUT.into();
                let action = "reach";
                return Err(BridgeError::Shared { action, source }.into());
            }
            std::thread::sleep(PAUSE);
        };
        self.store.remove_network(&networks, &network.name)?;
        let name = network.name.as_str();
        self.emit(&Event::network("destroy", &network.id, name));
        Ok(())
    }

    /// A keeper that was killed is no reason to take a network away from those who are on it: their
    /// monitors connect them again.
    fn check_unused(&self, network: &Network) -> Result<(), Error> {
        let mut users = Vec::new();
        for user in self.network_users(network)? {
            if self.live_process(&user.id)?.is_some() {
                users.push(user.name);
            }
        }
        users.sort_unstable();
        if users.is_empty() {
            return Ok(());
        }
        let name = network.name.to_string();
        Err(BridgeError::InUse { name, users }.into())
    }
}
