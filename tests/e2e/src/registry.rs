//! A real registry on loopback: Debian's `docker-registry`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::authority::Certified;
use serde_json::Value;

use crate::fixtures;
use crate::image::{put_blob, put_manifest};
use crate::issuer::TokenIssuer;

/// A running registry; it ends with the test.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    host: String,
    log: PathBuf,
    /// Directories to remove.
    scratch: Vec<PathBuf>,
}

impl Registry {
    /// The registry with the images that all tests share.
    #[must_use]
    pub fn of_fixtures() -> Self {
        Self::start(&fixtures::storage(), "")
    }

    /// An empty registry of the test's own.
    #[must_use]
    pub fn empty() -> Self {
        let storage = scratch("storage");
        fs::create_dir_all(&storage).unwrap();
        Self::start(&storage, "").owning(storage)
    }

    /// An empty registry that knows one user, with the password `secret`.
    #[must_use]
    pub fn with_password(user: &str) -> Self {
        let storage = scratch("storage");
        fs::create_dir_all(&storage).unwrap();
        let made = Command::new("htpasswd")
            .args(["-Bbn", user, "secret"])
            .output()
            .unwrap();
        let file = storage.join("htpasswd");
        fs::write(&file, made.stdout).unwrap();
        let auth = format!(
            "auth: {{htpasswd: {{realm: test, path: {}}}}}",
            file.display()
        );
        Self::start(&storage, &auth).owning(storage)
    }

    /// An empty registry that speaks TLS, and wants a certificate of `clients` where that is given.
    #[must_use]
    pub fn with_tls(server: &Certified, clients: Option<&Path>) -> Self {
        let storage = scratch("storage");
        fs::create_dir_all(&storage).unwrap();
        let clients = clients.map_or(String::new(), |authority| {
            format!(", clientcas: [{}]", authority.display())
        });
        let tls = format!(
            ", tls: {{certificate: {}, key: {}{clients}}}",
            server.certificate.display(),
            server.key.display()
        );
        Self::start_with(&storage, &tls, "").owning(storage)
    }

    /// An empty registry that wants tokens of an issuer.
    #[must_use]
    pub fn with_tokens(issuer: &TokenIssuer) -> Self {
        let storage = scratch("storage");
        fs::create_dir_all(&storage).unwrap();
        let auth = format!(
            "auth: {{token: {{realm: \"{}\", service: {}, issuer: {}, rootcertbundle: {}}}}}",
            issuer.realm(),
            TokenIssuer::SERVICE,
            TokenIssuer::NAME,
            issuer.certificate().display()
        );
        Self::start(&storage, &auth).owning(storage)
    }

    pub(crate) fn start(storage: &Path, extra: &str) -> Self {
        Self::start_with(storage, "", extra)
    }

    fn start_with(storage: &Path, http: &str, extra: &str) -> Self {
        // A port that was free may be another's by now.
        let mut tries = (0..5).map(|_| Self::try_start(storage, http, extra));
        tries.find_map(|it| it).expect("a registry that starts")
    }

    /// Nothing where the program has ended.
    fn try_start(storage: &Path, http: &str, extra: &str) -> Option<Self> {
        let host = format!("127.0.0.1:{}", free_port());
        let scratch = scratch("registry");
        fs::create_dir_all(&scratch).unwrap();
        let configuration = scratch.join("config.yml");
        let text = format!(
            "version: 0.1\nhttp: {{addr: \"{host}\"{http}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n{extra}\n",
            storage.display()
        );
        fs::write(&configuration, text).unwrap();
        let log = scratch.join("log");
        let output = fs::File::create(&log).unwrap();
        // Not even a test that is killed leaves its registry behind.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut registry = Self {
            process,
            host,
            log,
            scratch: vec![scratch],
        };
        registry.starts().then_some(registry)
    }

    fn owning(mut self, storage: PathBuf) -> Self {
        self.scratch.push(storage);
        self
    }

    /// Waits until it says itself that it listens: somebody else may do so at its address.
    fn starts(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        let listens = format!("listening on {}", self.host);
        while !self.written().contains(&listens) {
            if self.process.try_wait().unwrap().is_some() {
                println!("a registry has ended: {}", self.written());
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "the registry did not start: {}",
                self.written()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        TcpStream::connect(&self.host).is_ok()
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where an empty registry keeps a blob.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hash = digest.trim_start_matches("sha256:");
        let storage = self.scratch.last().unwrap();
        let blobs = storage.join("docker/registry/v2/blobs/sha256");
        blobs.join(&hash[..2]).join(hash).join("data")
    }

    /// The reference of a repository in this registry.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// The configuration, with which another one can serve the same images at the same address of
    /// another network namespace.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.log.with_file_name("config.yml")
    }

    /// Uploads a blob.
    pub fn put_blob(&self, repository: &str, blob: &[u8]) {
        put_blob(&self.host, repository, blob);
    }

    /// Uploads a manifest of a media type.
    pub fn put_manifest(&self, repository: &str, tag: &str, kind: &str, manifest: &Value) {
        let bytes = manifest.to_string();
        put_manifest(&self.host, repository, tag, kind, bytes.as_bytes());
    }

    fn written(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What was asked of the registry, once it has written all of it: a line is written after its
    /// answer has been sent.
    #[must_use]
    pub fn log(&self) -> String {
        let mut log = self.written();
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let later = self.written();
            if later == log {
                return log;
            }
            log = later;
        }
    }

    /// How many blobs were asked for.
    #[must_use]
    pub fn blob_requests(&self) -> usize {
        let log = self.log();
        log.lines()
            .filter(|line| line.contains("\"GET /v2/") && line.contains("/blobs/"))
            .count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = Command::new("rm").arg("-rf").args(&self.scratch).status();
    }
}

/// A port that nobody listened on a moment ago, and that the kernel gives to nobody who does not ask for
/// it: below `ip_local_port_range`.
pub(crate) fn free_port() -> u16 {
    // Tests that run at the same time have other process ids.
    let first = std::process::id() * 64 + next_number();
    let mut ports = (first..).map(|number| 10_000 + (number % 20_000) as u16);
    let is_free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    ports.find(is_free).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let (process, number) = (std::process::id(), next_number());
    PathBuf::from(format!("/var/tmp/carrier-e2e-{name}-{process}-{number}"))
}

/// Another number each time.
fn next_number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}
