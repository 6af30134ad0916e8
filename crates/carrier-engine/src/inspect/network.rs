//! `NetworkSettings`: how the container is connected, and the parts of `Config` and `HostConfig` that
//! say how it shall be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::life::Life;
use crate::net::{
    Attachment, Endpoint, ExtraHost, HostAddress, NetworkMode, NetworkState, PortMapping, PortSpec,
};
use crate::record::ContainerRecord;

pub(super) fn describe(record: &ContainerRecord, life: &Life) -> Value {
    let state = &life.network;
    let connections = connections(record, state);
    let networks: Map<String, Value> = connections
        .iter()
        .map(|(endpoint, attachment)| {
            let mut described = describe_endpoint(record, endpoint);
            if let (Some(attachment), Some(fields)) = (attachment, described.as_object_mut()) {
                fields.extend(asked_for(record, attachment));
            }
            (endpoint.network.clone(), described)
        })
        .collect();
    let nothing = Endpoint::default();
    let first = connections.first().map_or(&nothing, |(first, _)| first);
    json!({
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": ports(record, life),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": first.id_for(record.id.as_str()),
        "Gateway": text(first.gateway),
        "GlobalIPv6Address": text(first.ip6.map(|(ip, _)| ip)),
        "GlobalIPv6PrefixLen": first.ip6.map_or(0, |(_, length)| length),
        "IPAddress": text(first.ip.map(|(ip, _)| ip)),
        "IPPrefixLen": first.ip.map_or(0, |(_, length)| length),
        "IPv6Gateway": text(first.gateway6),
        "MacAddress": text(first.mac),
        "Networks": networks,
        "Uplink": uplink(state),
    })
}

/// The networks that the container is to be on, with its addresses there while it has them.
fn connections<'a>(
    record: &'a ContainerRecord,
    state: &NetworkState,
) -> Vec<(Endpoint, Option<&'a Attachment>)> {
    if let NetworkMode::Bridge(attachments) = &record.network {
        let connection = |attachment: &'a Attachment| {
            let mut endpoints = state.endpoints.iter();
            let endpoint = endpoints.find(|endpoint| endpoint.id == attachment.id);
            let none = || Endpoint {
                network: attachment.network.clone(),
                id: attachment.id.clone(),
                mac: attachment.mac,
                ..Endpoint::default()
            };
            (endpoint.cloned().unwrap_or_else(none), Some(attachment))
        };
        return attachments.iter().map(connection).collect();
    }
    if state.endpoints.is_empty() {
        let endpoint = Endpoint {
            network: record.network.name(),
            ..Endpoint::default()
        };
        return vec![(endpoint, None)];
    }
    let endpoints = state.endpoints.iter().cloned();
    endpoints.map(|endpoint| (endpoint, None)).collect()
}

