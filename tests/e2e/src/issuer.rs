//! A token server for the real registry: JSON Web Tokens, signed with openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Cx;
use crate::authority::openssl;
use crate::internet::{Internet, Reply, Request};

/// A token server that knows `ann`, whose password is `secret`.
#[derive(Debug)]
pub struct TokenIssuer {
    internet: Internet,
    directory: PathBuf,
}

impl TokenIssuer {
    /// What the registry calls it.
    pub const NAME: &str = "issuer";
    /// What it calls the registry.
    pub const SERVICE: &str = "registry";

    /// Starts it; its tokens live for some seconds.
    #[must_use]
    pub fn start(cx: &Cx, lifetime: u64) -> Self {
        let directory = cx.home().parent().unwrap().join("issuer");
        fs::create_dir(&directory).unwrap();
        openssl(
            &directory,
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                "key",
                "-out",
                "certificate",
                "-days",
                "30",
                "-subj",
                "/CN=issuer",
            ],
        );
        let own = directory.clone();
        let script = move |request: &Request| answer(&own, lifetime, request);
        Self {
            internet: Internet::of(cx, &["issuer"], script),
            directory,
        }
    }

    /// Where tokens are given.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.internet.address())
    }

    /// What tokens are verified with.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("certificate")
    }

    /// What it was asked.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.internet.requests()
    }
}

fn answer(directory: &Path, lifetime: u64, request: &Request) -> Reply {
    // ann:secret
    if request.authorization() != "Basic YW5uOnNlY3JldA==" {
        return Reply::status(401).body(r#"{"errors":[{"message":"who are you"}]}"#);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs();
    let scopes = request
        .query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("scope="));
    let access: Vec<Value> = scopes
        .filter_map(|scope| {
            let mut parts = scope.splitn(3, ':');
            let (kind, name) = (parts.next()?, parts.next()?);
            let actions: Vec<&str> = parts.next()?.split(',').collect();
            Some(json!({ "type": kind, "name": name, "actions": actions }))
        })
        .collect();
    let claims = json!({
        "iss": TokenIssuer::NAME, "aud": TokenIssuer::SERVICE, "sub": "ann", "jti": "1",
        "iat": now - 1, "nbf": now - 1, "exp": now + lifetime, "access": access,
    });
    let token = sign(directory, &claims);
    Reply::json(json!({ "token": token, "expires_in": lifetime }))
}

fn sign(directory: &Path, claims: &Value) -> String {
    let certificate = fs::read_to_string(directory.join("certificate")).unwrap();
    let chain: String = certificate
        .lines()
        .filter(|line| !line.contains('-'))
        .collect();
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [chain] });
    let encoded = [header, claims.clone()].map(|part| base64url(part.to_string().as_bytes()));
    let text = encoded.join(".");
    let name = format!("{:?}", std::thread::current().id());
    let unsigned = directory.join(name.replace(['(', ')'], "-"));
    fs::write(&unsigned, &text).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign", "key"])
        .arg(&unsigned)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    format!("{text}.{}", base64url(&output.stdout))
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            let digit = bits >> (18 - 6 * place) & 63;
            text.push(DIGITS[digit as usize].into());
        }
    }
    text
}
