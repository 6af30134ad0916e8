//! Registries that misbehave: what can be mended is, and the rest is refused in one line, without a
//! storm of requests, and leaves nothing.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use carrier_e2e::{BadRegistry, Cx, Image, Layer, Mischief, Rule, Target};
use serde_json::json;

use Mischief::{
    Changed, Chunked, Elsewhere, Encoded, Expired, HugeHeader, LongerHeader, NoRanges, Old,
    Redirects, RedirectsTo, Reset, Shortened, Silence, Slow, TooLong, Truncated, Unsatisfiable,
    WrongBytes, WrongRange, WrongType,
};
use Target::{Config, Layer as Blob, Manifest, Token};

const ALL: &[Target] = &[Manifest, Config, Blob, Token];
const IMAGE: &[Target] = &[Manifest, Config, Blob];
const BLOBS: &[Target] = &[Config, Blob];
const FOREVER: usize = usize::MAX;

/// A client that asks more often for one thing makes a bad day worse.
const MOST_REQUESTS: usize = 12;

/// What is to become of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeeds,
    IsRefused,
}

use End::{IsRefused, Succeeds};

type Case = (&'static str, Mischief, usize, &'static [Target], End);

fn image() -> Image {
    let noise: Vec<u8> = (0..400_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    Image::new(
        vec![Layer::new().file("f", noise)],
        json!({ "Cmd": ["/f"] }),
    )
}

fn status(line: &'static str) -> Mischief {
    Mischief::Status(line, String::new())
}

fn busy(retry_after: impl std::fmt::Display) -> Mischief {
    let field = format!("Retry-After: {retry_after}\r\n");
    Mischief::Status("503 Service Unavailable", field)
}

/// A moment as HTTP writes it, RFC 9110 section 5.6.7.
fn date(from_now: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = i64::try_from(now.unwrap().as_secs()).unwrap() + from_now;
    let shown = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{at}"), "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

fn bodies() -> Vec<Case> {
    vec![
        ("nothing comes", Truncated(0), 1, ALL, Succeeds),
        ("1 % comes", Truncated(100), 1, ALL, Succeeds),
        ("half comes", Truncated(5_000), 1, ALL, Succeeds),
        ("99.99 % come", Truncated(9_999), 1, ALL, Succeeds),
        (
            "never more than half",
            Truncated(0),
            FOREVER,
            ALL,
            IsRefused,
        ),
        ("a short answer", Shortened, 1, BLOBS, Succeeds),
        (
            "a short document",
            Shortened,
            FOREVER,
            &[Manifest, Token],
            IsRefused,
        ),
        ("too much", TooLong, FOREVER, ALL, IsRefused),
        ("wrong bytes", WrongBytes, FOREVER, ALL, IsRefused),
        (
            "a length that is a lie",
            LongerHeader,
            1,
            &[Manifest, Token],
            Succeeds,
        ),
        (
            "a length that is a lie",
            LongerHeader,
            FOREVER,
            BLOBS,
            IsRefused,
        ),
        ("a reset", Reset, 1, ALL, Succeeds),
        (
            "a reset each time",
            Reset,
            FOREVER,
            &[Manifest, Token],
            IsRefused,
        ),
        ("chunks", Chunked, FOREVER, ALL, Succeeds),
        ("an encoding", Encoded, FOREVER, ALL, IsRefused),
        ("HTTP/1.0", Old, FOREVER, ALL, Succeeds),
        ("another type", WrongType, FOREVER, ALL, Succeeds),
        ("a huge header", HugeHeader, FOREVER, ALL, IsRefused),
    ]
}

fn statuses() -> Vec<Case> {
    let forbidden = status("403 Forbidden");
    let missing = status("404 Not Found");
    let limited = || status("429 Too Many Requests");
    let error = || status("500 Internal Server Error");
    vec![
        ("500 once", error(), 1, ALL, Succeeds),
        ("500 always", error(), FOREVER, ALL, IsRefused),
        ("502 once", status("502 Bad Gateway"), 1, ALL, Succeeds),
        (
            "503 once",
            status("503 Service Unavailable"),
            1,
            ALL,
            Succeeds,
        ),
        ("503 for a second", busy(1), 1, ALL, Succeeds),
        ("503 until a date", busy(date(2)), 1, ALL, Succeeds),
        ("503 until yesterday", busy(date(-86_400)), 1, ALL, Succeeds),
        ("429 once", limited(), 1, ALL, Succeeds),
        ("429 four times", limited(), 4, ALL, Succeeds),
        ("429 always", limited(), FOREVER, ALL, IsRefused),
        ("401 in the middle", Expired, 1, BLOBS, Succeeds),
        ("401 always", Expired, FOREVER, IMAGE, IsRefused),
        ("403", forbidden, FOREVER, ALL, IsRefused),
        ("404", missing, FOREVER, ALL, IsRefused),
    ]
}

fn redirections() -> Vec<Case> {
    vec![
        ("a redirection", Redirects(1), FOREVER, IMAGE, Succeeds),
        ("five redirections", Redirects(5), FOREVER, IMAGE, Succeeds),
        (
            "fifty redirections",
            Redirects(50),
            FOREVER,
            IMAGE,
            IsRefused,
        ),
        (
            "a redirection elsewhere",
            Elsewhere,
            FOREVER,
            IMAGE,
            Succeeds,
        ),
        (
            "to a file",
            RedirectsTo("file:///etc/passwd"),
            FOREVER,
            IMAGE,
            IsRefused,
        ),
        (
            "to a link-local address",
            RedirectsTo("http://169.254.169.254/"),
            FOREVER,
            IMAGE,
            IsRefused,
        ),
    ]
}

/// What goes wrong when a broken layer is gone on with.
fn parts() -> Vec<Case> {
    vec![
        ("the whole for a part", NoRanges, FOREVER, &[Blob], Succeeds),
        ("another part", WrongRange, FOREVER, &[Blob], Succeeds),
        ("no such part", Unsatisfiable, FOREVER, &[Blob], Succeeds),
        (
            "a part of something else",
            Changed,
            FOREVER,
            &[Blob],
            Succeeds,
        ),
    ]
}

/// One pull, and how it is to end.
struct Trial {
    name: &'static str,
    target: Target,
    rules: Vec<Rule>,
    end: End,
}

impl Trial {
    /// Pulls the image into an empty store; the complaint where that does not end as it should.
    fn run(&self, cx: &Cx) -> Result<(), String> {
        let registry = BadRegistry::serve(&image(), self.rules.clone());
        let pull = cx.carrier(["pull", "-q", &registry.image()]);
        let there = cx.carrier(["ls", "-i", "-q"]).succeeds();
        if !there.text().is_empty() {
            cx.carrier(["rmi", there.text()]).succeeds();
        }
        cx.script("rm -r ~/.local/share/carrier").succeeds();
        let requests = registry.requests(self.target);
        let lines: Vec<&str> = pull.errors().lines().collect();
        let in_one_line = matches!(lines.as_slice(), [.., error, hint]
            if error.starts_with("carrier: ") && hint.starts_with("hint: "));
        let as_expected = match self.end {
            Succeeds => pull.is_success() && !there.text().is_empty(),
            IsRefused => pull.has_code(125) && in_one_line && there.text().is_empty(),
        };
        if as_expected && requests <= MOST_REQUESTS {
            return Ok(());
        }
        let Self {
            name, target, end, ..
        } = self;
        let images = there.text();
        Err(format!(
            "{name}, {target:?}: not {end:?} after {requests} requests: {pull:#?} with images {images:?}"
        ))
    }
}

/// Tries cases beside each other, for most of their time they wait; returns how many pulls there were.
fn try_all(cases: Vec<Case>, first: Option<&Mischief>) -> usize {
    try_all_with("", cases, first)
}

/// The same, with something in `config.toml`.
fn try_all_with(configuration: &str, cases: Vec<Case>, first: Option<&Mischief>) -> usize {
    let rule = |target, times, mischief: &Mischief| Rule {
        target,
        times,
        mischief: mischief.clone(),
    };
    let mut queue = Vec::new();
    for (name, mischief, times, targets, end) in cases {
        queue.extend(targets.iter().map(|target| {
            Trial {
                name,
                target: *target,
                rules: first
                    .map(|first| rule(*target, 1, first))
                    .into_iter()
                    .chain([rule(*target, times, &mischief)])
                    .collect(),
                end,
            }
        }));
    }
    let count = queue.len();
    let (queue, wrong) = (Mutex::new(queue), Mutex::new(Vec::new()));
    let work = |cx: Cx| {
        let next = || queue.lock().unwrap().pop();
        while let Some(trial) = next() {
            let complaint = trial.run(&cx).err();
            wrong.lock().unwrap().extend(complaint);
        }
    };
    // Before there are threads: a program that is being copied cannot be executed.
    let worlds: Vec<Cx> = std::iter::repeat_with(Cx::new).take(12).collect();
    for cx in &worlds {
        let configure = format!(
            "mkdir -p ~/.config/carrier && printf '{configuration}' > ~/.config/carrier/config.toml"
        );
        cx.script(&configure).succeeds();
    }
    std::thread::scope(|scope| {
        for cx in worlds {
            scope.spawn(|| work(cx));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    count
}

#[test]
fn bodies_that_are_not_what_they_should_be() {
    let modes = bodies().len();
    let tried = try_all(bodies(), None);
    println!("{modes} ways to spoil a body: {tried} pulls ended as they should");
}

#[test]
fn statuses_that_say_no_or_later() {
    let modes = statuses().len();
    let tried = try_all(statuses(), None);
    println!("{modes} ways to say no: {tried} pulls ended as they should");
}

/// Servers that hold a client up, which waits no longer than it was told.
#[test]
fn servers_that_hold_a_client_up() {
    let cases = vec![
        ("silence once", Silence, 1, ALL, Succeeds),
        ("silence always", Silence, FOREVER, ALL, IsRefused),
        ("a byte a second at first", Slow, 1, BLOBS, Succeeds),
        ("a byte a second always", Slow, FOREVER, BLOBS, IsRefused),
    ];
    let modes = cases.len();
    let tried = try_all_with("[network]\nread-timeout = 3\nretries = 2\n", cases, None);
    println!("{modes} ways to hold a client up: {tried} pulls ended as they should");
}

#[test]
fn redirections_are_followed_with_care() {
    let modes = redirections().len();
    let tried = try_all(redirections(), None);
    println!("{modes} redirections: {tried} pulls ended as they should");
}

#[test]
fn a_broken_layer_is_gone_on_with_whatever_the_registry_makes_of_parts() {
    let modes = parts().len();
    let tried = try_all(parts(), Some(&Truncated(5_000)));
    println!("{modes} answers to the request for a part: {tried} pulls ended as they should");
}

#[test]
fn a_layer_that_is_cut_ten_times_is_transferred_once() {
    const SIZE: usize = 30 << 20;
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(SIZE)
    .collect();
    let image = Image::new(
        vec![Layer::new().compressed_with("").file("f", noise)],
        json!({ "Cmd": ["/f"] }),
    );
    let cut = Rule {
        target: Blob,
        times: 10,
        mischief: Truncated(2_000),
    };
    let registry = BadRegistry::serve(&image, vec![cut]);
    let cx = Cx::new();
    let start = std::time::Instant::now();
    cx.carrier(["pull", &registry.image()]).succeeds();
    assert!(start.elapsed() < Duration::from_secs(60));
    let sent = registry.sent(Blob);
    assert!(registry.requests(Blob) > 10);
    assert!(
        sent as usize <= SIZE / 10 * 11,
        "{sent} bytes were sent of a layer of {SIZE}"
    );
    println!("cut 10 times: {sent} bytes were sent of a layer of {SIZE}");
}
