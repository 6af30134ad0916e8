//! A registry that takes uploads in its own way, one way at a time.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::image::digest;

/// What is special about how uploads are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// The connection breaks in the middle of the first large body; what came is kept.
    BreaksAndRemembers,
    /// The connection breaks in the middle of the first large body; the upload is gone.
    BreaksAndForgets,
    /// The connection breaks in the middle of every large body, and nothing is kept.
    BreaksAlways,
    /// No request may carry more than so many bytes, and no chunk but the last less than so many.
    OnlyChunks(usize),
    /// Bodies go to another host, which may not see the registry's credentials.
    Elsewhere,
    /// Uploads go to the address where clouds keep secrets.
    ToMetadata,
    /// Tags cannot be changed.
    Immutable,
    /// The first three requests with a body are answered with 503.
    Busy,
}

/// A small HTTP server with one user, `ann` with the password `secret`.
#[derive(Debug)]
pub struct UploadRegistry {
    host: String,
    site: Arc<Site>,
}

#[derive(Debug)]
struct Site {
    host: String,
    elsewhere: String,
    fault: UploadFault,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    uploads: HashMap<String, Vec<u8>>,
    blobs: HashMap<String, usize>,
    manifests: HashMap<String, Vec<u8>>,
    requests: Vec<String>,
    received: usize,
    interruptions: usize,
}

struct Request {
    method: String,
    path: String,
    query: String,
    at_home: bool,
    fields: Vec<(String, String)>,
}

/// Bodies of at least so many bytes are the ones that are interrupted.
const LARGE: usize = 100_000;

impl UploadRegistry {
    /// Starts a registry.
    #[must_use]
    pub fn serve(fault: UploadFault) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [host, elsewhere] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().to_string());
        let site = Arc::new(Site {
            host: host.clone(),
            elsewhere,
            fault,
            state: Mutex::default(),
        });
        for listener in listeners {
            let site = Arc::clone(&site);
            let serve = move || {
                for stream in listener.incoming().filter_map(Result::ok) {
                    let site = Arc::clone(&site);
                    start(move || site.answer(&stream));
                }
            };
            start(serve);
        }
        Self { host, site }
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Every request, as `METHOD PATH range=… length=… home=… authorization=…`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.site.state.lock().unwrap().requests.clone()
    }

    /// Bytes of blobs that came, those that were lost again too.
    #[must_use]
    pub fn received(&self) -> usize {
        self.site.state.lock().unwrap().received
    }

    /// Bytes of blobs that are here.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.site.state.lock().unwrap().blobs.values().sum()
    }

    /// The digest of the manifest with this tag.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Option<String> {
        let state = self.site.state.lock().unwrap();
        state.manifests.get(tag).map(|bytes| digest(bytes))
    }
}

impl Request {
    fn read(reader: &mut BufReader<&TcpStream>, home: &str) -> Option<Self> {
        let mut lines = reader.lines().map_while(Result::ok);
        let first = lines.next()?;
        let mut words = first.split(' ').map(ToOwned::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let fields: Vec<(String, String)> = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                line.split_once(": ")
                    .map(|(k, v)| (k.to_lowercase(), v.into()))
            })
            .collect();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.replace("%3A", ":"),
            at_home: false,
            fields,
        };
        request.at_home = request.field("host") == home;
        Some(request)
    }

    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    fn length(&self) -> usize {
        self.field("content-length").parse().unwrap_or(0)
    }
}

impl Site {
    fn answer(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let Some(request) = Request::read(&mut reader, &self.host) else {
            return;
        };
        let line = format!(
            "{} {} range={} length={} home={} authorization={}",
            request.method,
            request.path,
            request.field("content-range"),
            request.length(),
            request.at_home,
            request.field("authorization"),
        );
        self.state.lock().unwrap().requests.push(line);
        if request.at_home && request.field("authorization") != "Basic YW5uOnNlY3JldA==" {
            let challenge = "WWW-Authenticate: Basic realm=\"test\"\r\n";
            let _ = stream.write_all(&reply("401 Unauthorized", challenge, ""));
            return;
        }
        let length = request.length();
        let breaks = length >= LARGE && self.breaks();
        let mut body = vec![0; if breaks { length / 2 } else { length }];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if let Some(answer) = self.handle(&request, &body, breaks) {
            // A client that has gone away has its reasons.
            let _ = stream.write_all(&answer);
        }
    }

