//! What may pass between networks and to the outside: a table of nf_tables in the shared network
//! namespace, made once, by the kernel's own messages.
//!
//! ```text
//! table inet carrier {
//!   chain forward { type filter hook forward priority 0; policy drop;
//!     ct state established,related accept
//!     iifname "br-*" oifname UPLINK accept }           # but not from internal networks, "bi-*"
//!   chain input { type filter hook input priority 0; policy drop;
//!     ct state established,related accept
//!     iifname "lo" accept
//!     meta l4proto icmp accept
//!     meta l4proto ipv6-icmp accept
//!     iifname "br-*" udp dport 53 accept                # the name server, and nothing else
//!     iifname "br-*" tcp dport 53 accept
//!     … the same two for "bi-*" }
//!   chain postrouting { type nat hook postrouting priority 100;
//!     oifname UPLINK masquerade }
//! }
//! ```

use std::io;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};

/// How names of bridges begin that lead out.
pub(super) const OPEN: &str = "br-";
/// How names of bridges begin that do not.
pub(super) const INTERNAL: &str = "bi-";

const TABLE: &str = "carrier";

/// An answer holds the message that it is about.
const LONGEST: usize = 16 * 1024;

/// `enum nft_registers`
const VERDICT: u32 = 0;
const REGISTER: u32 = 1;

/// `NF_INET_*`, linux/netfilter.h
mod hook {
    pub(super) const INPUT: u32 = 1;
    pub(super) const FORWARD: u32 = 2;
    pub(super) const POSTROUTING: u32 = 4;
}

const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// Message types of linux/netfilter/nfnetlink.h and nf_tables.h.
mod kind {
    const SUBSYSTEM: u16 = 10 << 8;
    pub(super) const BATCH_BEGIN: u16 = 0x10;
    pub(super) const BATCH_END: u16 = 0x11;
    pub(super) const NEW_TABLE: u16 = SUBSYSTEM;
    pub(super) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
    pub(super) const NEW_RULE: u16 = SUBSYSTEM | 6;
}

