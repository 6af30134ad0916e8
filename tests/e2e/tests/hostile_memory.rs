//! What the processes that unpack layers know, while a pull goes on: threat U-17.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carrier_e2e::{BadRegistry, Cx, Image, Layer, Mischief, Rule, Target, is_root, skip};
use serde_json::json;

/// Bytes that no compression makes fewer, xorshift.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(length).collect()
}

#[test]
fn u17_processes_that_unpack_know_no_credentials() {
    const NAME: &str = "u17_processes_that_unpack_know_no_credentials";
    if !is_root() {
        return skip(NAME, "only root can read the memory of a set-up process");
    }
    let cx = Cx::new();
    let image = Image::new(
        vec![Layer::new().file("f", noise(400_000))],
        json!({ "Cmd": ["/f"] }),
    );
    let slow = Rule {
        target: Target::Layer,
        times: usize::MAX,
        mischief: Mischief::Paced(50_000),
    };
    let registry = BadRegistry::serve(&image, vec![slow]);
    let name = registry.image();
    let host = name.trim_end_matches("/image");
    // carrier:canary-password
    let config = json!({ "auths": { host: { "auth": "Y2FycmllcjpjYW5hcnktcGFzc3dvcmQ=" } } });
    cx.script(&format!(
        "mkdir -p ~/.docker && echo '{config}' > ~/.docker/config.json"
    ));
    let mut pull = cx.start(["pull", "-q", &name]);
    let unpackers = descendants_that_unpack(pull.id());
    let secrets: [&[u8]; 3] = [b"canary-password", b"Y2FycmllcjpjYW5h", b"t0ken"];
    let known = |process: &Path| secrets.map(|secret| memory_has(process, secret));
    let command = PathBuf::from(format!("/proc/{}", pull.id()));
    assert!(
        known(&command).contains(&true),
        "the command knows none either"
    );
    for process in &unpackers {
        assert_eq!(known(process), [false; 3], "{}", process.display());
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    println!(
        "U-17: {} processes that unpack, none knows a secret",
        unpackers.len()
    );
    cx.until_swept();
    cx.carrier(["pull", "-q", &name]).succeeds();
}

/// The processes below `pull`, once the second, which has a layer to unpack, is there.
fn descendants_that_unpack(pull: u32) -> Vec<PathBuf> {
    let children = |id: u32| -> Vec<u32> {
        let path = format!("/proc/{id}/task/{id}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect()
    };
    let look = || {
        let first = children(pull);
        let second: Vec<u32> = first.iter().flat_map(|id| children(*id)).collect();
        (first, second)
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if !look().1.is_empty() {
            // Long enough for the first bytes of the layer, and for helpers to end.
            std::thread::sleep(Duration::from_millis(300));
            let (first, second) = look();
            assert!(!second.is_empty());
            let all = first.iter().chain(&second);
            return all.map(|id| PathBuf::from(format!("/proc/{id}"))).collect();
        }
        assert!(Instant::now() < deadline, "no process unpacks");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn memory_has(process: &Path, wanted: &[u8]) -> bool {
    use std::os::unix::fs::FileExt as _;
    let memory = fs::File::open(process.join("mem")).unwrap();
    let maps = fs::read_to_string(process.join("maps")).unwrap();
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    let mut regions = writable.filter_map(|line| {
        let (first, last) = line.split_once(' ')?.0.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (first, last) = (number(first)?, number(last)?);
        let mut bytes = vec![0; usize::try_from(last - first).ok()?];
        memory.read_exact_at(&mut bytes, first).ok()?;
        Some(bytes)
    });
    regions.any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
}
