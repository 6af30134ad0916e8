//! A registry that misbehaves in one way, for one kind of request, so many times.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_linger, set_socket_send_buffer_size};

use crate::image::{Image, digest};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The image's manifest.
    Manifest,
    /// The image's configuration.
    Config,
    /// The image's first layer.
    Layer,
    /// A token.
    Token,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Mischief {
    /// The connection ends after so many ten-thousandths of the body.
    Truncated(usize),
    /// The same, but the length that the header tells is that of what comes.
    Shortened,
    /// More comes than there is.
    TooLong,
    /// One byte is another.
    WrongBytes,
    /// The header tells of more bytes than come.
    LongerHeader,
    /// The connection is reset in the middle.
    Reset,
    /// Nothing comes.
    Silence,
    /// A byte a second.
    Slow,
    /// All is well, but no more than so many bytes come in a second.
    Paced(usize),
    /// This status line, these fields, no body to speak of.
    Status(&'static str, String),
    /// The token is no longer good.
    Expired,
    /// So many redirections before the answer.
    Redirects(usize),
    /// A redirection to another server, which has the answer.
    Elsewhere,
    /// A redirection to an URL that no client may follow.
    RedirectsTo(&'static str),
    /// A part is asked for, the whole is sent.
    NoRanges,
    /// A part is asked for, another one is sent.
    WrongRange,
    /// A part is asked for, there is none.
    Unsatisfiable,
    /// The second part is one of something else.
    Changed,
    /// Neither a length nor an end, but chunks.
    Chunked,
    /// Compressed, although nobody asked for that.
    Encoded,
    /// HTTP/1.0: the end of the connection is the end of the answer.
    Old,
    /// A content type that says nothing.
    WrongType,
    /// A header of a megabyte.
    HugeHeader,
}

/// One misbehaviour.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which requests.
    pub target: Target,
    /// How often; then the registry behaves.
    pub times: usize,
    /// What is wrong.
    pub mischief: Mischief,
}

/// A registry with one image, `image:latest`, that wants a token.
#[derive(Debug)]
pub struct BadRegistry {
    host: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    home: String,
    elsewhere: String,
    documents: HashMap<String, (Target, Vec<u8>)>,
    kind: String,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
    sent: Mutex<HashMap<Target, u64>>,
}

impl BadRegistry {
    /// Starts serving `image` by some rules.
    #[must_use]
    pub fn serve(image: &Image, rules: Vec<Rule>) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [home, elsewhere] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().to_string());
        let (manifest, blobs) = image.build();
        let config = digest(blobs.last().unwrap());
        let mut documents: HashMap<_, _> = blobs
            .into_iter()
            .map(|blob| {
                let name = digest(&blob);
                let target = if name == config {
                    Target::Config
                } else {
                    Target::Layer
                };
                (format!("/v2/image/blobs/{name}"), (target, blob))
            })
            .collect();
        let bytes = serde_json::to_vec(&manifest).unwrap();
        documents.insert(
            "/v2/image/manifests/latest".to_owned(),
            (Target::Manifest, bytes),
        );
        let token = br#"{"token":"t0ken","expires_in":300}"#.to_vec();
        documents.insert("/token".to_owned(), (Target::Token, token));
        let shared = Arc::new(Shared {
            home: home.clone(),
            elsewhere,
            documents,
            kind: manifest["mediaType"].as_str().unwrap().to_owned(),
            rules: Mutex::new(rules),
            requests: Mutex::default(),
            sent: Mutex::default(),
        });
        for listener in listeners {
            let shared = Arc::clone(&shared);
            let serve = move || {
                for stream in listener.incoming().filter_map(Result::ok) {
                    let shared = Arc::clone(&shared);
                    let answer = move || {
                        // A client that has gone away has its reasons.
                        let _ = shared.answer(stream);
                    };
                    std::thread::Builder::new().spawn(answer).unwrap();
                }
            };
            std::thread::Builder::new().spawn(serve).unwrap();
        }
        Self { host: home, shared }
    }

    /// The image's reference.
    #[must_use]
    pub fn image(&self) -> String {
        format!("{}/image", self.host)
    }

    /// How many requests there were for a target, redirections not followed.
    #[must_use]
    pub fn requests(&self, target: Target) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        let wanted = format!("{target:?} ");
        requests
            .iter()
            .filter(|line| line.starts_with(&wanted))
            .count()
    }

    /// Bytes that were sent of a target, all answers together.
    #[must_use]
    pub fn sent(&self, target: Target) -> u64 {
        self.shared
            .sent
            .lock()
            .unwrap()
            .get(&target)
            .copied()
            .unwrap_or(0)
    }
}

