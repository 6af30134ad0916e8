//! Published ports as tables show them, and `carrier port`.

use carrier_engine::{BoundPort, ContainerSummary, Engine, PortSpec};

use super::super::print;
use crate::cli::observe::PortArgs;
use crate::report::Failure;

/// A port of a container, and what leads to it where something does.
#[derive(Clone)]
struct Shown {
    container_port: u16,
    host: Option<(String, u16)>,
    protocol: &'static str,
}

/// Ports that follow each other, and are the same on the host.
struct Group {
    ip: Option<String>,
    protocol: &'static str,
    first: u16,
    last: u16,
}

/// The column of a table: `0.0.0.0:8080->80/tcp`, and the ports that nobody reaches.
pub(crate) fn column(container: &ContainerSummary) -> String {
    if !container.life.status.is_up() {
        return String::new();
    }
    let bound = &container.life.network.ports;
    let is_bound = |port: &&PortSpec| bound.iter().any(|it| it.target() == **port);
    let open = container.exposed.iter().filter(|port| !is_bound(port));
    let open = open.map(|port| Shown {
        container_port: port.port,
        host: None,
        protocol: port.protocol.name(),
    });
    let reached = bound.iter().map(|it| Shown {
        container_port: it.container_port,
        host: Some((it.host_ip.to_string(), it.host_port)),
        protocol: it.protocol.name(),
    });
    texts(reached.chain(open).collect()).join(", ")
}

/// In Docker's order: ports that are the same on both sides, as ranges where they follow each other, and
/// then the others.
fn texts(mut ports: Vec<Shown>) -> Vec<String> {
    ports.sort_by(|a, b| {
        let key = |it: &Shown| (it.container_port, it.host.clone(), it.protocol);
        key(a).cmp(&key(b))
    });
    let mut texts = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut others = Vec::new();
    for Shown {
        container_port,
        host,
        protocol,
    } in ports
    {
        let ip = match host {
            Some((ip, port)) if port != container_port => {
                let host = joined(&ip, &port.to_string());
                others.push(format!("{host}->{container_port}/{protocol}"));
                continue;
            }
            host => host.map(|(ip, _)| ip),
        };
        let is_same = |group: &&mut Group| (&group.ip, group.protocol) == (&ip, protocol);
        match groups.iter_mut().find(is_same) {
            Some(group) if group.last.checked_add(1) == Some(container_port) => {
                group.last = container_port;
            }
            Some(group) => {
                texts.push(group.text());
                (group.first, group.last) = (container_port, container_port);
            }
            None => groups.push(Group {
                ip,
                protocol,
                first: container_port,
                last: container_port,
            }),
        }
    }
    texts.extend(groups.iter().map(Group::text));
    texts.extend(others);
    texts
}

impl Group {
    fn text(&self) -> String {
        let range = match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}-{}", self.first, self.last),
        };
        match &self.ip {
            Some(ip) => format!("{}->{range}/{}", joined(ip, &range), self.protocol),
            None => format!("{range}/{}", self.protocol),
        }
    }
}

fn joined(ip: &str, port: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

/// `carrier port`
pub(crate) fn port(args: &PortArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let record = engine.container(&args.container)?;
    let bound = engine.life(&record)?.network.ports;
    let whole = |it: &BoundPort| joined(&it.host_ip.to_string(), &it.host_port.to_string());
    let Some(text) = &args.port else {
        let line = |it: &BoundPort| format!("{} -> {}\n", it.target(), whole(it));
        print(&bound.iter().map(line).collect::<String>())?;
        return Ok(0);
    };
    let wanted: PortSpec = text.parse().map_err(|_| {
        let hint = "ports look like 80, 80/tcp or 53/udp";
        Failure::with_hint(format!("invalid port ({text})"), hint)
    })?;
    let found: Vec<&BoundPort> = bound.iter().filter(|it| it.target() == wanted).collect();
    if found.is_empty() {
        return Err(Failure::with_hint(
            format!("no public port '{wanted}' published for {}", record.name),
            "`carrier port` without a port lists those that are",
        ));
    }
    let lines = found.into_iter().map(|it| format!("{}\n", whole(it)));
    print(&lines.collect::<String>())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(port: u16, host: Option<(&str, u16)>) -> Shown {
        Shown {
            container_port: port,
            host: host.map(|(ip, port)| (ip.to_owned(), port)),
            protocol: "tcp",
        }
    }

    #[test]
    fn ports_are_in_dockers_order_and_ranges() {
        let ports = vec![
            shown(81, Some(("::", 81))),
            shown(443, None),
            shown(81, Some(("0.0.0.0", 81))),
            shown(80, Some(("0.0.0.0", 80))),
            shown(80, Some(("::", 80))),
            shown(90, Some(("0.0.0.0", 9000))),
            shown(70, Some(("127.0.0.1", 70))),
            shown(82, Some(("0.0.0.0", 9001))),
            shown(85, Some(("0.0.0.0", 85))),
            shown(90, Some(("::", 9000))),
        ];
        assert_eq!(
            texts(ports),
            [
                "0.0.0.0:80-81->80-81/tcp",
                "127.0.0.1:70->70/tcp",
                "0.0.0.0:85->85/tcp",
                "[::]:80-81->80-81/tcp",
                "443/tcp",
                "0.0.0.0:9001->82/tcp",
                "0.0.0.0:9000->90/tcp",
                "[::]:9000->90/tcp",
            ]
        );
    }
}
