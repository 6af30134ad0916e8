//! Networks, ports and names of a command line.

use carrier_engine::{
    Attachment, DnsOptions, ExtraHost, HostsFile, NetworkError, NetworkMode, NetworkOptions,
    PortMapping, PortSpec,
};

use crate::cli::NetworkArgs;
use crate::report::Failure;

const PORT_HINT: &str = "ports are [[IP:][HOST]:]CONTAINER[/tcp|udp]: 8080:80, 127.0.0.1:5353:53/udp, \
                         [::1]:8000-8010:8000-8010";

pub(super) fn mode(args: &NetworkArgs) -> Result<NetworkMode, Failure> {
    let mut mode = NetworkMode::parse(&args.network).map_err(failure)?;
    let wish = Attachment {
        aliases: args.network_alias.clone(),
        ip: args
            .ip
            .as_deref()
            .map(|text| address(text, "ip"))
            .transpose()?,
        ip6: args
            .ip6
            .as_deref()
            .map(|text| address(text, "ip6"))
            .transpose()?,
        mac: args
            .mac_address
            .as_deref()
            .map(|text| address(text, "mac-address"))
            .transpose()?,
        ..Attachment::default()
    };
    mode.wish(wish).map_err(failure)?;
    Ok(mode)
}

pub(super) fn options(args: &NetworkArgs) -> Result<NetworkOptions, Failure> {
    let mut publish = Vec::new();
    for text in &args.publish {
        let ports = PortMapping::parse(text);
        publish.extend(ports.map_err(|error| Failure::with_hint(error, PORT_HINT))?);
    }
    let mut exposed = Vec::new();
    for text in &args.expose {
        let ports = PortSpec::parse_range(text);
        exposed.extend(ports.map_err(|error| Failure::with_hint(error, PORT_HINT))?);
    }
    let hosts = args.add_host.iter().map(|text| text.parse::<ExtraHost>());
    Ok(NetworkOptions {
        publish,
        publish_all: args.publish_all,
        exposed,
        dns: DnsOptions::parse(&args.dns, &args.dns_search, &args.dns_option).map_err(failure)?,
        hosts: hosts.collect::<Result<_, _>>().map_err(failure)?,
        hosts_file: hosts_file(args)?,
        no_hostname: args.no_hostname,
        domainname: args.domainname.clone().unwrap_or_default(),
    })
}

fn failure(error: NetworkError) -> Failure {
    carrier_engine::Error::from(error).into()
}

fn address<T: std::str::FromStr>(text: &str, option: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| {
        Failure::with_hint(
            format!("--{option}: {text:?} is no such address"),
            "addresses look like 10.89.0.5, fd00::5 and 02:42:0a:59:00:05",
        )
    })
}

fn hosts_file(args: &NetworkArgs) -> Result<HostsFile, Failure> {
    if args.no_hosts {
        if !args.add_host.is_empty() {
            return Err(Failure::with_hint(
                "conflicting options: --no-hosts and --add-host",
                "leave one of them out",
            ));
        }
        return Ok(HostsFile::Untouched);
    }
    Ok(match args.hosts_file.as_deref() {
        None | Some("" | "none") => HostsFile::Generated,
        Some("image") => HostsFile::Image,
        Some(path) => HostsFile::File(super::absolute(path)?),
    })
}
