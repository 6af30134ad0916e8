//! The name server of the networks: on the gateway of each it answers what containers are called, and
//! asks others for the rest. By datagrams only: nobody can keep it busy with connections (threat W-05).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

const PORT: u16 = 53;

/// How long an answer may be kept, in seconds: a container that is started again may have another
/// address.
const LIFETIME: u32 = 5;

/// Longest datagram that is passed on; more than programs ask for.
const LONGEST: usize = 4096;

/// How many questions wait for others at the same time; of more, the oldest get no answer.
const MOST: usize = 256;

/// How long others have for an answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// Who knows what containers are called.
pub(super) trait Directory {
    /// The addresses of `name`, for the container that asks from `source` on `network`; nothing where
    /// no container is called so.
    fn addresses(&self, network: &str, source: IpAddr, name: &str) -> Option<Vec<IpAddr>>;

    /// What the container with this address is called.
    fn name_of(&self, network: &str, source: IpAddr, address: IpAddr) -> Option<String>;

    /// Who is asked for other names; nobody where a container is to reach nobody outside.
    fn upstream(&self, network: &str, source: IpAddr) -> Option<IpAddr>;
}

/// The sockets of the server.
#[derive(Debug, Default)]
pub(super) struct NameServer {
    /// Of each network, by its id.
    sockets: BTreeMap<String, Vec<UdpSocket>>,
    waiting: Vec<Waiting>,
}

/// A question that was passed on.
#[derive(Debug)]
struct Waiting {
    socket: UdpSocket,
    network: String,
    client: SocketAddr,
    until: Instant,
}

/// Something that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Questions on a network, and the place of the socket among that network's.
    Questions(String, usize),
    /// An answer of others.
    Answer(usize),
}