/// Makes the table in the network namespace that the caller is in; `uplink` is the device that leads
/// out.
///
/// # Errors
/// `EOPNOTSUPP` or `ENOENT` where the kernel has no nf_tables, `EPERM` where it allows none.
pub(super) fn install(uplink: &str) -> io::Result<()> {
    let protocol = Some(rustix::net::netlink::NETFILTER);
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket = socket_with(family, SocketType::RAW, flags, protocol)?;
    let (batch, last) = batch(uplink);
    rustix::net::send(&socket, &batch, SendFlags::empty())?;
    // The kernel answers whatever went wrong, then the last message.
    let mut answer = vec![0; LONGEST];
    loop {
        let length = match rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty()) {
            Err(Errno::INTR) => continue,
            other => other?.1,
        };
        let answer = answer.get(..length).unwrap_or_default();
        let number = |place: usize| -> Option<u32> {
            let bytes = answer.get(place..place + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        let (sequence, code) = (number(8), number(16).map(u32::cast_signed));
        match code {
            Some(0) if sequence == Some(last) => return Ok(()),
            Some(0) => {}
            Some(code) => return Err(io::Error::from_raw_os_error(code.saturating_abs())),
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Makes the table where it does nothing: in a network namespace that ends with the caller.
pub(crate) fn try_install() -> io::Result<()> {
    install("lo")
}

/// All messages, and the number of the one that the kernel answers last.
fn batch(uplink: &str) -> (Vec<u8>, u32) {
    let mut batch = Batch::default();
    batch.begin();
    let mut table = Attributes::default();
    table.text(1, TABLE);
    batch.push(kind::NEW_TABLE, &table);

    batch.chain("forward", "filter", (hook::FORWARD, 0), Some(DROP));
    batch.rule("forward", &[established(), accept()]);
    batch.rule("forward", &[from(OPEN, Whole::No), to(uplink), accept()]);

    batch.chain("input", "filter", (hook::INPUT, 0), Some(DROP));
    batch.rule("input", &[established(), accept()]);
    batch.rule("input", &[from("lo", Whole::Yes), accept()]);
    for protocol in [ICMP, ICMPV6] {
        batch.rule("input", &[protocol_is(protocol), accept()]);
    }
    for bridges in [OPEN, INTERNAL] {
        for protocol in [UDP, TCP] {
            let names = from(bridges, Whole::No);
            let rule = [names, protocol_is(protocol), port_is(53), accept()];
            batch.rule("input", &rule);
        }
    }

    batch.chain("postrouting", "nat", (hook::POSTROUTING, 100), None);
    let last = batch.rule("postrouting", &[to(uplink), masquerade()]);
    batch.end();
    (batch.bytes, last)
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Whether a name is compared with its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

fn from(name: &str, whole: Whole) -> Attributes {
    const IIFNAME: u32 = 6;
    device(IIFNAME, name, whole)
}

fn to(name: &str) -> Attributes {
    const OIFNAME: u32 = 7;
    device(OIFNAME, name, Whole::Yes)
}

fn device(key: u32, name: &str, whole: Whole) -> Attributes {
    const NAME: usize = 16;
    let mut bytes = name.as_bytes().to_vec();
    if whole == Whole::Yes {
        bytes.resize(NAME, 0);
    }
    let mut both = meta(key);
    both.append(&compare(Comparison::Equal, &bytes));
    both
}

fn protocol_is(protocol: u8) -> Attributes {
    const L4PROTO: u32 = 16;
    let mut both = meta(L4PROTO);
    both.append(&compare(Comparison::Equal, &[protocol]));
    both
}

/// The second two bytes of what both TCP and UDP begin with.
fn port_is(port: u16) -> Attributes {
    const TRANSPORT: u32 = 2;
    let mut load = Attributes::default();
    load.number(1, REGISTER);
    load.number(2, TRANSPORT);
    load.number(3, 2);
    load.number(4, 2);
    let mut both = expression("payload", &load);
    both.append(&compare(Comparison::Equal, &port.to_be_bytes()));
    both
}

fn established() -> Attributes {
    const STATE: u32 = 0;
    const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
    let mut load = Attributes::default();
    load.number(1, REGISTER);
    load.number(2, STATE);
    let mut all = expression("ct", &load);
    let mut mask = Attributes::default();
    mask.number(1, REGISTER);
    mask.number(2, REGISTER);
    mask.number(3, 4);
    mask.nested(4, &value(&ESTABLISHED_OR_RELATED.to_ne_bytes()));
    mask.nested(5, &value(&[0; 4]));
    all.append(&expression("bitwise", &mask));
    all.append(&compare(Comparison::Different, &[0; 4]));
    all
}

fn accept() -> Attributes {
    let mut code = Attributes::default();
    code.number(1, ACCEPT);
    let mut verdict = Attributes::default();
    verdict.nested(2, &code);
    let mut immediate = Attributes::default();
    immediate.number(1, VERDICT);
    immediate.nested(2, &verdict);
    expression("immediate", &immediate)
}

fn masquerade() -> Attributes {
    expression("masq", &Attributes::default())
}

fn meta(key: u32) -> Attributes {
    let mut load = Attributes::default();
    load.number(1, REGISTER);
    load.number(2, key);
    expression("meta", &load)
}

#[derive(Clone, Copy)]
enum Comparison {
    Equal = 0,
    Different = 1,
}

fn compare(how: Comparison, bytes: &[u8]) -> Attributes {
    let mut comparison = Attributes::default();
    comparison.number(1, REGISTER);
    comparison.number(2, how as u32);
    comparison.nested(3, &value(bytes));
    expression("cmp", &comparison)
}

fn value(bytes: &[u8]) -> Attributes {
    let mut value = Attributes::default();
    value.bytes(1, bytes);
    value
}

/// One element of a rule's list.
fn expression(name: &str, data: &Attributes) -> Attributes {
    let mut expression = Attributes::default();
    expression.text(1, name);
    expression.nested(2, data);
    let mut element = Attributes::default();
    element.nested(1, &expression);
    element
}

/// Attributes of netlink(7): a length, a type, and as many bytes, filled up to a multiple of four.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(&mut self, kind: u16, bytes: &[u8]) {
        let length = u16::try_from(bytes.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.bytes(kind, &[text.as_bytes(), b"\0"].concat());
    }

    /// Numbers of nf_tables are the network's.
    fn number(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &number.to_be_bytes());
    }

    fn nested(&mut self, kind: u16, inner: &Self) {
        const NESTED: u16 = 1 << 15;
        self.bytes(kind | NESTED, &inner.0);
    }

    fn append(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

/// Messages that take effect all or not at all.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn begin(&mut self) {
        self.message(kind::BATCH_BEGIN, REQUEST, (0, SUBSYSTEM), &[]);
    }

    fn end(&mut self) {
        self.message(kind::BATCH_END, REQUEST, (0, SUBSYSTEM), &[]);
    }

    fn chain(&mut self, name: &str, kind: &str, (hook, priority): (u32, u32), policy: Option<u32>) {
        let mut place = Attributes::default();
        place.number(1, hook);
        place.number(2, priority);
        let mut chain = Attributes::default();
        chain.text(1, TABLE);
        chain.text(3, name);
        chain.nested(4, &place);
        if let Some(policy) = policy {
            chain.number(5, policy);
        }
        chain.text(7, kind);
        self.push(kind::NEW_CHAIN, &chain);
    }

    fn rule(&mut self, chain: &str, expressions: &[Attributes]) -> u32 {
        let mut list = Attributes::default();
        for expression in expressions {
            list.append(expression);
        }
        let mut rule = Attributes::default();
        rule.text(1, TABLE);
        rule.text(2, chain);
        rule.nested(4, &list);
        self.push(kind::NEW_RULE, &rule)
    }

    fn push(&mut self, kind: u16, attributes: &Attributes) -> u32 {
        const INET: u8 = 1;
        let flags = REQUEST | ACKNOWLEDGE | CREATE | APPEND;
        self.message(kind, flags, (INET, 0), &attributes.0)
    }

    fn message(&mut self, kind: u16, flags: u16, (family, id): (u8, u16), rest: &[u8]) -> u32 {
        const HEADERS: usize = 16 + 4;
        self.sequence += 1;
        let length = u32::try_from(HEADERS + rest.len()).unwrap_or(u32::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(id.to_be_bytes());
        self.bytes.extend(rest);
        self.sequence
    }
}

const SUBSYSTEM: u16 = 10;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fill_the_batch_without_gaps() {
        let (bytes, last) = batch("tap0");
        let mut rest = bytes.as_slice();
        let mut kinds = Vec::new();
        while let [a, b, c, d, e, f, ..] = *rest {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            kinds.push(u16::from_ne_bytes([e, f]));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(kinds.len(), last as usize + 1);
        assert_eq!(kinds.first(), Some(&kind::BATCH_BEGIN));
        assert_eq!(kinds.last(), Some(&kind::BATCH_END));
    }
}
