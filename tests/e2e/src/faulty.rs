//! A registry that answers wrongly, in one way at a time.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::image::{Image, digest};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: for comparison.
    None,
    /// One byte of each layer is another.
    WrongBytes,
    /// Layers end in the middle.
    Truncated,
    /// Manifests list layers and manifests.
    Ambiguous,
    /// The registry wants a token from its own token server.
    Bearer,
    /// Blobs are elsewhere; whoever is there may not see credentials.
    RedirectsBlobs,
}

/// A small HTTP server with one image, `image:latest`.
#[derive(Debug)]
pub struct FaultyRegistry {
    host: String,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Site {
    host: String,
    elsewhere: String,
    fault: Fault,
    documents: HashMap<String, (String, Vec<u8>)>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FaultyRegistry {
    /// Starts serving `image` with a fault.
    #[must_use]
    pub fn serve(image: &Image, fault: Fault) -> Self {
        Self::of_documents(documents(image, fault), fault)
    }

    /// Starts serving documents: by path, a content type and bytes.
    #[must_use]
    pub fn of_documents(documents: HashMap<String, (String, Vec<u8>)>, fault: Fault) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [host, elsewhere] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().to_string());
        let requests = Arc::default();
        let site = Arc::new(Site {
            documents,
            host: host.clone(),
            elsewhere,
            fault,
            requests: Arc::clone(&requests),
        });
        for listener in listeners {
            let site = Arc::clone(&site);
            let serve = move || {
                for stream in listener.incoming().filter_map(Result::ok) {
                    site.answer(&stream);
                }
            };
            std::thread::Builder::new().spawn(serve).unwrap();
        }
        Self { host, requests }
    }

    /// The image's reference.
    #[must_use]
    pub fn image(&self) -> String {
        format!("{}/image", self.host)
    }

    /// Every request, as `METHOD PATH host=… authorization=…`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn documents(image: &Image, fault: Fault) -> HashMap<String, (String, Vec<u8>)> {
    let (mut manifest, blobs) = image.build();
    let layers = image.layers.len();
    let mut documents = HashMap::new();
    for (place, blob) in blobs.into_iter().enumerate() {
        let path = format!("/v2/image/blobs/{}", digest(&blob));
        let content = if place < layers {
            spoil(blob, fault)
        } else {
            blob
        };
        documents.insert(path, ("application/octet-stream".to_owned(), content));
    }
    if fault == Fault::Ambiguous {
        manifest["manifests"] = Value::Array(Vec::new());
    }
    let kind = manifest["mediaType"].as_str().unwrap().to_owned();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    documents.insert("/v2/image/manifests/latest".to_owned(), (kind, bytes));
    let token = br#"{"token":"t0ken","expires_in":300}"#.to_vec();
    documents.insert("/token".to_owned(), ("application/json".to_owned(), token));
    documents
}

fn spoil(mut blob: Vec<u8>, fault: Fault) -> Vec<u8> {
    match fault {
        Fault::WrongBytes => {
            let last = blob.len() - 1;
            blob[last] ^= 1;
        }
        Fault::Truncated => blob.truncate(blob.len() / 2),
        _ => {}
    }
    blob
}

impl Site {
    fn answer(&self, mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(request) = lines.next() else { return };
        let fields: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let field = |name: &str| {
            let mut pairs = fields.iter().filter_map(|line| line.split_once(": "));
            let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map_or(String::new(), |(_, value)| value.to_owned())
        };
        let (host, authorization) = (field("host"), field("authorization"));
        let target = request.split(' ').nth(1).unwrap_or("/");
        let line = format!("{request} host={host} authorization={authorization}");
        self.requests.lock().unwrap().push(line);
        let path = target.split('?').next().unwrap_or(target);
        let reply = self.reply(path, &host, &authorization);
        // A client that has gone away has its reasons.
        let _ = stream.write_all(&reply);
    }

    fn reply(&self, path: &str, host: &str, authorization: &str) -> Vec<u8> {
        let at_home = host == self.host;
        let wants_token = matches!(self.fault, Fault::Bearer | Fault::RedirectsBlobs);
        if at_home && path != "/token" && wants_token && authorization != "Bearer t0ken" {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"test\"\r\n",
                self.host
            );
            return answer("401 Unauthorized", &challenge, b"{}");
        }
        if at_home && self.fault == Fault::RedirectsBlobs && path.contains("/blobs/") {
            let location = format!("Location: http://{}{path}\r\n", self.elsewhere);
            return answer("307 Temporary Redirect", &location, b"");
        }
        match self.documents.get(path) {
            Some((kind, content)) => {
                answer("200 OK", &format!("Content-Type: {kind}\r\n"), content)
            }
            None => answer(
                "404 Not Found",
                "",
                br#"{"errors":[{"message":"nothing here"}]}"#,
            ),
        }
    }
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
