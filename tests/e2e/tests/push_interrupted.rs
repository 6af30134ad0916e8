//! `carrier push` to registries that break, refuse, or send uploads elsewhere.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use carrier_e2e::{Cx, Image, Layer, Outcome, Registry, UploadFault, UploadRegistry};
use serde_json::json;

/// An image with one large layer that does not compress.
fn large(megabytes: usize) -> Image {
    let mut seed = 1_u64;
    let mut byte = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    let bytes: Vec<u8> = (0..megabytes << 20).map(|_| byte()).collect();
    Image::new(vec![Layer::new().file("f", bytes)], json!({}))
}

/// A world with the image, and the password of the registry `host`.
fn with_image(host: &str, megabytes: usize) -> (Cx, String) {
    let cx = Cx::new();
    let source = Registry::empty();
    large(megabytes).push(source.host(), "large", "latest");
    let image = source.reference("large");
    cx.carrier(["pull", "-q", &image]).succeeds();
    let config = json!({ "auths": { host: { "auth": "YW5uOnNlY3JldA==" } } });
    cx.script(&format!(
        "mkdir -p ~/.docker && echo '{config}' > ~/.docker/config.json"
    ))
    .succeeds();
    (cx, image)
}

fn push(fault: UploadFault, megabytes: usize) -> (UploadRegistry, Cx, Outcome) {
    let registry = UploadRegistry::serve(fault);
    let (cx, image) = with_image(registry.host(), megabytes);
    let destination = format!("{}/x:latest", registry.host());
    let outcome = cx.carrier(["push", &image, &destination]);
    (registry, cx, outcome)
}

#[track_caller]
fn assert_complete(registry: &UploadRegistry, outcome: Outcome) {
    let outcome = outcome.succeeds();
    let digest = registry.tagged("latest").unwrap();
    outcome.shows(&format!("latest: digest: {digest} size: "));
}

#[test]
fn a_broken_upload_goes_on_where_it_stopped() {
    let (registry, _cx, outcome) = push(UploadFault::BreaksAndRemembers, 3);
    assert_complete(&registry, outcome);
    let (sent, size) = (registry.received(), registry.stored());
    assert_eq!(sent, size, "{:#?}", registry.requests());
    println!("upload broken at half: {sent} bytes sent for {size}");
}

#[test]
fn a_broken_upload_that_the_registry_forgot_begins_anew() {
    let (registry, _cx, outcome) = push(UploadFault::BreaksAndForgets, 3);
    assert_complete(&registry, outcome);
    let (sent, size) = (registry.received(), registry.stored());
    assert!(sent > size && sent < 2 * size, "{sent} of {size}");
}

#[test]
fn an_upload_that_always_breaks_is_given_up() {
    let (registry, _cx, outcome) = push(UploadFault::BreaksAlways, 1);
    outcome.exits_with(125).complains("broke");
    assert_eq!(registry.tagged("latest"), None);
    let starts = registry.requests();
    let starts = starts
        .iter()
        .filter(|line| line.starts_with("POST") && line.contains("Basic"));
    assert!(starts.count() <= 5 + 1);
}

#[test]
fn a_registry_that_takes_only_chunks_gets_chunks_of_the_size_that_it_wants() {
    let least = 17 << 20;
    let (registry, _cx, outcome) = push(UploadFault::OnlyChunks(least), 40);
    assert_complete(&registry, outcome);
    let requests = registry.requests();
    let chunks: Vec<&String> = requests
        .iter()
        .filter(|line| line.starts_with("PATCH") && line.contains("range="))
        .collect();
    assert!(chunks.len() >= 3, "{requests:#?}");
    let expected = format!("range=0-{} length={least}", least - 1);
    assert!(
        chunks.iter().any(|line| line.contains(&expected)),
        "{chunks:#?}"
    );
}

#[test]
fn credentials_do_not_follow_an_upload_to_another_host() {
    let (registry, _cx, outcome) = push(UploadFault::Elsewhere, 1);
    assert_complete(&registry, outcome);
    let requests = registry.requests();
    let elsewhere = requests.iter().filter(|line| line.contains("home=false"));
    let elsewhere: Vec<&String> = elsewhere.collect();
    assert!(elsewhere.len() >= 2, "{requests:#?}");
    assert!(
        elsewhere
            .iter()
            .all(|line| line.ends_with("authorization="))
    );
}

#[test]
fn an_upload_is_not_sent_to_where_clouds_keep_secrets() {
    let (registry, _cx, outcome) = push(UploadFault::ToMetadata, 1);
    let outcome = outcome.exits_with(125);
    assert!(outcome.errors().contains("link-local"), "{outcome:#?}");
    assert_eq!(registry.stored(), 0);
}

#[test]
fn a_tag_that_cannot_be_changed_is_reported_in_the_registrys_words() {
    let (_registry, _cx, outcome) = push(UploadFault::Immutable, 1);
    let outcome = outcome.exits_with(125);
    assert!(
        outcome.errors().contains("the tag is immutable"),
        "{outcome:#?}"
    );
}

#[test]
fn a_registry_that_is_busy_is_asked_again() {
    let (registry, _cx, outcome) = push(UploadFault::Busy, 1);
    assert_complete(&registry, outcome);
}

/// Passes connections on to a registry, and breaks the first one that has sent `limit` bytes.
fn breaking_proxy(target: String, limit: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let breaks = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&breaks);
    start(move || {
        for client in listener.incoming().filter_map(Result::ok) {
            let Ok(server) = TcpStream::connect(&target) else {
                return;
            };
            let mut backwards = (server.try_clone().unwrap(), client.try_clone().unwrap());
            start(move || std::io::copy(&mut backwards.0, &mut backwards.1));
            let counter = Arc::clone(&counter);
            start(move || forward(client, server, limit, &counter));
        }
    });
    (host, breaks)
}

fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) {
    std::thread::Builder::new().spawn(work).unwrap();
}

fn forward(mut client: TcpStream, mut server: TcpStream, limit: usize, breaks: &AtomicUsize) {
    let (mut buffer, mut sent) = (vec![0; 64 * 1024], 0);
    while let Ok(count) = client.read(&mut buffer) {
        if count == 0 || server.write_all(&buffer[..count]).is_err() {
            break;
        }
        sent += count;
        if sent > limit && breaks.fetch_max(1, Ordering::SeqCst) == 0 {
            break;
        }
    }
    for stream in [client, server] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn a_broken_connection_to_a_real_registry_does_not_end_the_push() {
    let own = Registry::empty();
    let (proxy, breaks) = breaking_proxy(own.host().to_owned(), 4 << 20);
    let (cx, image) = with_image(&proxy, 8);
    let pushed = cx
        .carrier(["push", &image, &format!("{proxy}/large:latest")])
        .succeeds();
    assert_eq!(breaks.load(Ordering::SeqCst), 1);
    let inspect = format!(
        "skopeo inspect --tls-verify=false --format '{{{{.Digest}}}}' docker://{}",
        own.reference("large:latest")
    );
    let digest = cx.script(&inspect).succeeds();
    pushed.shows(digest.text());
}
