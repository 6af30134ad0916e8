use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::super::answer::Zone;
use super::*;

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    message.add_query(Query::query(name, RecordType::A));
    message.to_vec().unwrap()
}

fn tables(internal: bool) -> Tables {
    let mut zone = Zone {
        network: "front".to_owned(),
        internal,
        ..Zone::default()
    };
    zone.add("web", "10.89.0.5".parse().unwrap());
    zone.add("me", "127.0.0.1".parse().unwrap());
    zone.add("other", "127.0.0.2".parse().unwrap());
    Tables {
        zones: vec![zone],
        ..Tables::default()
    }
}

fn server(upstream: Vec<SocketAddr>) -> (NameServer, SocketAddr) {
    let mut server = NameServer::new(upstream).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    // A port that is free for datagrams may be taken for connections.
    let address = (0..20).find_map(|_| server.listen_at(any).ok()).unwrap();
    (server, address)
}

/// Lets the server work until `done` has a result.
fn until<T>(server: &mut NameServer, tables: &Tables, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        server.turn(tables).unwrap();
        if let Some(result) = done() {
            return result;
        }
        assert!(Instant::now() < deadline, "the server has not answered");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

fn heard(socket: &UdpSocket) -> Option<Message> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(Message::from_vec(&buffer[..length]).unwrap())
}

#[test]
fn names_are_answered_by_datagrams_and_on_connections() {
    let (mut server, address) = server(Vec::new());
    let client = client();
    client.send_to(&question("web"), address).unwrap();
    let answer = until(&mut server, &tables(false), || heard(&client));
    assert_eq!(answer.answers[0].data.to_string(), "10.89.0.5");
    let mut stream = TcpStream::connect(address).unwrap();
    let asked = question("web");
    let length = u16::try_from(asked.len()).unwrap().to_be_bytes();
    stream.write_all(&length).unwrap();
    stream.write_all(&asked[..5]).unwrap();
    stream.write_all(&asked[5..]).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut said = Vec::new();
    let length = until(&mut server, &tables(false), || {
        let mut buffer = [0; 512];
        let count = stream.read(&mut buffer).unwrap_or(0);
        said.extend_from_slice(&buffer[..count]);
        (said.len() > 2).then_some(said.len())
    });
    assert_eq!(
        usize::from(u16::from_be_bytes([said[0], said[1]])),
        length - 2
    );
}

#[test]
fn the_next_server_is_asked_when_one_is_silent_and_failure_is_told() {
    let (silent, other) = (client(), client());
    let servers = vec![silent.local_addr().unwrap(), other.local_addr().unwrap()];
    let (mut server, address) = server(servers);
    let client = client();
    let asked = question("example.org");
    client.send_to(&asked, address).unwrap();
    let mut buffer = [0; 512];
    let from = until(&mut server, &tables(false), || {
        other.recv_from(&mut buffer).ok().map(|(_, from)| from)
    });
    let mut response = asked.clone();
    response[2] |= 0x80;
    // One with another id comes from somebody else.
    let mut forged = response.clone();
    forged[0] ^= 1;
    other.send_to(&forged, from).unwrap();
    other.send_to(&response, from).unwrap();
    let answer = until(&mut server, &tables(false), || heard(&client));
    assert_eq!(answer.to_vec().unwrap()[..2], asked[..2]);
    server.set_upstream(Vec::new());
    client.send_to(&asked, address).unwrap();
    let answer = until(&mut server, &tables(false), || heard(&client));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn w05_no_question_leaves_an_internal_network() {
    let upstream = client();
    let (mut server, address) = server(vec![upstream.local_addr().unwrap()]);
    let client = client();
    client.send_to(&question("example.org"), address).unwrap();
    let answer = until(&mut server, &tables(true), || heard(&client));
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert!(upstream.recv(&mut [0; 512]).is_err(), "it was asked");
}

#[test]
fn w05_a_thousand_silent_connections_do_not_keep_others_waiting() {
    crate::net::powers::raise_files().unwrap();
    let (mut server, address) = server(Vec::new());
    let tables = tables(false);
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(TcpStream::connect(address).unwrap());
        // A length, and nothing behind it.
        silent.last_mut().unwrap().write_all(&[1]).unwrap();
        server.turn(&tables).unwrap();
        assert!(server.streams.len() <= MOST_STREAMS);
    }
    let client = client();
    client.send_to(&question("web"), address).unwrap();
    let answer = until(&mut server, &tables, || heard(&client));
    assert_eq!(answer.answers.len(), 1);
    server.expire(Instant::now() + SILENCE);
    assert!(server.streams.is_empty());
    assert_eq!(server.deadline(), None);
}

#[test]
fn w05_who_asks_much_does_not_keep_others_from_being_answered() {
    let upstream = client();
    let (mut server, address) = server(vec![upstream.local_addr().unwrap()]);
    let tables = tables(false);
    let greedy = client();
    for _ in 0..MOST_OF_ONE {
        greedy.send_to(&question("example.org"), address).unwrap();
        server.turn(&tables).unwrap();
    }
    until(&mut server, &tables, || {
        upstream.recv(&mut [0; 512]).is_ok().then_some(())
    });
    greedy.send_to(&question("example.org"), address).unwrap();
    let answer = until(&mut server, &tables, || heard(&greedy));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(server.forwarded.len(), MOST_OF_ONE);
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    other.set_nonblocking(true).unwrap();
    other.send_to(&question("example.org"), address).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.forwarded.len() == MOST_OF_ONE {
        server.turn(&tables).unwrap();
        assert!(Instant::now() < deadline, "the other client was not heard");
    }
    assert!(heard(&other).is_none(), "the other client was refused");
}

#[test]
fn w05_connections_of_many_take_no_place_from_those_of_few() {
    let (mut server, address) = server(Vec::new());
    let tables = tables(false);
    let far = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let from: SocketAddr = "127.0.0.2:0".parse().unwrap();
    rustix::net::bind(&far, &from).unwrap();
    rustix::net::connect(&far, &address).unwrap();
    server.turn(&tables).unwrap();
    let mut greedy = Vec::new();
    for _ in 0..2 * MOST_STREAMS {
        greedy.push(TcpStream::connect(address).unwrap());
        server.turn(&tables).unwrap();
    }
    let peers = server.streams.values().map(|client| client.peer);
    assert_eq!(peers.filter(|peer| *peer == from.ip()).count(), 1);
}

#[test]
fn a_client_that_asks_nothing_more_still_gets_its_answer() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    upstream.set_nonblocking(true).unwrap();
    let (mut server, address) = server(vec![upstream.local_addr().unwrap()]);
    let tables = tables(false);
    let mut stream = TcpStream::connect(address).unwrap();
    let asked = question("example.org");
    let length = u16::try_from(asked.len()).unwrap().to_be_bytes();
    stream.write_all(&length).unwrap();
    stream.write_all(&asked).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (mut other, _) = until(&mut server, &tables, || upstream.accept().ok());
    // However long that takes.
    for forwarded in server.forwarded.values_mut() {
        forwarded.deadline += 2 * SILENCE;
    }
    server.expire(Instant::now() + SILENCE);
    assert_eq!(server.streams.len(), 1);
    let mut response = asked.clone();
    response[2] |= 0x80;
    other.write_all(&length).unwrap();
    other.write_all(&response).unwrap();
    let mut said = Vec::new();
    until(&mut server, &tables, || {
        stream.read_to_end(&mut said).is_ok().then_some(())
    });
    assert_eq!(said[2..], response);
    assert!(server.streams.is_empty());
}