    /// Whether this body is interrupted.
    fn breaks(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let most = match self.fault {
            UploadFault::BreaksAndRemembers | UploadFault::BreaksAndForgets => 1,
            UploadFault::BreaksAlways => usize::MAX,
            _ => 0,
        };
        let breaks = state.interruptions < most;
        state.interruptions += usize::from(breaks);
        breaks
    }

    fn handle(&self, request: &Request, body: &[u8], breaks: bool) -> Option<Vec<u8>> {
        let last = request.path.rsplit('/').next().unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        if request.path.contains("/blobs/uploads/") && request.method != "POST" {
            state.received += body.len();
            return self.upload(&mut state, request, last, body, breaks);
        }
        let answer = match request.method.as_str() {
            "POST" => {
                let id = format!("u{}", state.requests.len());
                state.uploads.insert(id.clone(), Vec::new());
                self.accepted(&id, 0)
            }
            "HEAD" if state.blobs.contains_key(last) => reply("200 OK", "", ""),
            "PUT" if self.fault == UploadFault::Immutable => {
                let text =
                    r#"{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}"#;
                reply("400 Bad Request", "", text)
            }
            "PUT" => {
                state.manifests.insert(last.to_owned(), body.to_vec());
                reply("201 Created", "", "")
            }
            "GET" => reply("200 OK", "", "{}"),
            _ => reply("404 Not Found", "", ""),
        };
        Some(answer)
    }

    fn upload(
        &self,
        state: &mut State,
        request: &Request,
        id: &str,
        body: &[u8],
        breaks: bool,
    ) -> Option<Vec<u8>> {
        if breaks {
            if self.fault == UploadFault::BreaksAndRemembers {
                state.uploads.get_mut(id)?.extend_from_slice(body);
            } else {
                state.uploads.remove(id);
            }
            return None;
        }
        if let UploadFault::OnlyChunks(least) = self.fault {
            if request.method == "PUT" && body.len() > 1000 {
                return Some(reply("413 Payload Too Large", "", ""));
            }
            assert!(body.is_empty() || request.method == "PATCH" || body.len() < least);
        }
        if self.fault == UploadFault::Busy && !body.is_empty() && state.interruptions < 3 {
            state.interruptions += 1;
            return Some(reply("503 Service Unavailable", "Retry-After: 0\r\n", ""));
        }
        let Some(upload) = state.uploads.get_mut(id) else {
            return Some(reply("404 Not Found", "", ""));
        };
        let range = request.field("content-range");
        let start = range.split('-').next().and_then(|text| text.parse().ok());
        if start.is_some_and(|start: usize| start != upload.len()) {
            return Some(reply("416 Range Not Satisfiable", "", ""));
        }
        upload.extend_from_slice(body);
        let length = upload.len();
        Some(match request.method.as_str() {
            "PATCH" => self.accepted(id, length),
            "GET" => {
                let range = format!("Range: 0-{}\r\n", length.saturating_sub(1));
                reply("204 No Content", &range, "")
            }
            "PUT" if request.query == format!("digest={}", digest(upload)) => {
                let name = digest(upload);
                state.uploads.remove(id);
                state.blobs.insert(name, length);
                reply("201 Created", "", "")
            }
            _ => reply("400 Bad Request", "", ""),
        })
    }

    fn accepted(&self, id: &str, length: usize) -> Vec<u8> {
        let origin = match self.fault {
            UploadFault::Elsewhere => format!("http://{}", self.elsewhere),
            UploadFault::ToMetadata => "http://169.254.169.254".to_owned(),
            _ => String::new(),
        };
        let least = match self.fault {
            UploadFault::OnlyChunks(least) => format!("OCI-Chunk-Min-Length: {least}\r\n"),
            _ => String::new(),
        };
        let range = length.saturating_sub(1);
        let fields =
            format!("Location: {origin}/v2/x/blobs/uploads/{id}\r\nRange: 0-{range}\r\n{least}");
        reply("202 Accepted", &fields, "")
    }
}

fn start(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(work).unwrap();
}

fn reply(status: &str, fields: &str, body: &str) -> Vec<u8> {
    // 204 and 304 have no length, RFC 9110.
    let length = if status.starts_with("204") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("HTTP/1.1 {status}\r\n{fields}{length}Connection: close\r\n\r\n{body}").into_bytes()
}