/// A request, as far as it matters here.
struct Request {
    path: String,
    host: String,
    authorization: String,
    offset: Option<usize>,
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next()?;
    let fields: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let field = |name: &str| {
        let mut pairs = fields.iter().filter_map(|line| line.split_once(": "));
        let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or(String::new(), |(_, value)| value.to_owned())
    };
    let range = field("range");
    let offset = range
        .strip_prefix("bytes=")
        .and_then(|range| range.trim_end_matches('-').parse().ok());
    Some(Request {
        path: request.split(' ').nth(1)?.split('?').next()?.to_owned(),
        host: field("host"),
        authorization: field("authorization"),
        offset,
    })
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(request) = read_request(&stream) else {
            return Ok(());
        };
        let (hops, path) = split_hops(&request.path);
        let Some((target, body)) = self.documents.get(path) else {
            let message = br#"{"errors":[{"message":"nothing here"}]}"#;
            return stream.write_all(&message_of("404 Not Found", "", message));
        };
        let line = format!("{target:?} {} from {:?}", request.path, request.offset);
        self.requests.lock().unwrap().push(line);
        let wants_token = *target != Target::Token && request.host == self.home;
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"test\"\r\n",
            self.home
        );
        if wants_token && request.authorization != "Bearer t0ken" {
            return stream.write_all(&message_of("401 Unauthorized", &challenge, b"{}"));
        }
        if hops > 0 {
            let location = format!("Location: /hop/{}{path}\r\n", hops - 1);
            return stream.write_all(&message_of("302 Found", &location, b""));
        }
        let mischief = self.mischief(*target, &request);
        let mut reply = Reply {
            stream: &stream,
            body,
            kind: self.kind_of(*target),
            offset: request.offset.unwrap_or(0).min(body.len()),
            count: &|bytes| *self.sent.lock().unwrap().entry(*target).or_default() += bytes,
        };
        let told = match mischief {
            None => reply.honest(),
            Some(Mischief::Expired) => {
                reply.send(&message_of("401 Unauthorized", &challenge, b"{}"))
            }
            Some(Mischief::Elsewhere) => {
                let location = format!("Location: http://{}{path}\r\n", self.elsewhere);
                reply.send(&message_of("307 Temporary Redirect", &location, b""))
            }
            Some(Mischief::Redirects(count)) => {
                let location = format!("Location: /hop/{}{path}\r\n", count - 1);
                reply.send(&message_of("302 Found", &location, b""))
            }
            Some(mischief) => reply.misbehave(&mischief),
        };
        told?;
        stream.shutdown(std::net::Shutdown::Write)
    }

    /// What is to go wrong with this request, if anything.
    fn mischief(&self, target: Target, request: &Request) -> Option<Mischief> {
        // Whoever was sent elsewhere is served there.
        if request.host != self.home || request.path.starts_with("/hop/") {
            return None;
        }
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| {
            let about_parts = matches!(
                rule.mischief,
                Mischief::NoRanges
                    | Mischief::WrongRange
                    | Mischief::Unsatisfiable
                    | Mischief::Changed
            );
            rule.target == target && rule.times > 0 && (!about_parts || request.offset.is_some())
        })?;
        rule.times -= 1;
        Some(rule.mischief.clone())
    }

    fn kind_of(&self, target: Target) -> &str {
        match target {
            Target::Manifest => &self.kind,
            Target::Token => "application/json",
            Target::Config | Target::Layer => "application/octet-stream",
        }
    }
}

/// `/hop/3/v2/…`: how many redirections are left, and the path behind them.
fn split_hops(path: &str) -> (usize, &str) {
    path.strip_prefix("/hop/")
        .and_then(|rest| {
            let (count, _) = rest.split_once('/')?;
            Some((count.parse().ok()?, &rest[count.len()..]))
        })
        .unwrap_or((0, path))
}

fn message_of(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// One answer.
struct Reply<'a> {
    stream: &'a TcpStream,
    body: &'a [u8],
    kind: &'a str,
    offset: usize,
    /// Counts bytes of the body.
    count: &'a dyn Fn(u64),
}

