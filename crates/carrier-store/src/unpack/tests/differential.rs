//! What Carrier accepts, it sees as GNU tar, bsdtar and Python's tarfile do: 10,000 mutated archives.
//!
//! Where readers differ, a scanner and Carrier could see different files in one layer (U-10). Archives
//! that Carrier refuses are none of its business; those that a peer complains about are none of that
//! peer's.

mod gnu;
mod mutations;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::super::archive::{Archive, Kind};
use super::super::stream::TarStream;
use super::*;

/// As many as `CARRIER_FUZZ_ARCHIVES` says, or these.
const ARCHIVES: u64 = 10_000;

/// Files of ten digits would be written out by peers.
const LONGEST: u64 = 1 << 20;

/// One entry, as every reader can describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Seen {
    kind: String,
    /// In hexadecimal digits, as is the link.
    name: String,
    size: i64,
    link: String,
    digest: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(bytes: &[u8]) -> String {
    hex(&<[u8; 32]>::from(Sha256::digest(bytes)))
}

/// What Carrier sees, and all contents one after the other where no file has holes: with those GNU tar
/// ends early when it writes to a pipe.
fn by_carrier(bytes: &[u8]) -> Result<(Vec<Seen>, Option<Vec<u8>>), UnpackError> {
    let limits = Limits {
        bytes: LONGEST,
        ..Limits::default()
    };
    let stream = TarStream::new(bytes, Compression::None, &limits).map_err(UnpackError::Stream)?;
    let mut archive = Archive::new(stream, &limits);
    let (mut seen, mut contents) = (Vec::new(), Some(Vec::new()));
    while let Some(entry) = archive.next_entry()? {
        let mut stored = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match archive.read(&mut buffer)? {
                0 => break,
                count => stored.extend_from_slice(&buffer[..count]),
            }
        }
        let content = match &entry.sparse {
            None => stored,
            Some(map) => {
                contents = None;
                let mut whole = vec![0; usize::try_from(map.size).unwrap()];
                let mut from = stored.as_slice();
                for (place, length) in &map.parts {
                    let [place, length] = [*place, *length].map(|n| usize::try_from(n).unwrap());
                    let (part, rest) = from.split_at(length);
                    whole[place..place + length].copy_from_slice(part);
                    from = rest;
                }
                whole
            }
        };
        let (kind, size, link, hash) = match entry.kind {
            Kind::File => (
                "file",
                i64::try_from(content.len()).unwrap(),
                &b""[..],
                digest(&content),
            ),
            Kind::Directory => ("directory", 0, &b""[..], String::new()),
            Kind::Symlink => ("symlink", 0, &entry.link[..], String::new()),
            Kind::HardLink => ("hardlink", 0, &entry.link[..], String::new()),
            Kind::Fifo => ("fifo", 0, &b""[..], String::new()),
            Kind::Device => ("device", 0, &b""[..], String::new()),
        };
        seen.push(Seen {
            kind: kind.to_owned(),
            name: hex(&entry.path),
            size,
            link: hex(link),
            digest: hash,
        });
        if let Some(contents) = &mut contents {
            contents.extend_from_slice(&content);
        }
    }
    archive.into_stream().finish()?;
    Ok((seen, contents))
}

/// Python, with its own reader and that of bsdtar.
struct Peers {
    process: Child,
    answers: io::Lines<BufReader<std::process::ChildStdout>>,
}

#[derive(Deserialize)]
struct Answer {
    tarfile: Option<Vec<Seen>>,
    libarchive: Option<Vec<Seen>>,
}