impl NameServer {
    /// Begins to answer on a network.
    ///
    /// # Errors
    /// Those of bind(2).
    pub(super) fn listen(&mut self, network: &str, gateways: &[IpAddr]) -> io::Result<()> {
        let open = |address: &IpAddr| {
            let socket = UdpSocket::bind((*address, PORT))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let sockets: io::Result<Vec<UdpSocket>> = gateways.iter().map(open).collect();
        self.sockets.insert(network.to_owned(), sockets?);
        Ok(())
    }

    /// Does not answer there any more.
    pub(super) fn leave(&mut self, network: &str) {
        self.sockets.remove(network);
    }

    /// All that can become readable.
    pub(super) fn fds(&self) -> impl Iterator<Item = (Place, BorrowedFd<'_>)> {
        let questions = self.sockets.iter().flat_map(|(network, sockets)| {
            let places = sockets.iter().enumerate();
            places.map(|(place, socket)| (Place::Questions(network.clone(), place), socket.as_fd()))
        });
        let answers = self.waiting.iter().enumerate();
        questions.chain(answers.map(|(place, it)| (Place::Answer(place), it.socket.as_fd())))
    }

    /// Reads what has come. A datagram that makes no sense, or that cannot be sent, is lost as it might
    /// have been on its way.
    pub(super) fn serve(&mut self, ready: &[Place], directory: &dyn Directory) {
        // Places do not change before all answers are read.
        let mut answered = Vec::new();
        for place in ready {
            if let Place::Answer(place) = place {
                self.pass_back(*place);
                answered.push(*place);
            }
        }
        let now = Instant::now();
        let mut place = 0;
        self.waiting.retain(|waiting| {
            let is_done = answered.contains(&place) || waiting.until <= now;
            place += 1;
            !is_done
        });
        for place in ready {
            if let Place::Questions(network, place) = place {
                self.hear(network, *place, directory);
            }
        }
    }

    fn pass_back(&self, place: usize) {
        let mut buffer = [0; LONGEST];
        let Some(waiting) = self.waiting.get(place) else {
            return;
        };
        let Ok(length) = waiting.socket.recv(&mut buffer) else {
            return;
        };
        let mut sockets = self.sockets.get(&waiting.network).into_iter().flatten();
        let version = waiting.client.is_ipv4();
        let is_its = |socket: &&UdpSocket| {
            socket
                .local_addr()
                .is_ok_and(|local| local.is_ipv4() == version)
        };
        if let (Some(socket), Some(bytes)) = (sockets.find(is_its), buffer.get(..length)) {
            let _ = socket.send_to(bytes, waiting.client);
        }
    }

    fn hear(&mut self, network: &str, place: usize, directory: &dyn Directory) {
        let mut buffer = [0; LONGEST];
        let Some(socket) = self.sockets.get(network).and_then(|all| all.get(place)) else {
            return;
        };
        // Some at a time: others want to be heard, too.
        for _ in 0..64 {
            let Ok((length, client)) = socket.recv_from(&mut buffer) else {
                return;
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            let Some(query) = question(bytes) else {
                continue;
            };
            match answer(&query, network, client.ip(), directory) {
                Some(answer) => {
                    if let Ok(bytes) = answer.to_vec() {
                        let _ = socket.send_to(&bytes, client);
                    }
                }
                None => {
                    let upstream = directory.upstream(network, client.ip());
                    let passed = upstream.and_then(|upstream| pass_on(bytes, upstream).ok());
                    if let Some(socket) = passed {
                        if self.waiting.len() >= MOST {
                            self.waiting.remove(0);
                        }
                        self.waiting.push(Waiting {
                            socket,
                            network: network.to_owned(),
                            client,
                            until: Instant::now() + PATIENCE,
                        });
                    }
                }
            }
        }
    }
}

/// Each question goes out from a port of its own, which is hard to guess.
fn pass_on(question: &[u8], upstream: IpAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match upstream {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect((upstream, PORT))?;
    socket.send(question)?;
    Ok(socket)
}

/// A question with one name in it.
fn question(bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let is_question = message.metadata.message_type == MessageType::Query
        && message.metadata.op_code == OpCode::Query
        && message.queries.len() == 1;
    is_question.then_some(message)
}

/// The answer, where it is not somebody else's to give.
fn answer(
    question: &Message,
    network: &str,
    source: IpAddr,
    directory: &dyn Directory,
) -> Option<Message> {
    let query = question.queries.first()?;
    let records = if query.query_class() == DNSClass::IN {
        records(query, network, source, directory)
    } else {
        None
    };
    let code = match &records {
        Some(_) => ResponseCode::NoError,
        None if directory.upstream(network, source).is_none() => ResponseCode::NXDomain,
        None => return None,
    };
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = records.is_some();
    answer.metadata.response_code = code;
    answer.add_query(query.clone());
    answer.answers = records.unwrap_or_default();
    Some(answer)
}

/// What is known about a name; nothing where it is no container's.
fn records(
    query: &Query,
    network: &str,
    source: IpAddr,
    directory: &dyn Directory,
) -> Option<Vec<Record>> {
    let record = |data| Record::from_rdata(query.name().clone(), LIFETIME, data);
    if query.query_type() == RecordType::PTR {
        let address = query.name().parse_arpa_name().ok()?.addr();
        let name = directory.name_of(network, source, address)?;
        let name = Name::from_ascii(format!("{name}.")).ok()?;
        return Some(vec![record(RData::PTR(PTR(name)))]);
    }
    let name = query.name().to_ascii();
    let addresses = directory.addresses(network, source, name.trim_end_matches('.'))?;
    let wanted = |address: IpAddr| match (query.query_type(), address) {
        (RecordType::A, IpAddr::V4(address)) => Some(record(RData::A(A(address)))),
        (RecordType::AAAA, IpAddr::V6(address)) => Some(record(RData::AAAA(AAAA(address)))),
        _ => None,
    };
    Some(addresses.into_iter().filter_map(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Book {
        is_internal: bool,
    }

    impl Directory for Book {
        fn addresses(&self, _: &str, _: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
            let addresses = ["10.89.0.2", "fd00::2"].map(|text| text.parse().unwrap());
            name.eq_ignore_ascii_case("web").then(|| addresses.to_vec())
        }

        fn name_of(&self, _: &str, _: IpAddr, address: IpAddr) -> Option<String> {
            (address.to_string() == "10.89.0.2").then(|| "web".to_owned())
        }

        fn upstream(&self, _: &str, _: IpAddr) -> Option<IpAddr> {
            (!self.is_internal).then(|| "10.0.2.3".parse().unwrap())
        }
    }

    fn asked(name: &str, kind: RecordType, is_internal: bool) -> String {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let message = question(&message.to_vec().unwrap()).unwrap();
        let source = "10.89.0.3".parse().unwrap();
        match answer(&message, "front", source, &Book { is_internal }) {
            None => "somebody else".to_owned(),
            Some(answer) => {
                let bytes = answer.to_vec().unwrap();
                let answer = Message::from_vec(&bytes).unwrap();
                assert_eq!(answer.metadata.id, message.metadata.id);
                let data = answer.answers.iter().map(|record| record.data.to_string());
                let code = answer.metadata.response_code;
                format!("{code:?} {}", data.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn names_of_containers_are_answered_and_others_passed_on() {
        for (name, kind, is_internal, expected) in [
            ("web.", RecordType::A, false, "NoError 10.89.0.2"),
            ("WEB.", RecordType::AAAA, false, "NoError fd00::2"),
            ("web.", RecordType::MX, false, "NoError "),
            (
                "2.0.89.10.in-addr.arpa.",
                RecordType::PTR,
                false,
                "NoError web.",
            ),
            (
                "3.0.89.10.in-addr.arpa.",
                RecordType::PTR,
                false,
                "somebody else",
            ),
            ("example.org.", RecordType::A, false, "somebody else"),
            ("example.org.", RecordType::A, true, "NXDomain "),
            ("web.", RecordType::A, true, "NoError 10.89.0.2"),
        ] {
            assert_eq!(asked(name, kind, is_internal), expected, "{name} {kind}");
        }
    }

    #[test]
    fn what_is_no_question_is_not_heard() {
        assert!(question(b"").is_none());
        assert!(question(&[0xff; 40]).is_none());
        let response = Message::response(7, OpCode::Query).to_vec().unwrap();
        assert!(question(&response).is_none());
    }
}
