//! How containers reach others, and others them.

use std::fs::File;
use std::io;

use super::finding::{Check, Finding};
use super::remedy::{Package, Remedy, install, sysctl};
use super::trial;
use super::view::View;

const ALONE: &str =
    "containers reach nobody, and publish no port: only --network none and host work";

pub(super) fn tun(view: &View) -> Finding {
    let check = Check::Tun;
    let path = view.path("dev/net/tun");
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Finding::ok(check, "/dev/net/tun can be opened"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::failed(
            check,
            "there is no /dev/net/tun",
            ALONE,
            Remedy::Root("modprobe tun && echo tun >>/etc/modules-load.d/carrier.conf".to_owned()),
        ),
        Err(error) => Finding::failed(
            check,
            format!("/dev/net/tun cannot be opened ({})", trial::words(&error)),
            ALONE,
            Remedy::Root("chmod 666 /dev/net/tun".to_owned()),
        ),
    }
}

pub(super) fn uplink(view: &View) -> Finding {
    match (view.find("slirp4netns"), view.find("pasta")) {
        (Ok(path), _) | (_, Ok(path)) => Finding::ok(Check::Uplink, path.display().to_string()),
        (Err(found), Err(_)) => missing(view, found, "slirp4netns"),
    }
}

fn missing(view: &View, found: String, package: &'static str) -> Finding {
    Finding::failed(
        Check::Uplink,
        found,
        ALONE,
        install(view, Package::Same(package)),
    )
}

/// What is said where one of the programs was wanted and cannot be used.
pub(crate) fn no_uplink(program: &str) -> String {
    let view = View::of_host();
    let device = tun(&view);
    if device.is_wrong() {
        return device.line();
    }
    let (program, package) = match program {
        "pasta" => ("pasta", "passt"),
        _ => ("slirp4netns", "slirp4netns"),
    };
    let found = match view.find(program) {
        Err(found) => found,
        Ok(path) => format!("{} does not work", path.display()),
    };
    missing(&view, found, package).line()
}

/// `nf_tables` with what networks of the user need.
pub(super) fn filter(view: &View) -> Finding {
    let check = Check::Filter;
    match trial::filter(view) {
        None => Finding::skipped(check, "it was not tried"),
        Some(Ok(())) => Finding::ok(check, "networks of the user can be made"),
        Some(Err(error)) => no_table(&error),
    }
}

fn no_table(error: &str) -> Finding {
    Finding::warning(
        Check::Filter,
        format!("the kernel makes no table of nf_tables with NAT ({error})"),
        "containers cannot be on networks of the user; --network private needs none of it",
        Remedy::Root("modprobe -a nf_tables nft_masq nft_chain_nat".to_owned()),
    )
}

/// What is said where a table was refused.
pub(crate) fn no_filter(error: &io::Error) -> String {
    no_table(&trial::words(error)).line()
}

const PORTS: &str = "net.ipv4.ip_unprivileged_port_start";

pub(super) fn low_ports(view: &View) -> Finding {
    const WEB: u16 = 80;
    match view.number(PORTS) {
        None => Finding::skipped(Check::LowPorts, "the kernel does not say which are root's"),
        Some(_) if view.is_root() => Finding::ok(Check::LowPorts, "root has them all"),
        Some(first) if first > u64::from(WEB) => root_s(first, WEB),
        Some(first) => Finding::ok(
            Check::LowPorts,
            format!("you may publish ports from {first} on"),
        ),
    }
}

fn root_s(first: u64, wanted: u16) -> Finding {
    Finding::warning(
        Check::LowPorts,
        format!("ports below {first} are root's"),
        format!(
            "`-p {wanted}:{wanted}` is refused; choose a higher one, or let everybody have them"
        ),
        sysctl(PORTS, &wanted.to_string()),
    )
}

/// What is said where port `port` was refused.
pub(crate) fn low_port(port: u16) -> String {
    let first = View::of_host().number(PORTS).unwrap_or(1024);
    root_s(first, port).line()
}

pub(super) fn ping(view: &View) -> Finding {
    const NAME: &str = "net.ipv4.ping_group_range";
    let check = Check::Ping;
    let Some(range) = view.sysctl(NAME) else {
        return Finding::skipped(check, "the kernel has no sockets for it");
    };
    let mut ends = range.split_whitespace().map(str::parse::<u32>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
        return Finding::skipped(check, format!("{NAME} is {range:?}"));
    };
    let mine = |gid: u32| (first..=last).contains(&gid);
    let others = || rustix::process::getgroups().unwrap_or_default();
    if mine(view.caller.gid) || (view.is_host && others().iter().any(|gid| mine(gid.as_raw()))) {
        return Finding::ok(check, "containers may ping");
    }
    Finding::warning(
        check,
        format!(
            "the sysctl {NAME} is {first} {last}, without your group {}",
            view.caller.gid
        ),
        "pings of containers to the outside are not answered",
        sysctl(NAME, "0 2147483647"),
    )
}