/// What is said about a container's connection to a network, whether it runs or not.
fn asked_for(record: &ContainerRecord, attachment: &Attachment) -> Map<String, Value> {
    let addresses = [
        ("IPv4Address", attachment.ip.map(IpAddr::from)),
        ("IPv6Address", attachment.ip6.map(IpAddr::from)),
    ];
    let addresses = addresses.into_iter();
    let addresses: Map<String, Value> = addresses
        .filter_map(|(name, address)| Some((name.to_owned(), address?.to_string().into())))
        .collect();
    let aliases = &attachment.aliases;
    let mut names = vec![record.name.to_string()];
    names.extend(aliases.iter().cloned());
    names.push(record.id.short().to_owned());
    let some = |is_none: bool, value: Value| if is_none { Value::Null } else { value };
    let fields = [
        ("IPAMConfig", some(addresses.is_empty(), addresses.into())),
        ("Aliases", some(aliases.is_empty(), json!(aliases))),
        ("DNSNames", json!(names)),
    ];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Carrier's own: who carries the packets, and whether somebody still does.
fn uplink(state: &NetworkState) -> Value {
    if state.uplink.is_none() && state.failed.is_none() {
        return Value::Null;
    }
    json!({
        "Program": state.uplink.as_deref().unwrap_or_default(),
        "Status": if state.failed.is_some() { "failed" } else { "running" },
        "Error": state.failed.as_deref().unwrap_or_default(),
    })
}

fn describe_endpoint(record: &ContainerRecord, endpoint: &Endpoint) -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "MacAddress": text(endpoint.mac),
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": endpoint.id,
        "EndpointID": endpoint.id_for(record.id.as_str()),
        "Gateway": text(endpoint.gateway),
        "IPAddress": text(endpoint.ip.map(|(ip, _)| ip)),
        "IPPrefixLen": endpoint.ip.map_or(0, |(_, length)| length),
        "IPv6Gateway": text(endpoint.gateway6),
        "GlobalIPv6Address": text(endpoint.ip6.map(|(ip, _)| ip)),
        "GlobalIPv6PrefixLen": endpoint.ip6.map_or(0, |(_, length)| length),
        "DNSNames": null,
    })
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Where each port leads from, while the container runs; null for those that nobody reaches.
fn ports(record: &ContainerRecord, life: &Life) -> BTreeMap<String, Value> {
    if !life.status.is_up() {
        return BTreeMap::new();
    }
    let exposed = record.networking.exposed.iter();
    let mut ports: BTreeMap<String, Value> = exposed
        .map(|port| (port.to_string(), Value::Null))
        .collect();
    for bound in &life.network.ports {
        let binding = json!({
            "HostIp": bound.host_ip.to_string(),
            "HostPort": bound.host_port.to_string(),
        });
        add(&mut ports, bound.target(), binding);
    }
    ports
}

fn add(ports: &mut BTreeMap<String, Value>, port: PortSpec, binding: Value) {
    match ports.entry(port.to_string()).or_insert(Value::Null) {
        Value::Array(bindings) => bindings.push(binding),
        other => *other = Value::Array(vec![binding]),
    }
}

/// `HostConfig`: what was asked for.
pub(super) fn host_config(record: &ContainerRecord) -> Value {
    let options = &record.networking;
    let mut bindings = BTreeMap::new();
    for mapping in &options.publish {
        let range = mapping.host_ports;
        let port = if range.is_any() {
            String::new()
        } else if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}-{}", range.first, range.last)
        };
        let binding = json!({ "HostIp": text(mapping.host_ip), "HostPort": port });
        add(&mut bindings, mapping.target(), binding);
    }
    let hosts: Vec<String> = options.hosts.iter().flat_map(host_lines).collect();
    json!({
        "NetworkMode": record.network.name(),
        "PortBindings": bindings,
        "PublishAllPorts": options.publish_all,
        "Dns": options.dns.servers.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        "DnsOptions": options.dns.options,
        "DnsSearch": options.dns.search,
        "ExtraHosts": if hosts.is_empty() { Value::Null } else { json!(hosts) },
    })
}

fn host_lines(host: &ExtraHost) -> Vec<String> {
    let address = match host.address {
        HostAddress::Ip(address) => address.to_string(),
        HostAddress::Gateway => "host-gateway".to_owned(),
    };
    let names = host.names.iter();
    names.map(|name| format!("{name}:{address}")).collect()
}

/// `Config.ExposedPorts`.
pub(super) fn exposed(record: &ContainerRecord) -> Option<Value> {
    let ports = exposed_ports(record).map(|port| (port.to_string(), json!({})));
    let ports: Map<String, Value> = ports.collect();
    (!ports.is_empty()).then_some(Value::Object(ports))
}

/// What the image or the user names, and what is published.
pub(crate) fn exposed_ports(record: &ContainerRecord) -> impl Iterator<Item = PortSpec> {
    let options = &record.networking;
    let published = options.publish.iter().map(PortMapping::target);
    options.exposed.iter().copied().chain(published)
}
