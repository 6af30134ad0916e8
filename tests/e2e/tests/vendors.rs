//! The dances of the vendors' registries, by their real names: see `carrier_e2e::Internet`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Internet, Layer, Reply, Request, Shelf};
use serde_json::json;

/// How one vendor does it.
struct Vendor {
    host: &'static str,
    repository: &'static str,
    /// What a request without a good token is answered.
    challenge: &'static str,
    /// The host and the path of the token server; none where passwords are taken.
    realm: Option<(&'static str, &'static str)>,
    /// The only token request that is answered.
    wanted: fn(&Request) -> bool,
    /// The only proof that the registry takes.
    proof: &'static str,
    /// The host where blobs are; the registry itself where it is the same.
    blobs: &'static str,
}

const TOKEN: &str = "Bearer t0ken";

fn image() -> Image {
    Image::new(
        vec![
            Layer::new().file("f", "content"),
            Layer::new().file("g", "more"),
        ],
        json!({ "Cmd": ["/f"] }),
    )
}

impl Vendor {
    /// Plays the vendor, and what stands around it.
    fn open(self, cx: &Cx) -> Internet {
        let mut hosts = vec![self.host, self.blobs];
        hosts.extend(self.realm.map(|(host, _)| host));
        let shelf = Shelf::of(self.repository, &image());
        Internet::of(cx, &hosts, move |request| self.answer(&shelf, request))
    }

    fn answer(&self, shelf: &Shelf, request: &Request) -> Reply {
        let (host, path) = (request.host.as_str(), request.path.as_str());
        if self.realm == Some((host, path)) {
            return if (self.wanted)(request) {
                Reply::json(json!({ "token": "t0ken", "access_token": "t0ken", "expires_in": 300 }))
            } else {
                let message = json!({ "errors": [{ "message": "no such account" }] });
                Reply::status(401).body(message.to_string())
            };
        }
        if host == self.blobs && host != self.host {
            // Storage services take their own signature, and refuse another one beside it.
            return match (request.authorization(), request.query.as_str()) {
                ("", "signature=1") => shelf.blob(path),
                _ => Reply::status(400),
            };
        }
        if host != self.host {
            return Reply::status(404);
        }
        if request.authorization() != self.proof {
            return Reply::challenge(self.challenge);
        }
        if path.contains("/blobs/") && host != self.blobs {
            let digest = path.rsplit('/').next().unwrap();
            let location = format!("https://{}/bucket/{digest}?signature=1", self.blobs);
            return Reply::redirect(307, &location);
        }
        if path == "/v2/" {
            return Reply::json("{}");
        }
        shelf.get(path)
    }
}

/// The image arrives, the token was fetched once, and nothing of ours went to where blobs are.
#[track_caller]
fn arrives(cx: &Cx, internet: &Internet, name: &str, full: &str) {
    let outcome = internet.carrier(cx, &format!("pull {name}")).succeeds();
    outcome.shows(&format!("\n{full}:latest"));
    let asked = internet.requests();
    let tokens = asked
        .iter()
        .filter(|it| it.path.contains("token") || it.path.contains("auth"));
    assert!(tokens.count() <= 1, "one token is enough: {asked:#?}");
    cx.carrier(["rmi", name]).succeeds();
}

/// Stores what a user would have, in Docker's file.
fn has(cx: &Cx, content: &serde_json::Value) {
    let script = format!("mkdir -p ~/.docker && cat > ~/.docker/config.json <<'X'\n{content}\nX");
    cx.script(&script).succeeds();
}

#[test]
fn docker_hub_has_its_realm_and_its_blobs_elsewhere() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "registry-1.docker.io",
        repository: "library/nginx",
        challenge: r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
        realm: Some(("auth.docker.io", "/token")),
        wanted: |request| {
            request.query == "service=registry.docker.io&scope=repository:library/nginx:pull"
                && request.authorization().is_empty()
        },
        proof: TOKEN,
        blobs: "production.cloudflare.docker.com",
    };
    let internet = vendor.open(&cx);
    arrives(&cx, &internet, "nginx", "docker.io/library/nginx");
}