impl Peers {
    fn start() -> Self {
        let mut process = Command::new("python3")
            .args(["-c", include_str!("differential/peers.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, answers }
    }

    fn ask(&mut self, archive: &Path) -> Answer {
        let questions = self.process.stdin.as_mut().unwrap();
        writeln!(questions, "{}", archive.display()).unwrap();
        let line = self.answers.next().expect("Python has ended").unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[derive(Default)]
struct Tally {
    refused: u64,
    compared: BTreeMap<&'static str, u64>,
    explained: BTreeMap<&'static str, u64>,
    unexplained: Vec<String>,
}

/// Differences that are none of Carrier's making: each has to explain all that differs.
type Explanation = (&'static str, fn(&Seen, &Seen) -> bool);

const PYTHONS: [Explanation; 2] = [
    (
        "a file whose name ends with a slash is a directory",
        |ours, theirs| {
            let empty = (theirs.kind.as_str(), theirs.size) == ("file", 0);
            ours.kind == "directory" && empty && ours.name == theirs.name
        },
    ),
    (
        "the times in a header of GNU's are no part of a name",
        |ours, theirs| {
            let front = theirs.name.strip_suffix(ours.name.trim_start_matches("2f"));
            let front = front.and_then(|front| front.strip_suffix("2f"));
            // Octal digits and spaces.
            let is_number = |text: &str| {
                text.as_bytes()
                    .chunks(2)
                    .all(|c| c == b"20" || c[0] == b'3')
            };
            let front = front.filter(|front| is_number(front));
            let named = Seen {
                name: theirs.name.clone(),
                ..ours.clone()
            };
            front.is_some() && named == *theirs
        },
    ),
];

fn explanation(peer: &str, ours: &[Seen], theirs: &[Seen]) -> Option<&'static str> {
    if peer != "tarfile" || ours.len() != theirs.len() {
        return None;
    }
    let explains = |(_, explains): &&Explanation| {
        let mut pairs = ours.iter().zip(theirs);
        pairs.all(|(ours, theirs)| ours == theirs || explains(ours, theirs))
    };
    PYTHONS.iter().find(explains).map(|(reason, _)| *reason)
}

impl Tally {
    fn compare(&mut self, seed: u64, peer: &'static str, ours: &[Seen], theirs: &[Seen]) {
        *self.compared.entry(peer).or_default() += 1;
        let plain = |entries: &[Seen]| -> Vec<Seen> { entries.iter().map(normal).collect() };
        let (ours, theirs) = (plain(ours), plain(theirs));
        if ours == theirs {
            return;
        }
        match explanation(peer, &ours, &theirs) {
            Some(reason) => *self.explained.entry(reason).or_default() += 1,
            None => {
                let differs = |at: &usize| ours.get(*at) != theirs.get(*at);
                let at = (0..ours.len().max(theirs.len())).find(differs);
                let at = at.unwrap_or(0);
                let (ours, theirs) = (ours.get(at), theirs.get(at));
                let difference = format!("archive {seed}: {ours:?} and for {peer} {theirs:?}");
                self.unexplained.push(difference);
            }
        }
    }
}

/// Slashes at the end of a name say nothing that the kind does not say; several are as good as one.
fn normal(entry: &Seen) -> Seen {
    let mut bytes: Vec<&str> = Vec::new();
    for start in (0..entry.name.len()).step_by(2) {
        let byte = &entry.name[start..start + 2];
        if byte != "2f" || bytes.last() != Some(&"2f") {
            bytes.push(byte);
        }
    }
    if bytes.last() == Some(&"2f") {
        bytes.pop();
    }
    Seen {
        name: bytes.concat(),
        ..entry.clone()
    }
}

#[test]
fn u10_u11_what_carrier_accepts_its_peers_see_too() {
    let wanted = std::env::var("CARRIER_FUZZ_ARCHIVES").ok();
    let archives = wanted.map_or(ARCHIVES, |count| count.parse().unwrap());
    let home = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let workers: Vec<_> = (0..2)
        .map(|first| {
            let path = home.path().join(format!("{first}.tar"));
            let work = move || run((first..archives).step_by(2), &path);
            std::thread::Builder::new().spawn(work).unwrap()
        })
        .collect();
    let mut total = Tally::default();
    for worker in workers {
        let part = worker.join().unwrap();
        total.refused += part.refused;
        for (peer, count) in part.compared {
            *total.compared.entry(peer).or_default() += count;
        }
        for (reason, count) in part.explained {
            *total.explained.entry(reason).or_default() += count;
        }
        total.unexplained.extend(part.unexplained);
    }
    println!(
        "compared: {:?}; explained: {:?}",
        total.compared, total.explained
    );
    println!(
        "{archives} archives, {} refused by carrier, {} unexplained differences",
        total.refused,
        total.unexplained.len()
    );
    for difference in total.unexplained.iter().take(20) {
        println!("{difference}");
    }
    assert!(total.unexplained.is_empty());
    // Refusing everything would be no reader.
    assert!(total.refused < archives * 3 / 4);
}

fn run(seeds: impl Iterator<Item = u64>, path: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut peers = Peers::start();
    for seed in seeds {
        let bytes = mutations::archive(seed);
        let Ok((ours, contents)) = by_carrier(&bytes) else {
            tally.refused += 1;
            continue;
        };
        fs::write(path, &bytes).unwrap();
        let Answer {
            tarfile,
            libarchive,
        } = peers.ask(path);
        if let Some(theirs) = tarfile {
            tally.compare(seed, "tarfile", &ours, &theirs);
        }
        if let Some(theirs) = libarchive {
            tally.compare(seed, "bsdtar", &ours, &theirs);
        }
        if let Some(mut theirs) = gnu::list(path) {
            // It tells the contents apart from the names.
            let mut ours = ours;
            ours.iter_mut().for_each(|entry| entry.digest.clear());
            if let (Some(ours_all), Some(theirs_all)) = (contents, gnu::contents(path)) {
                ours.push(all(&ours_all));
                theirs.push(all(&theirs_all));
            }
            tally.compare(seed, "gnu", &ours, &theirs);
        }
    }
    tally
}

fn all(contents: &[u8]) -> Seen {
    Seen {
        kind: "all contents".to_owned(),
        digest: digest(contents),
        ..Seen::default()
    }
}
