//! The internet on loopback: a proxy behind which every host name is played by the test.
//!
//! Commands reach it through `HTTPS_PROXY` and `HTTP_PROXY`, so that they use the real names of vendors,
//! with TLS and certificates of the test's own authority. Only hosts called `plain.…` do not speak it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::authority::{Authority, Certified, Validity};
use crate::{Cx, Outcome};

/// A request as a host sees it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `http` or `https`.
    pub scheme: String,
    /// The host, with its port where that is not the usual one.
    pub host: String,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, decoded where that matters to tests.
    pub query: String,
    /// Field names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// The value of a field; empty if there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// What it shows to prove who asks.
    #[must_use]
    pub fn authorization(&self) -> &str {
        self.field("authorization")
    }
}

/// What a host answers.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Vec<String>,
    body: Vec<u8>,
    delay: Duration,
    is_cut: bool,
}

impl Reply {
    /// An answer with a status alone.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
            delay: Duration::ZERO,
            is_cut: false,
        }
    }

    /// 200, with a document.
    #[must_use]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "documents are made where they are handed over"
    )]
    pub fn json(text: impl ToString) -> Self {
        Self::status(200)
            .field("Content-Type: application/json")
            .body(text.to_string())
    }

    /// 401, with a challenge.
    #[must_use]
    pub fn challenge(challenge: &str) -> Self {
        Self::status(401)
            .field(&format!("WWW-Authenticate: {challenge}"))
            .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
    }

    /// A redirection.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).field(&format!("Location: {location}"))
    }

    /// Adds a line to the head.
    #[must_use]
    pub fn field(mut self, line: &str) -> Self {
        self.fields.push(line.to_owned());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Ends the connection in the middle of the body.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    /// Lets half of the body wait.
    #[must_use]
    pub fn slowly(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// A proxy, and all hosts behind it.
#[derive(Debug)]
pub struct Internet {
    address: String,
    authority: Authority,
    requests: Arc<Mutex<Vec<Request>>>,
}

struct Site {
    script: Box<Script>,
    requests: Arc<Mutex<Vec<Request>>>,
    tls: Arc<ServerConfig>,
}

impl Internet {
    /// Starts it, with certificates for `hosts`.
    #[must_use]
    pub fn of(
        cx: &Cx,
        hosts: &[&str],
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new(cx, "authority");
        let certified = authority.issue("hosts", hosts, Validity::Now);
        Self::with(authority, &certified, script)
    }

    /// Starts it, with one certificate for all hosts.
    #[must_use]
    pub fn with(
        authority: Authority,
        certified: &Certified,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::default();
        let site = Arc::new(Site {
            script: Box::new(script),
            requests: Arc::clone(&requests),
            tls: server_config(certified),
        });
        let serve = move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let site = Arc::clone(&site);
                let answer = move || site.answer(stream);
                std::thread::Builder::new().spawn(answer).unwrap();
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        Self {
            address,
            authority,
            requests,
        }
    }

    /// Assignments for a shell, by which commands use the proxy and trust the authority.
    #[must_use]
    pub fn environment(&self) -> String {
        format!(
            "HTTPS_PROXY=http://{0} HTTP_PROXY=http://{0} SSL_CERT_FILE={1}",
            self.address,
            self.authority.certificate().display()
        )
    }

    /// Where it listens: it also answers who comes without a proxy, and speaks plain HTTP then.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// Runs Carrier in this internet.
    pub fn carrier(&self, cx: &Cx, arguments: &str) -> Outcome {
        cx.script(&format!("{} carrier {arguments}", self.environment()))
    }

    /// What the hosts were asked.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// What one of them was asked.
    #[must_use]
    pub fn requests_to(&self, host: &str) -> Vec<Request> {
        let all = self.requests().into_iter();
        all.filter(|request| request.host == host).collect()
    }
}

fn server_config(certified: &Certified) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(&certified.certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&certified.key).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}

impl Site {
    /// Plays a proxy, and then the host that was asked for. A client that goes away has its reasons.
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut plain = BufReader::new(stream);
        let request = read_request(&mut plain)?;
        if request.method != "CONNECT" {
            return self.reply(plain.get_mut(), &request);
        }
        let mut stream = plain.into_inner();
        if request.path.starts_with("plain.") {
            return stream.write_all(b"HTTP/1.1 502 No TLS there\r\n\r\n").ok();
        }
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .ok()?;
        let connection = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut tls = BufReader::new(StreamOwned::new(connection, stream));
        let mut inner = read_request(&mut tls)?;
        "https".clone_into(&mut inner.scheme);
        request
            .path
            .trim_end_matches(":443")
            .clone_into(&mut inner.host);
        self.reply(tls.get_mut(), &inner)?;
        let tls = tls.get_mut();
        // A host that leaves without the goodbye of TLS, RFC 8446 section 6.1.
        if inner.host.starts_with("abrupt.") {
            return tls.sock.shutdown(std::net::Shutdown::Both).ok();
        }
        tls.conn.send_close_notify();
        tls.flush().ok()
    }

    fn reply(&self, stream: &mut impl Write, request: &Request) -> Option<()> {
        self.requests.lock().unwrap().push(request.clone());
        let reply = (self.script)(request);
        let mut head = format!("HTTP/1.1 {} Said\r\n", reply.status);
        for field in &reply.fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        let length = reply.body.len();
        head.push_str(&format!(
            "Content-Length: {length}\r\nConnection: close\r\n\r\n"
        ));
        stream.write_all(head.as_bytes()).ok()?;
        if request.method == "HEAD" {
            return Some(());
        }
        let (first, second) = reply.body.split_at(length / 2);
        stream.write_all(first).ok()?;
        stream.flush().ok()?;
        if reply.is_cut {
            return None;
        }
        std::thread::sleep(reply.delay);
        stream.write_all(second).ok()?;
        stream.flush().ok()
    }
}

fn read_request(stream: &mut BufReader<impl Read>) -> Option<Request> {
    let mut request = Request {
        scheme: "http".to_owned(),
        ..Request::default()
    };
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    words.next()?.clone_into(&mut request.method);
    let mut target = words.next()?.to_owned();
    if let Some(rest) = target.strip_prefix("http://") {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        host.clone_into(&mut request.host);
        target = format!("/{path}");
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    path.clone_into(&mut request.path);
    request.query = decoded(query);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let pair = (name.to_ascii_lowercase(), value.to_owned());
        request.fields.push(pair);
    }
    if request.host.is_empty() {
        request.host = request.field("host").to_owned();
    }
    let length = request.field("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.body = decoded(&String::from_utf8_lossy(&body));
    Some(request)
}

/// The characters that scopes are made of.
fn decoded(text: &str) -> String {
    let pairs = [("%3A", ":"), ("%2F", "/"), ("%2C", ","), ("%7C", "|")];
    pairs.iter().fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}
