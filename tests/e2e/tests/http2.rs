//! HTTP/2: spoken where it is offered, and no way to keep a client busy.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use carrier_e2e::{Authority, Certified, Cx, Validity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// RFC 9113 section 3.4.
const PREFACE: usize = 24;

/// Frame types, RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// What a hostile server sends without an end.
#[derive(Clone, Copy, Debug)]
enum Flood {
    EmptyData,
    Settings,
    Pings,
    Headers,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A proxy behind which every host speaks HTTP/2, and floods.
fn serve(certified: &Certified, flood: Flood) -> String {
    let chain = CertificateDer::pem_file_iter(&certified.certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&certified.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accept = move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let config = Arc::clone(&config);
            // A client that goes away has done well.
            let answer = move || drop(answer(stream, config, flood));
            std::thread::Builder::new().spawn(answer).unwrap();
        }
    };
    std::thread::Builder::new().spawn(accept).unwrap();
    address
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, flood: Flood) -> std::io::Result<()> {
    let mut plain = BufReader::new(stream);
    loop {
        let mut line = String::new();
        plain.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
    }
    let mut stream = plain.into_inner();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let connection = ServerConnection::new(config).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    let mut preface = [0; PREFACE];
    tls.read_exact(&mut preface)?;
    tls.write_all(&frame(SETTINGS, 0, 0, b""))?;
    let request = loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head)?;
        let length = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
        std::io::copy(&mut (&mut tls).take(length), &mut std::io::sink())?;
        match head[3] {
            SETTINGS if head[4] & ACK == 0 => tls.write_all(&frame(SETTINGS, ACK, 0, b""))?,
            HEADERS => break u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            _ => {}
        }
    };
    // `:status: 200`, RFC 7541 appendix A.
    tls.write_all(&frame(HEADERS, END_HEADERS, request, &[0x88]))?;
    let one = match flood {
        Flood::EmptyData => frame(DATA, 0, request, b""),
        Flood::Settings => frame(SETTINGS, 0, 0, b""),
        Flood::Pings => frame(PING, 0, 0, &[0; 8]),
        Flood::Headers => frame(HEADERS, END_HEADERS, request, &[0x88]),
    };
    let many = one.repeat(1000);
    for _ in 0..1000 {
        tls.write_all(&many)?;
    }
    // A million have been sent; the answer does not end.
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

#[test]
fn r15_floods_of_frames_end_in_an_error() {
    let cx = Cx::new();
    let authority = Authority::new(&cx, "authority");
    let certified = authority.issue("hosts", &["registry.example"], Validity::Now);
    let configure = "mkdir -p ~/.config/carrier && \
                     printf '[network]\\nread-timeout = 3\\nretries = 1\\n' > ~/.config/carrier/config.toml";
    cx.script(configure).succeeds();
    for flood in [
        Flood::EmptyData,
        Flood::Settings,
        Flood::Pings,
        Flood::Headers,
    ] {
        let proxy = serve(&certified, flood);
        let certificate = authority.certificate().display().to_string();
        let start = Instant::now();
        // 64 MiB, in the unit of the limit; the program's own pages are among them.
        let outcome = cx.script(&format!(
            "ulimit -d 65536; HTTPS_PROXY=http://{proxy} SSL_CERT_FILE={certificate} \
             carrier pull -q registry.example/x"
        ));
        let time = start.elapsed();
        assert!(time < Duration::from_secs(55), "{flood:?} took {time:?}");
        let outcome = outcome.exits_with(125);
        assert_eq!(
            outcome.errors().lines().count(),
            2,
            "{flood:?}: {outcome:#?}"
        );
        println!("{flood:?}: {}", outcome.errors().lines().next().unwrap());
    }
}
