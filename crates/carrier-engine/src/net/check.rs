//! What contradicts itself is refused before anything is made; the words are Docker's.

use super::error::NetworkError;
use super::mode::NetworkMode;
use super::options::{HostsFile, NetworkOptions};
use crate::etc_files::is_hostname;

/// Looks at what a user asks for; `names_itself` is whether a host name is among it.
///
/// # Errors
/// [`NetworkError::Invalid`].
pub(crate) fn check(
    mode: &NetworkMode,
    options: &NetworkOptions,
    names_itself: bool,
) -> Result<(), NetworkError> {
    let refuse = |text: &str, hint: &'static str| Err(NetworkError::Invalid(text.to_owned(), hint));
    if !options.domainname.is_empty() && !is_hostname(&options.domainname) {
        let text = format!("{:?} is no domain name", options.domainname);
        return refuse(&text, "names have letters, digits, hyphens and dots");
    }
    if *mode == NetworkMode::None && options.wants_host() {
        return refuse(
            "conflicting options: host-gateway and the network mode",
            "a container with --network none reaches nothing: choose another mode",
        );
    }
    if !matches!(mode, NetworkMode::Container(_)) {
        return Ok(());
    }
    let dns = &options.dns;
    let conflicts = [
        (names_itself || !options.domainname.is_empty(), "hostname"),
        (
            dns.none
                || !dns.servers.is_empty()
                || !dns.search.is_empty()
                || !dns.options.is_empty(),
            "dns",
        ),
        (
            !options.hosts.is_empty() || options.hosts_file != HostsFile::Generated,
            "custom host-to-IP mapping",
        ),
        (
            !options.publish.is_empty() || options.publish_all,
            "port publishing",
        ),
    ];
    match conflicts.iter().find(|(conflicts, _)| *conflicts) {
        None => Ok(()),
        Some((_, what)) => refuse(
            &format!("conflicting options: {what} and the container type network mode"),
            "network, names and ports are those of the other container: set them there",
        ),
    }
}

/// What the user should know about options that do nothing.
pub(crate) fn warning(mode: &NetworkMode, options: &NetworkOptions) -> Option<String> {
    if !options.publishes() {
        return None;
    }
    match mode {
        NetworkMode::Host => {
            Some("published ports are discarded when using host network mode".to_owned())
        }
        NetworkMode::None => Some(
            "published ports are discarded: a container with --network none listens for nobody"
                .to_owned(),
        ),
        _ => None,
    }
}