#[test]
fn docker_hub_takes_a_login() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "registry-1.docker.io",
        repository: "ann/private",
        challenge: r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
        realm: Some(("auth.docker.io", "/token")),
        // ann:dckr_pat
        wanted: |request| {
            request.authorization() == "Basic YW5uOmRja3JfcGF0"
                && request.query.contains("account=ann")
        },
        proof: TOKEN,
        blobs: "production.cloudflare.docker.com",
    };
    let internet = vendor.open(&cx);
    let login = |password: &str| {
        let script = format!(
            "echo {password} | {} carrier login -u ann --password-stdin",
            internet.environment()
        );
        cx.script(&script)
    };
    login("wrong")
        .exits_with(125)
        .complains("registry docker.io does not accept the credentials: no such account");
    let denied = internet.carrier(&cx, "pull ann/private").exits_with(125);
    denied.complains("access to registry docker.io denied");
    login("dckr_pat").succeeds().prints("Login Succeeded");
    cx.script("grep -c https://index.docker.io/v1/ ~/.docker/config.json")
        .prints("1");
    internet
        .carrier(&cx, "pull -q ann/private")
        .succeeds()
        .prints("docker.io/ann/private:latest");
}

#[test]
fn quay_has_its_realm_below_its_api() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "quay.io",
        repository: "team/tool",
        challenge: r#"Bearer realm="https://quay.io/v2/auth",service="quay.io",scope="repository:team/tool:pull""#,
        realm: Some(("quay.io", "/v2/auth")),
        // A robot account: team+robot:secret
        wanted: |request| {
            request.authorization() == "Basic dGVhbStyb2JvdDpzZWNyZXQ="
                && request
                    .query
                    .starts_with("service=quay.io&scope=repository:team/tool:pull")
        },
        proof: TOKEN,
        blobs: "cdn01.quay.io",
    };
    let internet = vendor.open(&cx);
    has(
        &cx,
        &json!({ "auths": { "quay.io": { "auth": "dGVhbStyb2JvdDpzZWNyZXQ=" } } }),
    );
    arrives(&cx, &internet, "quay.io/team/tool", "quay.io/team/tool");
}

#[test]
fn github_gives_tokens_to_strangers() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "ghcr.io",
        repository: "ann/tool",
        challenge: r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:ann/tool:pull""#,
        realm: Some(("ghcr.io", "/token")),
        wanted: |request| request.authorization().is_empty(),
        proof: TOKEN,
        blobs: "pkg-containers.githubusercontent.com",
    };
    let internet = vendor.open(&cx);
    arrives(&cx, &internet, "ghcr.io/ann/tool", "ghcr.io/ann/tool");
}

#[test]
fn google_takes_a_key_in_json() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "europe-docker.pkg.dev",
        repository: "project/repo/tool",
        challenge: r#"Bearer realm="https://europe-docker.pkg.dev/v2/token",service="europe-docker.pkg.dev",scope="repository:project/repo/tool:pull""#,
        realm: Some(("europe-docker.pkg.dev", "/v2/token")),
        // _json_key:{"a": "b:c"}, and a line feed behind it is not part of it.
        wanted: |request| request.authorization() == "Basic X2pzb25fa2V5OnsiYSI6ICJiOmMifQ==",
        proof: TOKEN,
        blobs: "europe-docker.pkg.dev",
    };
    let internet = vendor.open(&cx);
    let _ = cx.file("key.json", "{\"a\": \"b:c\"}\n");
    let login =
        "carrier login -u _json_key --password-stdin https://europe-docker.pkg.dev < key.json";
    let login = format!("{} {login}", internet.environment());
    cx.script(&login).succeeds().prints("Login Succeeded");
    let name = "europe-docker.pkg.dev/project/repo/tool";
    internet.carrier(&cx, &format!("pull -q {name}")).succeeds();
}

