//! What can be wrong with a host, with the consequence and the exact fix of each.
//!
//! A check is a function of what the host's files say, a [`View`], so that a directory can stand for a
//! host; what the kernel allows is tried where the view is the host itself. A command that has failed for
//! such a reason [`explain`]s it in the same words.

mod cgroups;
mod clock;
mod finding;
mod ids;
mod kernel;
mod limits;
mod network;
mod remedy;
mod script;
mod session;
mod storage;
#[cfg(test)]
mod tests;
mod trial;
mod view;

pub(crate) use cgroups::{no_manager, not_delegated, old_hierarchy};
pub use finding::{Check, Finding, State};
pub(crate) use ids::shared as shared_ids;
pub(crate) use kernel::no_emulator;
pub(crate) use network::{low_port, no_filter, no_uplink};
pub(crate) use remedy::quoted;
pub use remedy::{OwnFix, Remedy};
pub use script::root_script;
pub(crate) use view::View;

/// Carries out one check.
type Examine = fn(&View) -> Finding;

/// The checks, in the order in which one needs the other.
const CHECKS: [(Check, Examine); 25] = [
    (Check::Kernel, kernel::version),
    (Check::Clock, clock::clock),
    (Check::UserNamespaces, kernel::user_namespaces),
    (Check::Apparmor, kernel::apparmor),
    (Check::Namespaces, kernel::namespaces),
    (Check::SubordinateIds, ids::subordinate),
    (Check::IdHelpers, ids::helpers),
    (Check::Home, storage::home),
    (Check::Disk, storage::disk),
    (Check::Overlay, storage::overlay),
    (Check::Fuse, storage::fuse),
    (Check::RuntimeDirectory, session::runtime_directory),
    (Check::Lingering, session::lingering),
    (Check::Cgroups, cgroups::cgroups),
    (Check::Tun, network::tun),
    (Check::Uplink, network::uplink),
    (Check::Filter, network::filter),
    (Check::LowPorts, network::low_ports),
    (Check::Ping, network::ping),
    (Check::Emulators, kernel::emulators),
    (Check::OpenFiles, limits::open_files),
    (Check::Processes, limits::processes),
    (Check::Inotify, limits::inotify),
    (Check::Memory, limits::memory),
    (Check::Keys, limits::keys),
];

/// Looks at this host.
#[must_use]
pub fn examine() -> Vec<Finding> {
    let view = View::of_host();
    CHECKS.iter().map(|(_, examine)| examine(&view)).collect()
}

/// The first of these that is wrong with this host, as one line; what has failed comes before what is
/// only a warning.
#[must_use]
pub fn explain(checks: &[Check]) -> Option<String> {
    let view = View::of_host();
    let wanted = CHECKS.iter().filter(|(check, _)| checks.contains(check));
    let mut found: Vec<Finding> = wanted
        .map(|(_, examine)| examine(&view))
        .filter(Finding::is_wrong)
        .collect();
    found.sort_by_key(|finding| finding.state != State::Failed);
    found.first().map(Finding::line)
}

/// What the user reads who does not linger; nothing where that needs no setting.
#[must_use]
pub fn lingering() -> Option<Finding> {
    let finding = session::lingering(&View::of_host());
    finding.is_wrong().then_some(finding)
}
