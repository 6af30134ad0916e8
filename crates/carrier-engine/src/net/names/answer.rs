//! What is answered to a question: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// How long an answer is good for, in seconds: containers come and go.
const LIFETIME: u32 = 5;

/// The longest answer by a datagram to who does not say more, RFC 1035.
const SHORT: usize = 512;

/// The longest that goes through every network in one piece.
const LONG: u16 = 1232;

/// All names, network by network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) zones: Vec<Zone>,
    /// Whom members want asked for other names, instead of the host's name servers.
    pub(crate) upstreams: BTreeMap<IpAddr, Vec<SocketAddr>>,
}

/// The names of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    /// What the network is called: `NAME.NETWORK` is known beside `NAME`.
    pub(crate) network: String,
    /// Nothing leads out of it, not even a question.
    pub(crate) internal: bool,
    /// The addresses of each name, which is in lower case.
    pub(crate) names: BTreeMap<String, BTreeSet<IpAddr>>,
    /// What each address is called first.
    pub(crate) called: BTreeMap<IpAddr, String>,
    /// Who belongs to it, by all addresses: a container that is on several networks asks for names of all of
    /// them by any.
    pub(crate) members: BTreeSet<IpAddr>,
}

impl Zone {
    /// Gives an address one more name.
    pub(crate) fn add(&mut self, name: &str, address: IpAddr) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.called.entry(address).or_insert_with(|| name.clone());
        self.names.entry(name).or_default().insert(address);
        self.members.insert(address);
    }

    fn addresses(&self, name: &str) -> Option<&BTreeSet<IpAddr>> {
        let within = || name.strip_suffix(&self.network)?.strip_suffix('.');
        self.names
            .get(name)
            .or_else(|| within().and_then(|name| self.names.get(name)))
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This is said.
    Say(Vec<u8>),
    /// Others are asked.
    Forward,
    /// It is no question.
    Nothing,
}

/// Answers `question`, which `client` has sent; `by_datagram` bounds the answer's length.
pub(crate) fn answer(
    question: &[u8],
    client: IpAddr,
    tables: &Tables,
    by_datagram: bool,
) -> Answer {
    let Ok(asked) = Message::from_vec(question) else {
        return unreadable(question);
    };
    if asked.metadata.message_type != MessageType::Query {
        return Answer::Nothing;
    }
    if asked.metadata.op_code != OpCode::Query {
        return refuse(&asked, ResponseCode::NotImp);
    }
    let [query] = asked.queries.as_slice() else {
        return refuse(&asked, ResponseCode::FormErr);
    };
    let zones: Vec<&Zone> = tables
        .zones
        .iter()
        .filter(|zone| zone.members.contains(&client))
        .collect();
    match known(query, &zones) {
        Some(records) => say(&asked, records, by_datagram),
        None if zones.iter().any(|zone| !zone.internal) => Answer::Forward,
        // Strangers are told nothing, and an internal network knows its own names only.
        None if zones.is_empty() => refuse(&asked, ResponseCode::Refused),
        None => refuse(&asked, ResponseCode::NXDomain),
    }
}

/// The failure that is told when nobody could be asked.
pub(crate) fn failure(question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    match refuse(&asked, ResponseCode::ServFail) {
        Answer::Say(bytes) => Some(bytes),
        Answer::Forward | Answer::Nothing => None,
    }
}

/// The records of a name that one of the zones has; none of a type that a container never has.
fn known(query: &Query, zones: &[&Zone]) -> Option<Vec<Record>> {
    if query.query_class() != DNSClass::IN {
        return None;
    }
    if query.query_type() == RecordType::PTR {
        return name_of(query, zones);
    }
    let name = query.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let found: Vec<&BTreeSet<IpAddr>> = zones
        .iter()
        .filter_map(|zone| zone.addresses(name))
        .collect();
    if found.is_empty() {
        return None;
    }
    let data = |address: &IpAddr| match (address, query.query_type()) {
        (IpAddr::V4(ip), RecordType::A | RecordType::ANY) => Some(RData::A(A(*ip))),
        (IpAddr::V6(ip), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(*ip))),
        _ => None,
    };
    let addresses: BTreeSet<&IpAddr> = found.into_iter().flatten().collect();
    let records = addresses.into_iter().filter_map(data);
    Some(
        records
            .map(|data| Record::from_rdata(query.name().clone(), LIFETIME, data))
            .collect(),
    )
}

/// The name of a container's address.
fn name_of(query: &Query, zones: &[&Zone]) -> Option<Vec<Record>> {
    let network = query.name().parse_arpa_name().ok()?;
    let address = network.addr();
    let is_one = match address {
        IpAddr::V4(_) => network.prefix_len() == 32,
        IpAddr::V6(_) => network.prefix_len() == 128,
    };
    let mut names = zones.iter().filter_map(|zone| zone.called.get(&address));
    let name = names.next().filter(|_| is_one)?;
    let name = Name::from_ascii(format!("{name}.")).ok()?;
    let data = RData::PTR(PTR(name));
    Some(vec![Record::from_rdata(
        query.name().clone(),
        LIFETIME,
        data,
    )])
}