#[test]
fn google_takes_an_access_token() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "gcr.io",
        repository: "project/tool",
        challenge: r#"Bearer realm="https://gcr.io/v2/token",service="gcr.io",scope="repository:project/tool:pull""#,
        realm: Some(("gcr.io", "/v2/token")),
        // oauth2accesstoken:ya29.x
        wanted: |request| request.authorization() == "Basic b2F1dGgyYWNjZXNzdG9rZW46eWEyOS54",
        proof: TOKEN,
        blobs: "storage.googleapis.com",
    };
    let internet = vendor.open(&cx);
    // As `gcloud auth configure-docker` arranges it.
    has(&cx, &json!({ "credHelpers": { "gcr.io": "gcloud" } }));
    helper(&cx, "gcloud", "gcr.io", "oauth2accesstoken", "ya29.x");
    arrives(&cx, &internet, "gcr.io/project/tool", "gcr.io/project/tool");
}

/// A program that knows the secret for one server.
fn helper(cx: &Cx, name: &str, server: &str, user: &str, secret: &str) {
    let answer = json!({ "ServerURL": server, "Username": user, "Secret": secret });
    let script = format!(
        "cat > bin/docker-credential-{name} <<'X'\n#!/bin/sh\nread -r server\n\
         test \"$1 $server\" = 'get {server}' && echo '{answer}' && exit\n\
         echo credentials not found in native keychain; exit 1\nX\n\
         chmod +x bin/docker-credential-{name}"
    );
    cx.script(&script).succeeds();
}

#[test]
fn amazons_private_registries_take_passwords_from_a_helper() {
    let cx = Cx::new();
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let vendor = Vendor {
        host,
        repository: "tool",
        challenge: r#"Basic realm="https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
        realm: None,
        wanted: |_| false,
        // AWS:temporary
        proof: "Basic QVdTOnRlbXBvcmFyeQ==",
        blobs: "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
    };
    let internet = vendor.open(&cx);
    has(&cx, &json!({ "credsStore": "ecr-login" }));
    helper(&cx, "ecr-login", host, "AWS", "temporary");
    let name = format!("{host}/tool");
    arrives(&cx, &internet, &name, &name);
}

#[test]
fn amazons_public_registry_has_a_scope_of_its_own() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "public.ecr.aws",
        repository: "docker/library/tool",
        challenge: r#"Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#,
        realm: Some(("public.ecr.aws", "/token/")),
        wanted: |request| request.query.contains("scope=aws") && request.authorization().is_empty(),
        proof: TOKEN,
        blobs: "d5l0dvt14r5h8.cloudfront.net",
    };
    let internet = vendor.open(&cx);
    let name = "public.ecr.aws/docker/library/tool";
    arrives(&cx, &internet, name, name);
}

#[test]
fn oracle_has_users_with_a_slash() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "fra.ocir.io",
        repository: "tenancy/tool",
        challenge: r#"Bearer realm="https://fra.ocir.io/20180419/docker/token",service="fra.ocir.io",scope="""#,
        realm: Some(("fra.ocir.io", "/20180419/docker/token")),
        // tenancy/ann@example.org:auth(token)
        wanted: |request| {
            request.authorization() == "Basic dGVuYW5jeS9hbm5AZXhhbXBsZS5vcmc6YXV0aCh0b2tlbik="
                && request.query.contains("scope=repository:tenancy/tool:pull")
        },
        proof: TOKEN,
        blobs: "objectstorage.eu-frankfurt-1.oraclecloud.com",
    };
    let internet = vendor.open(&cx);
    let auth = "dGVuYW5jeS9hbm5AZXhhbXBsZS5vcmc6YXV0aCh0b2tlbik=";
    has(
        &cx,
        &json!({ "auths": { "fra.ocir.io": { "auth": auth } } }),
    );
    arrives(
        &cx,
        &internet,
        "fra.ocir.io/tenancy/tool",
        "fra.ocir.io/tenancy/tool",
    );
}

