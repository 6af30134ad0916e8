//! A small name server for networks of the user: names of containers it knows itself, others it asks
//! the host's name servers for, unless the network is an internal one.
//!
//! It has one thread, and everything in it has a bound: sockets, questions that wait, bytes, time. A
//! client that opens connections and says nothing takes nothing from others (CVE-2024-8418).

mod answer;
mod forward;
mod server;
mod stream;

pub(crate) use answer::{Tables, Zone};
pub(crate) use server::NameServer;

/// The port of name servers.
pub(crate) const PORT: u16 = 53;
