//! `/etc/hosts` of a container, hosts(5).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::options::{ExtraHost, HostAddress};

/// Names that mean the host, Docker's and Podman's.
const HOST_NAMES: &str = "host.docker.internal host.containers.internal";

const LOCAL: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    ff00::0\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// What the names in the file mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The container's addresses.
    pub(crate) own: Vec<IpAddr>,
    /// Where the container reaches the host, if it does.
    pub(crate) host: Option<IpAddr>,
}

/// The local names.
pub(crate) fn local() -> String {
    LOCAL.to_owned()
}

/// What comes behind them: the names of the host, those that the user gives, and the container's own.
pub(crate) fn lines(names: &Names, extra: &[ExtraHost], own: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for host in extra {
        let address = match host.address {
            HostAddress::Ip(address) => Some(address),
            HostAddress::Gateway => names.host,
        };
        if let Some(address) = address {
            let _ = writeln!(text, "{address}\t{}", host.names.join(" "));
        }
    }
    let given = |name: &&str| {
        let mut all = extra.iter().flat_map(|host| &host.names);
        !all.any(|given| given == name)
    };
    let left: Vec<&str> = HOST_NAMES.split(' ').filter(given).collect();
    if let (Some(address), false) = (names.host, left.is_empty()) {
        let _ = writeln!(text, "{address}\t{}", left.join(" "));
    }
    for address in &names.own {
        let _ = writeln!(text, "{address}\t{own}");
    }
    text
}

/// The address that the host sends with when it talks to others; nothing where it talks to nobody.
pub(crate) fn address_of_host() -> Option<IpAddr> {
    // Connecting a socket for datagrams sends none.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().as_ref().map(SocketAddr::ip).ok()?;
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_user_come_first_and_win() {
        let names = Names {
            own: vec!["10.0.2.100".parse().unwrap()],
            host: Some("10.0.2.2".parse().unwrap()),
        };
        let extra = ["db:192.0.2.7", "host.docker.internal:host-gateway"];
        let extra: Vec<ExtraHost> = extra.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            lines(&names, &extra, "web"),
            "192.0.2.7\tdb\n\
             10.0.2.2\thost.docker.internal\n\
             10.0.2.2\thost.containers.internal\n\
             10.0.2.100\tweb\n"
        );
        assert_eq!(lines(&Names::default(), &[], "web"), "");
    }
}
