//! Cables of containers that have ended.

use std::time::{Duration, Instant};

use super::ports::Port;
use crate::bridge::devices;
use crate::net::netlink::Netlink;

/// How long the kernel may take to remove a cable by itself. It cannot where somebody else is still in
/// the container's network namespace.
const GRACE: Duration = Duration::from_millis(500);

/// Cables that go with the network namespaces of their containers, and keep their addresses until then:
/// to pull one out would hold the next container up for as long as the kernel waits for the packets
/// that are under way.
#[derive(Default)]
pub(super) struct Departed {
    /// With the moments of their ends, in that order.
    ports: Vec<(Port, Instant)>,
}

impl Departed {
    pub(super) fn add(&mut self, port: Port) {
        self.ports.push((port, Instant::now()));
    }

    /// When the next cable has had its time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ports.first().map(|(_, since)| *since + GRACE)
    }

    /// The cables that may still be there.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().map(|(port, _)| port)
    }

    /// Forgets the cables that are out.
    pub(super) fn forget_gone_ones(&mut self, netlink: &mut Netlink) {
        let is_there = |port: &Port| netlink.index(&port.cable).is_ok();
        self.ports.retain(|(port, _)| is_there(port));
    }

    /// Pulls the cables out that have had their time: mostly they have gone.
    pub(super) fn pull_late_ones(&mut self, netlink: &mut Netlink) {
        let now = Instant::now();
        let late = self.ports.iter().filter(|(_, since)| *since + GRACE <= now);
        for (port, _) in self.ports.drain(..late.count()) {
            let _ = devices::remove(netlink, &port.cable);
        }
    }

    /// Pulls cables out at once.
    pub(super) fn pull(&mut self, netlink: &mut Netlink, is_meant: impl Fn(&Port) -> bool) {
        for (port, _) in self.ports.extract_if(.., |(port, _)| is_meant(port)) {
            let _ = devices::remove(netlink, &port.cable);
        }
    }
}