fn say(asked: &Message, mut records: Vec<Record>, by_datagram: bool) -> Answer {
    // Clients take the first address: each shall have its turn.
    let first = usize::from(asked.metadata.id).checked_rem(records.len());
    records.rotate_left(first.unwrap_or_default());
    let mut message = reply(asked, ResponseCode::NoError);
    message.metadata.authoritative = true;
    message.insert_answers(records);
    let most = match &asked.edns {
        Some(edns) => usize::from(edns.max_payload()).clamp(SHORT, LONG.into()),
        None => SHORT,
    };
    match message.to_vec() {
        Ok(bytes) if !by_datagram || bytes.len() <= most => Answer::Say(bytes),
        Ok(_) => match message.truncate().to_vec() {
            Ok(bytes) => Answer::Say(bytes),
            Err(_) => Answer::Nothing,
        },
        Err(_) => Answer::Nothing,
    }
}

fn refuse(asked: &Message, code: ResponseCode) -> Answer {
    match reply(asked, code).to_vec() {
        Ok(bytes) => Answer::Say(bytes),
        Err(_) => Answer::Nothing,
    }
}

fn reply(asked: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(asked.metadata.id, asked.metadata.op_code);
    message.metadata.response_code = code;
    message.metadata.recursion_desired = asked.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(asked.queries.iter().cloned());
    if asked.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LONG);
        message.set_edns(edns);
    }
    message
}

/// A message whose head at least can be read is answered that it is malformed.
fn unreadable(question: &[u8]) -> Answer {
    let [first, second, flags, ..] = question else {
        return Answer::Nothing;
    };
    let is_response = flags & 0x80 != 0;
    if is_response || question.len() < 12 {
        return Answer::Nothing;
    }
    let id = u16::from_be_bytes([*first, *second]);
    match Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec() {
        Ok(bytes) => Answer::Say(bytes),
        Err(_) => Answer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let mut front = Zone {
            network: "front".to_owned(),
            ..Zone::default()
        };
        front.add("Web", "10.89.0.5".parse().unwrap());
        front.add("web", "fd00::5".parse().unwrap());
        front.add("db", "10.89.0.6".parse().unwrap());
        let mut back = Zone {
            network: "back".to_owned(),
            internal: true,
            ..Zone::default()
        };
        back.add("secret", "10.90.0.7".parse().unwrap());
        for number in 0..60 {
            back.add("many", IpAddr::from([10, 90, 1, number]));
        }
        Tables {
            zones: vec![front, back],
            ..Tables::default()
        }
    }

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        let name = Name::from_ascii(format!("{name}.")).unwrap();
        message.add_query(Query::query(name, kind));
        message.metadata.recursion_desired = true;
        message.to_vec().unwrap()
    }

    fn ask(client: &str, name: &str, kind: RecordType) -> String {
        let question = question(name, kind);
        match answer(&question, client.parse().unwrap(), &tables(), true) {
            Answer::Forward => "forward".to_owned(),
            Answer::Nothing => "nothing".to_owned(),
            Answer::Say(bytes) => {
                let said = Message::from_vec(&bytes).unwrap();
                assert_eq!(bytes[..2], question[..2], "the id is another one");
                if said.metadata.truncation {
                    return "truncated".to_owned();
                }
                let data = said.answers.iter().map(|record| record.data.to_string());
                let data: Vec<String> = data.collect();
                format!("{:?} {}", said.metadata.response_code, data.join(" "))
            }
        }
    }

    #[test]
    fn names_are_those_of_the_networks_of_the_one_who_asks() {
        for (client, name, kind, expected) in [
            ("10.89.0.6", "web", RecordType::A, "NoError 10.89.0.5"),
            ("10.89.0.6", "WEB", RecordType::A, "NoError 10.89.0.5"),
            ("10.89.0.6", "web.front", RecordType::A, "NoError 10.89.0.5"),
            ("10.89.0.6", "web", RecordType::AAAA, "NoError fd00::5"),
            ("10.89.0.6", "db", RecordType::AAAA, "NoError "),
            ("10.89.0.6", "db", RecordType::MX, "NoError "),
            ("10.89.0.6", "secret", RecordType::A, "forward"),
            ("10.89.0.6", "web.back", RecordType::A, "forward"),
            ("10.89.0.6", "example.org", RecordType::A, "forward"),
            ("10.90.0.7", "example.org", RecordType::A, "NXDomain "),
            ("10.90.0.7", "web", RecordType::A, "NXDomain "),
            ("10.90.0.7", "many", RecordType::A, "truncated"),
            ("192.0.2.9", "web", RecordType::A, "Refused "),
            (
                "10.89.0.6",
                "5.0.89.10.in-addr.arpa",
                RecordType::PTR,
                "NoError web.",
            ),
            (
                "10.89.0.6",
                "1.2.0.192.in-addr.arpa",
                RecordType::PTR,
                "forward",
            ),
        ] {
            assert_eq!(ask(client, name, kind), expected, "{name} for {client}");
        }
    }

    #[test]
    fn what_is_no_question_is_never_a_reason_to_fail() {
        let client = "10.89.0.6".parse().unwrap();
        let whole = question("web", RecordType::A);
        for end in 0..whole.len() {
            let cut = answer(&whole[..end], client, &tables(), true);
            assert_ne!(cut, Answer::Forward, "{end} bytes were forwarded");
        }
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << bit;
                let _ = answer(&damaged, client, &tables(), true);
            }
        }
        let mut response = whole.clone();
        response[2] |= 0x80;
        assert_eq!(answer(&response, client, &tables(), true), Answer::Nothing);
    }
}