impl Reply<'_> {
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a part of the body; counted.
    fn send_body(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        (self.count)(bytes.len() as u64);
        self.stream.write_all(bytes)
    }

    /// The head of an honest answer, but for the length.
    fn head(&mut self, length: usize) -> std::io::Result<()> {
        let status = if self.offset > 0 {
            let last = self.body.len() - 1;
            let range = format!("Content-Range: bytes {}-{last}/{}", self.offset, last + 1);
            format!("206 Partial Content\r\n{range}")
        } else {
            "200 OK".to_owned()
        };
        let kind = self.kind;
        self.send(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            )
            .as_bytes(),
        )
    }

    fn rest(&self) -> Vec<u8> {
        self.body[self.offset..].to_vec()
    }

    fn honest(&mut self) -> std::io::Result<()> {
        let rest = self.rest();
        self.head(rest.len())?;
        self.send_body(&rest)
    }

    fn misbehave(&mut self, mischief: &Mischief) -> std::io::Result<()> {
        let rest = self.rest();
        let length = rest.len();
        match mischief {
            Mischief::Truncated(share) => {
                self.head(length)?;
                let cut = length * share / 10_000;
                self.send_body(&rest[..cut.min(length - 1)])
            }
            Mischief::Shortened => {
                self.head(length / 2)?;
                self.send_body(&rest[..length / 2])
            }
            Mischief::TooLong => {
                self.head(length + 100)?;
                self.send_body(&[rest.as_slice(), &[0; 100]].concat())
            }
            Mischief::WrongBytes => {
                self.head(length)?;
                self.send_body(&flipped(rest))
            }
            Mischief::LongerHeader => {
                self.head(length + 10)?;
                self.send_body(&rest)
            }
            Mischief::Reset => {
                self.head(length)?;
                self.send_body(&rest[..length / 2])?;
                // Closing it now sends a reset.
                Ok(set_socket_linger(self.stream, Some(Duration::ZERO))?)
            }
            Mischief::Silence => {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            }
            Mischief::Slow => {
                self.head(length)?;
                for byte in rest {
                    self.send_body(&[byte])?;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Ok(())
            }
            Mischief::Paced(rate) => {
                // What waits in a buffer counts as sent, and is lost with the connection.
                set_socket_send_buffer_size(self.stream, 64 * 1024)?;
                self.head(length)?;
                for chunk in rest.chunks(rate / 50) {
                    self.send_body(chunk)?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(())
            }
            Mischief::Status(status, fields) => self.send(&message_of(status, fields, b"{}")),
            Mischief::RedirectsTo(url) => {
                let location = format!("Location: {url}\r\n");
                self.send(&message_of("302 Found", &location, b""))
            }
            other => self.misbehave_in_form(other, &rest),
        }
    }

    /// Answers whose form is unusual.
    fn misbehave_in_form(&mut self, mischief: &Mischief, rest: &[u8]) -> std::io::Result<()> {
        let (length, kind, last) = (rest.len(), self.kind, self.body.len() - 1);
        let mut head = |fields: &str| {
            let status = if fields.contains("Content-Range") {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            self.stream.write_all(
                format!("HTTP/1.1 {status}\r\n{fields}Connection: close\r\n\r\n").as_bytes(),
            )
        };
        match mischief {
            Mischief::NoRanges => {
                self.offset = 0;
                self.honest()
            }
            Mischief::WrongRange => {
                head(&format!(
                    "Content-Range: bytes 1-{last}/{}\r\nContent-Length: {last}\r\n",
                    last + 1
                ))?;
                let part = self.body[1..].to_vec();
                self.send_body(&part)
            }
            Mischief::Unsatisfiable => self.send(&message_of(
                "416 Range Not Satisfiable",
                "Content-Range: bytes */1\r\n",
                b"",
            )),
            Mischief::Changed => {
                self.head(length)?;
                self.send_body(&rest.iter().map(|byte| !byte).collect::<Vec<_>>())
            }
            Mischief::Chunked => {
                head(&format!(
                    "Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
                ))?;
                for chunk in rest.chunks(1000) {
                    self.send(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                    self.send_body(chunk)?;
                    self.send(b"\r\n")?;
                }
                self.send(b"0\r\n\r\n")
            }
            Mischief::Encoded => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(rest)?;
                let packed = encoder.finish()?;
                head(&format!(
                    "Content-Type: {kind}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
                    packed.len()
                ))?;
                self.send_body(&packed)
            }
            Mischief::Old => {
                self.send(format!("HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n").as_bytes())?;
                self.send_body(rest)
            }
            Mischief::WrongType => {
                head(&format!(
                    "Content-Type: text/html\r\nContent-Length: {length}\r\n"
                ))?;
                self.send_body(rest)
            }
            _ => {
                let field = format!("X-Padding: {}\r\n", "x".repeat(1 << 20));
                head(&format!("{field}Content-Length: {length}\r\n"))?;
                self.send_body(rest)
            }
        }
    }
}

fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}