#[test]
fn red_hat_has_its_realm_elsewhere_and_long_passwords() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "registry.redhat.io",
        repository: "ubi9/ubi",
        challenge: r#"Bearer realm="https://sso.redhat.com/auth/realms/rhcc/protocol/redhat-docker-v2/auth",service="docker-registry",scope="repository:ubi9/ubi:pull""#,
        realm: Some((
            "sso.redhat.com",
            "/auth/realms/rhcc/protocol/redhat-docker-v2/auth",
        )),
        // A service account's token of 1,400 characters.
        wanted: |request| {
            request.authorization().len() > 1800 && request.query.contains("account=123|ci")
        },
        proof: TOKEN,
        blobs: "cdn01.quay.io",
    };
    let internet = vendor.open(&cx);
    let login = format!(
        "printf '%01400d' 7 | {} carrier login -u '123|ci' --password-stdin registry.redhat.io",
        internet.environment()
    );
    cx.script(&login).succeeds().prints("Login Succeeded");
    let pulled = internet
        .carrier(&cx, "pull registry.redhat.io/ubi9/ubi")
        .succeeds();
    let note = "registry registry.redhat.io has its credentials checked by sso.redhat.com";
    assert!(pulled.errors().contains(note), "{pulled:#?}");
}

#[test]
fn azure_exchanges_an_identity_token() {
    let cx = Cx::new();
    let vendor = Vendor {
        host: "team.azurecr.io",
        repository: "tool",
        challenge: r#"Bearer realm="https://team.azurecr.io/oauth2/token",service="team.azurecr.io",scope="repository:tool:pull""#,
        realm: Some(("team.azurecr.io", "/oauth2/token")),
        wanted: |request| {
            let form = "grant_type=refresh_token&client_id=carrier&refresh_token=r3fresh\
                        &service=team.azurecr.io&scope=repository:tool:pull";
            request.method == "POST" && request.body == form && request.authorization().is_empty()
        },
        proof: TOKEN,
        blobs: "weumanaged.blob.core.windows.net",
    };
    let internet = vendor.open(&cx);
    // 00000000-0000-0000-0000-000000000000:, as `az acr login` leaves it.
    let auth = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
    let entry = json!({ "auth": auth, "identitytoken": "r3fresh" });
    has(&cx, &json!({ "auths": { "team.azurecr.io": entry } }));
    arrives(
        &cx,
        &internet,
        "team.azurecr.io/tool",
        "team.azurecr.io/tool",
    );
}

#[test]
fn an_identity_token_is_kept_instead_of_the_password() {
    let cx = Cx::new();
    let shelf = Shelf::of("tool", &image());
    let internet = Internet::of(&cx, &["id.example.org"], move |request| {
        let answer = json!({ "access_token": "t0ken", "refresh_token": "r3fresh" });
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/token") if request.query.contains("offline_token=true") => {
                Reply::json(answer)
            }
            // Like Google's, this server knows only GET.
            ("POST", "/token") => Reply::status(404),
            // ann:r3fresh
            ("GET", "/token") if request.authorization() == "Basic YW5uOnIzZnJlc2g=" => {
                Reply::json(json!({ "token": "t0ken" }))
            }
            (_, "/token") => Reply::status(401),
            _ if request.authorization() != TOKEN => Reply::challenge(
                r#"Basic realm="x", Bearer realm="https://id.example.org/token",service="x""#,
            ),
            (_, "/v2/") => Reply::json("{}"),
            (_, path) => shelf.get(path),
        }
    });
    let login = format!(
        "echo s3cret | {} carrier auth ann id.example.org --password-stdin; cat ~/.docker/config.json",
        internet.environment()
    );
    let kept = cx.script(&login).succeeds();
    let kept = kept.shows("Login Succeeded").shows("r3fresh");
    kept.hides("s3cret").hides("YW5uOnMzY3JldA==");
    internet
        .carrier(&cx, "pull -q id.example.org/tool")
        .succeeds();
}
