//! The command lines of the programs: pure, so that a test can read them.

use super::{Addresses, DEVICE, PastaOptions, Program, SlirpOptions, UplinkPlan};

/// Descriptors of the program, by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The container's network namespace.
    pub(super) namespace: i32,
    /// Something is written to it once the program carries packets.
    pub(super) ready: i32,
    /// Its end is the program's.
    pub(super) exit: i32,
}

/// The words behind the program's name.
pub(super) fn words(plan: &UplinkPlan, numbers: Numbers) -> Vec<String> {
    match &plan.program {
        Program::Slirp4netns(options) => slirp4netns(plan, options, numbers),
        Program::Pasta(options) => pasta(plan, options, numbers),
    }
}

fn slirp4netns(plan: &UplinkPlan, options: &SlirpOptions, numbers: Numbers) -> Vec<String> {
    let mut words = vec![
        format!("--ready-fd={}", numbers.ready),
        format!("--exit-fd={}", numbers.exit),
        format!("--mtu={}", plan.mtu),
        "--enable-sandbox".to_owned(),
        "--enable-seccomp".to_owned(),
    ];
    if !plan.allows_loopback {
        words.push("--disable-host-loopback".to_owned());
    }
    if let Some((first, length)) = options.cidr {
        words.push(format!("--cidr={first}/{length}"));
    }
    if plan.addresses.six.is_some() {
        words.push("--enable-ipv6".to_owned());
    }
    if let Some(address) = &options.outbound_addr {
        words.push(format!("--outbound-addr={address}"));
    }
    if let Some(address) = &options.outbound_addr6 {
        words.push(format!("--outbound-addr6={address}"));
    }
    words.push("--netns-type=path".to_owned());
    words.push(format!("/proc/self/fd/{}", numbers.namespace));
    words.push(DEVICE.to_owned());
    words
}

fn pasta(plan: &UplinkPlan, options: &PastaOptions, numbers: Numbers) -> Vec<String> {
    let Addresses {
        ip,
        gateway,
        dns,
        six,
        ..
    } = plan.addresses;
    let mut words: Vec<String> = [
        "--foreground",
        "--quiet",
        "--netns-only",
        // Its splicing would lead around the container's routes.
        "--tcp-ports=none",
        "--udp-ports=none",
        "--tcp-ns=none",
        "--udp-ns=none",
        // Carrier has configured the device.
        "--no-dhcp",
        "--no-dhcpv6",
        "--no-ra",
    ]
    .map(str::to_owned)
    .to_vec();
    if !plan.allows_loopback {
        words.push("--no-map-gw".to_owned());
    }
    let mut add = |option: &str, value: String| words.push(format!("{option}={value}"));
    add("--mtu", plan.mtu.to_string());
    add("--ns-ifname", DEVICE.to_owned());
    add("--ns-mac-addr", plan.addresses.mac().to_string());
    add("--address", ip.0.to_string());
    add("--netmask", ip.1.to_string());
    add("--gateway", gateway.to_string());
    add("--dns-forward", dns.to_string());
    match six {
        Some(six) => {
            add("--address", six.ip.0.to_string());
            add("--gateway", six.gateway.to_string());
            add("--dns-forward", six.dns.to_string());
        }
        None => words.push("--ipv4-only".to_owned()),
    }
    words.extend(options.passed().cloned());
    words.push(format!("--pid=/proc/self/fd/{}", numbers.ready));
    words.push(format!("--netns=/proc/self/fd/{}", numbers.namespace));
    words
}
