//! Where requests may go: credentials belong to one origin, and some places are never gone to.

use std::net::IpAddr;

use reqwest::Url;

/// How often a registry may send us elsewhere.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Docker Hub's API does not live where its name says.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Host and port of a registry's API.
pub(crate) fn api_host(registry: &str) -> &str {
    if registry == "docker.io" {
        DOCKER_HUB_API
    } else {
        registry
    }
}

/// Whether a registry is on this machine, where plain HTTP tells nobody anything.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.rsplit_once(':').map_or(registry, |(host, _)| host),
    };
    is_loopback_host(host)
}

/// How users may write the host of a URL: with its port, and without where the port is the usual one.
pub(crate) fn names(url: &Url) -> impl Iterator<Item = String> {
    let host = url.host_str().unwrap_or_default();
    let with_port = url
        .port_or_known_default()
        .map(|port| format!("{host}:{port}"));
    let alone = url.port().is_none().then(|| host.to_owned());
    with_port.into_iter().chain(alone)
}

/// Whether two URLs share scheme, host and port: only then do credentials go along.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Goes on with TLS on the same host and port: registries behind a proxy that speaks TLS for them
/// often do not know that it does.
pub(crate) fn keep_tls(from: &Url, to: &mut Url) {
    let downgraded = from.scheme() == "https" && to.scheme() == "http";
    if downgraded && from.host_str() == to.host_str() && from.port() == to.port() {
        // Fails only for URLs without a host.
        let _ = to.set_scheme("https");
    }
}

/// Checks a URL that a server sent us to, from `from`.
pub(crate) fn check_redirect(from: &Url, to: &Url) -> Result<(), &'static str> {
    match (from.scheme(), to.scheme()) {
        ("https", "http") => return Err("it redirects from https to http"),
        (_, "http" | "https") => {}
        _ => return Err("it redirects to something that is not http"),
    }
    check_host(from, to)
}

/// A server on the network has no business with this machine or its neighbours on the link: cloud
/// providers keep secrets at link-local addresses.
pub(crate) fn check_host(from: &Url, to: &Url) -> Result<(), &'static str> {
    if !to.username().is_empty() || to.password().is_some() {
        return Err("it names a URL with credentials");
    }
    let host = to.host_str().unwrap_or_default();
    if address(host).is_some_and(is_link_local) {
        return Err("it names a link-local address");
    }
    let from_here = from.host_str().is_some_and(is_loopback_host);
    if is_loopback_host(host) && !from_here {
        return Err("it names an address of this machine");
    }
    Ok(())
}

/// Whether a host is this machine by its name alone.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || address(host).is_some_and(is_here)
}

/// Whether an address is this machine.
pub(crate) fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The address that a host is.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for here in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "localhost.example.org",
            "10.0.0.1:5000",
            "docker.io",
            "[2001:db8::1]:1",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn r02_credentials_stay_with_their_origin() {
        let home = url("https://registry.example.org/v2/");
        assert!(same_origin(
            &home,
            &url("https://registry.example.org:443/other")
        ));
        for foreign in [
            "http://registry.example.org/",
            "https://registry.example.org:444/",
            "https://cdn.example.org/",
        ] {
            assert!(!same_origin(&home, &url(foreign)), "{foreign}");
        }
    }

    #[test]
    fn r02_r03_dangerous_redirects_are_refused() {
        let home = url("https://registry.example.org/v2/");
        for bad in [
            "http://registry.example.org/",
            "ftp://registry.example.org/",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://0.0.0.0/",
            "https://[::]/",
            "https://2130706433/",
            "https://127.1/",
            "https://localhost./",
            "https://x.LOCALHOST/",
            "unix:///run/docker.sock",
            "file:///etc/passwd",
            "https://user:secret@cdn.example.org/",
        ] {
            assert!(
                check_redirect(&home, &url(bad)).is_err(),
                "{bad} was followed"
            );
        }
        assert!(check_redirect(&home, &url("https://cdn.example.org/blob")).is_ok());
        let local = url("http://127.0.0.1:5000/v2/");
        assert!(check_redirect(&local, &url("http://127.0.0.1:5001/blob")).is_ok());
    }
}
