//! `/etc/resolv.conf` of a container, resolv.conf(5): a pure function of the host's, of what the user
//! asks for and of how the container is connected.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::options::DnsOptions;

/// The host's file.
pub(crate) const HOST: &str = "/etc/resolv.conf";

/// Where systemd-resolved tells its own name servers, when the host's file names but itself.
pub(crate) const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// What Docker falls back to.
const PUBLIC: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// What a container makes of the host's name servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Resolvers {
    /// The same, as they are: it is in the host's network, or in none.
    #[default]
    Same,
    /// The same, but for those that only the host reaches: instead of them, whoever carries the
    /// container's packets answers at these addresses.
    Forwarded(Vec<IpAddr>),
    /// These and no other.
    Only(Vec<IpAddr>),
}

/// The host's files, as they are now.
pub(crate) fn of_host() -> String {
    read(Path::new(HOST), Path::new(UPSTREAM))
}

fn read(host: &Path, upstream: &Path) -> String {
    let text = fs::read_to_string(host).unwrap_or_default();
    let servers: Vec<IpAddr> = servers(&text).collect();
    if !servers.is_empty() && servers.iter().all(IpAddr::is_loopback) {
        // Only systemd-resolved has that file; without it the host's own has to do.
        return fs::read_to_string(upstream).unwrap_or(text);
    }
    text
}

/// Makes the container's file.
pub(crate) fn build(host: &str, options: &DnsOptions, resolvers: &Resolvers) -> String {
    let servers = if options.servers.is_empty() {
        match resolvers {
            Resolvers::Only(servers) => texts(servers),
            _ => servers_for(host, resolvers),
        }
    } else {
        match resolvers {
            // Who answers names of containers asks those in turn.
            Resolvers::Only(servers) => texts(servers),
            _ => texts(&options.servers),
        }
    };
    let mut lines: Vec<String> = servers
        .into_iter()
        .map(|server| format!("nameserver {server}"))
        .collect();
    let search = if options.search.is_empty() {
        words(host, &["search", "domain"]).last().cloned()
    } else {
        let domains: Vec<&str> = options.search.iter().map(String::as_str).collect();
        // Alone, a dot means none.
        (domains != ["."]).then(|| domains.join(" "))
    };
    lines.extend(search.map(|domains| format!("search {domains}")));
    let mut wanted = if options.options.is_empty() {
        words(host, &["options"])
    } else {
        vec![options.options.join(" ")]
    };
    // A name of a container is looked for as it is, before it is one of a search domain.
    let says_dots = wanted.iter().any(|line| line.contains("ndots:"));
    if matches!(resolvers, Resolvers::Only(_)) && !says_dots {
        wanted.push("ndots:0".to_owned());
    }
    lines.extend(wanted.into_iter().map(|line| format!("options {line}")));
    lines.into_iter().map(|line| line + "\n").collect()
}

fn servers_for(host: &str, resolvers: &Resolvers) -> Vec<String> {
    let all = words(host, &["nameserver"]);
    let Resolvers::Forwarded(forwarders) = resolvers else {
        return all;
    };
    let mut servers = Vec::new();
    let forward = |servers: &mut Vec<String>| {
        for text in texts(forwarders) {
            if !servers.contains(&text) {
                servers.push(text);
            }
        }
    };
    for text in all {
        match text.parse::<IpAddr>() {
            // One with a device's name, `fe80::1%eth0`, means nothing in the container.
            Ok(address) if !address.is_loopback() && !is_link_local(address) => servers.push(text),
            _ => forward(&mut servers),
        }
    }
    if servers.is_empty() {
        forward(&mut servers);
    }
    if servers.is_empty() {
        servers.extend(PUBLIC.map(str::to_owned));
    }
    servers
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The name servers of a file.
pub(crate) fn servers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let words = words(text, &["nameserver"]);
    words.into_iter().filter_map(|word| word.parse().ok())
}

/// What is behind these keywords, in the order of the lines.
fn words(text: &str, keywords: &[&str]) -> Vec<String> {
    let value = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let is_one = keywords.contains(&words.next()?);
        let values: Vec<&str> = words
            .take_while(|word| !word.starts_with(['#', ';']))
            .collect();
        (is_one && !values.is_empty()).then(|| values.join(" "))
    };
    text.lines().filter_map(value).collect()
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded() -> Resolvers {
        Resolvers::Forwarded(vec!["10.0.2.3".parse().unwrap()])
    }

    #[test]
    fn name_servers_that_only_the_host_reaches_are_replaced() {
        let build = |host: &str| build(host, &DnsOptions::default(), &forwarded());
        assert_eq!(
            build("# note\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"),
            "nameserver 10.0.2.3\nsearch example.org\noptions edns0 trust-ad\n"
        );
        assert_eq!(
            build("nameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%eth0\n"),
            "nameserver 192.0.2.1\nnameserver 10.0.2.3\n"
        );
        assert_eq!(build(""), "nameserver 10.0.2.3\n");
    }

    #[test]
    fn what_the_user_says_comes_instead() {
        let options = DnsOptions {
            servers: vec!["192.0.2.9".parse().unwrap()],
            search: vec![".".to_owned()],
            options: vec!["ndots:2".to_owned(), "rotate".to_owned()],
            ..DnsOptions::default()
        };
        let host = "nameserver 192.0.2.1\nsearch example.org\noptions edns0\n";
        assert_eq!(
            build(host, &options, &forwarded()),
            "nameserver 192.0.2.9\noptions ndots:2 rotate\n"
        );
        let own = Resolvers::Only(vec!["10.89.0.1".parse().unwrap()]);
        assert!(build(host, &options, &own).starts_with("nameserver 10.89.0.1\noptions"));
        assert_eq!(
            build(host, &DnsOptions::default(), &own),
            "nameserver 10.89.0.1\nsearch example.org\noptions edns0\noptions ndots:0\n"
        );
    }

    #[test]
    fn of_a_stub_the_file_with_the_real_servers_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (host, upstream) = (directory.path().join("host"), directory.path().join("real"));
        fs::write(&host, "nameserver 127.0.0.53\n").unwrap();
        assert_eq!(read(&host, &upstream), "nameserver 127.0.0.53\n");
        fs::write(&upstream, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(read(&host, &upstream), "nameserver 192.0.2.1\n");
        fs::write(&host, "nameserver 192.0.2.2\n").unwrap();
        assert_eq!(read(&host, &upstream), "nameserver 192.0.2.2\n");
    }
}
