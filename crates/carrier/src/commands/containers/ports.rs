//! Published ports as tables show them, and `carrier port`.

use carrier_engine::{BoundPort, ContainerSummary, Engine, PortSpec};

use super::super::print;
use crate::cli::observe::PortArgs;
use crate::report::Failure;

/// The column of a table: `0.0.0.0:8080->80/tcp`, and the ports that nobody reaches.
pub(crate) fn column(container: &ContainerSummary) -> String {
    if !container.life.status.is_up() {
        return String::new();
    }
    let bound = &container.life.network.ports;
    let is_bound = |port: &&PortSpec| bound.iter().any(|it| it.target() == **port);
    let mut texts = ranges(bound);
    let open = container.exposed.iter().filter(|port| !is_bound(port));
    texts.extend(open.map(ToString::to_string));
    texts.join(", ")
}

/// One text for ports that follow each other on both sides, as in Docker.
fn ranges(bound: &[BoundPort]) -> Vec<String> {
    let mut sorted = bound.to_vec();
    sorted.sort_unstable_by_key(|it| (it.host_ip, it.protocol, it.host_port, it.container_port));
    let mut runs: Vec<(BoundPort, u16)> = Vec::new();
    for next in sorted {
        match runs.last_mut() {
            Some((first, more)) if follows(first, *more, &next) => *more += 1,
            _ => runs.push((next, 0)),
        }
    }
    let show = |(first, more): (BoundPort, u16)| {
        let range = |port: u16| match more {
            0 => port.to_string(),
            more => format!("{port}-{}", port.saturating_add(more)),
        };
        let host = address(&first, &range(first.host_port));
        let container = range(first.container_port);
        format!("{host}->{container}/{}", first.protocol.name())
    };
    runs.into_iter().map(show).collect()
}

fn follows(first: &BoundPort, more: u16, next: &BoundPort) -> bool {
    let behind = |port: u16| port.checked_add(more).and_then(|port| port.checked_add(1));
    first.host_ip == next.host_ip
        && first.protocol == next.protocol
        && behind(first.host_port) == Some(next.host_port)
        && behind(first.container_port) == Some(next.container_port)
}

fn address(bound: &BoundPort, port: &str) -> String {
    match bound.host_ip {
        std::net::IpAddr::V4(ip) => format!("{ip}:{port}"),
        std::net::IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// `carrier port`
pub(crate) fn port(args: &PortArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let record = engine.container(&args.container)?;
    let bound = engine.life(&record)?.network.ports;
    let whole = |it: &BoundPort| address(it, &it.host_port.to_string());
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

    fn bound(ip: &str, host: u16, container: u16) -> BoundPort {
        BoundPort {
            host_ip: ip.parse().unwrap(),
            host_port: host,
            container_port: container,
            protocol: carrier_engine::Protocol::Tcp,
        }
    }

    #[test]
    fn ports_that_follow_each_other_are_one_text() {
        let ports = [
            bound("::", 8001, 81),
            bound("0.0.0.0", 8001, 81),
            bound("0.0.0.0", 8000, 80),
            bound("::", 8000, 80),
            bound("0.0.0.0", 9000, 82),
            bound("127.0.0.1", 70, 70),
        ];
        assert_eq!(
            ranges(&ports),
            [
                "0.0.0.0:8000-8001->80-81/tcp",
                "0.0.0.0:9000->82/tcp",
                "127.0.0.1:70->70/tcp",
                "[::]:8000-8001->80-81/tcp"
            ]
        );
    }
}
