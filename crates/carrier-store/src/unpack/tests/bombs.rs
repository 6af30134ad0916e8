//! Streams that are too much, too short or not what they say: U-14, U-15.

use super::*;

/// The same bytes again and again.
struct Repeated {
    bytes: Vec<u8>,
    at: usize,
    times: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() {
            (self.at, self.times) = (0, self.times.saturating_sub(1));
        }
        if self.times == 0 {
            return Ok(0);
        }
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// Seven GiB of zeros in ten thousand members of gzip.
fn gzip_bomb() -> impl Read {
    let header = Layer::default().file("f", "").change(|block| {
        block[124..136].copy_from_slice(format!("{:011o}\0", 7_u64 << 30).as_bytes());
    });
    let head = io::Cursor::new(gzip(&header.0));
    let zeros = Repeated {
        bytes: gzip(&vec![0; 700_000]),
        at: 0,
        times: 10_240,
    };
    head.chain(zeros)
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib << 10
}

const MIB: u64 = 1 << 20;

#[test]
fn u14_a_bomb_stops_at_the_limit_of_bytes() {
    let limits = Limits {
        bytes: 64 * MIB,
        ..Limits::default()
    };
    let scene = Scene::new();
    let error = scene
        .unpack_limited(gzip_bomb(), Compression::Gzip, limits)
        .unwrap_err();
    assert_eq!(error.to_string(), "the layer has more than 67108864 bytes");
    assert!(fs::metadata(scene.layer("f")).unwrap().len() <= 65 * MIB);
    assert!(peak_memory() <= 64 * MIB, "{} bytes", peak_memory());
}

#[test]
fn u14_a_bomb_stops_when_it_expands_too_much() {
    let mut limits = Limits::default();
    limits.expansion.from = 16 * MIB;
    let scene = Scene::new();
    let error = scene
        .unpack_limited(gzip_bomb(), Compression::Gzip, limits)
        .unwrap_err();
    assert!(matches!(error, UnpackError::Bomb { max: 500 }), "{error}");
    // The decoder reads ahead: what it has read counts for what it has given.
    assert!(fs::metadata(scene.layer("f")).unwrap().len() <= 200 * MIB);
}

#[test]
fn u14_windows_of_zstd_are_bounded() {
    // RFC 8878, section 3.1.1: magic, flags, window, one raw block, which is the last.
    let tar = Layer::default().file("f", "x").bytes();
    let frame = |window_log: u8| {
        let block = (u32::try_from(tar.len()).unwrap() << 3) | 1;
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
        [&head[..], &block.to_le_bytes()[..3], &tar].concat()
    };
    let unpack = |log| Scene::new().unpack_bytes(&frame(log), Compression::Zstd);
    assert_eq!(unpack(27).unwrap().entries, 1);
    for log in [28, 31] {
        assert!(matches!(unpack(log), Err(UnpackError::Stream(_))), "{log}");
    }
}

#[test]
fn u14_entries_and_names_are_counted() {
    let many = |kind| {
        let head = Layer::default().add(kind, "d/name", "", b"");
        Repeated {
            bytes: head.0,
            at: 0,
            times: 10_000_000,
        }
    };
    let limits = Limits {
        entries: 5000,
        ..Limits::default()
    };
    let scene = Scene::new();
    let error = scene.unpack_limited(many(EntryType::Directory), Compression::None, limits);
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "the layer has more than 5000 entries");
    let limits = Limits {
        memory: MIB,
        ..Limits::default()
    };
    for kind in [EntryType::Directory, EntryType::Char] {
        let error = scene.unpack_limited(many(kind), Compression::None, limits);
        let error = error.unwrap_err().to_string();
        let expected = "the layer has more than 1048576 bytes of names of directories and devices";
        assert_eq!(error, expected);
    }
}

struct Stream<I>(I, Vec<u8>);

impl<I: Iterator<Item = Vec<u8>>> Read for Stream<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.is_empty() {
            self.1 = self.0.next().unwrap_or_default();
        }
        let count = buffer.len().min(self.1.len());
        buffer[..count].copy_from_slice(&self.1[..count]);
        self.1.drain(..count);
        Ok(count)
    }
}

#[test]
fn u13_u14_many_files_take_no_memory() {
    let mut name = 0_u32;
    let files = std::iter::from_fn(|| {
        name += 1;
        (name <= 10_000).then(|| Layer::default().file(&format!("d/{name}"), "").0)
    });
    let before = peak_memory();
    let scene = Scene::new();
    let stream = Stream(files, Vec::new());
    let summary = scene.unpack_limited(stream, Compression::None, Limits::default());
    assert_eq!(summary.unwrap().entries, 10_000);
    assert!(peak_memory() - before <= 8 * MIB);
}

#[test]
fn u14_a_nearly_full_file_system_is_left_alone() {
    let limits = Limits {
        reserve: Reserve {
            bytes: u64::MAX,
            percent: 101,
        },
        ..Limits::default()
    };
    let layer = Layer::default().file("f", "x").bytes();
    let scene = Scene::new();
    let error = scene.unpack_limited(layer.as_slice(), Compression::None, limits);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("No space left on device, which has to keep"),
        "{error}"
    );
    assert!(!scene.layer("f").exists());
}

#[test]
fn u15_a_hundred_flipped_bits_are_a_hundred_other_layers() {
    let layer = Layer::default()
        .dir("d")
        .file("d/f", &"content ".repeat(200))
        .symlink("l", "d/f")
        .bytes();
    let true_id = crate::blobs::digest_of(&layer);
    let mut refused = 0;
    for round in 0..100_usize {
        let mut bytes = layer.clone();
        let place = round * 7919 % bytes.len();
        bytes[place] ^= 1 << (round % 8);
        match Scene::new().unpack_bytes(&bytes, Compression::None) {
            Ok(summary) => assert_ne!(summary.diff_id.0, true_id),
            Err(_) => refused += 1,
        }
    }
    println!(
        "U-15: 100 flipped bits, {refused} refused while reading, the others by their diff ID"
    );
}

#[test]
fn u15_what_follows_the_last_member_of_gzip_is_refused() {
    let layer = gzip(&Layer::default().file("f", "x").bytes());
    let garbage = [layer.as_slice(), b"trailing"].concat();
    let error = Scene::new().unpack_bytes(&garbage, Compression::Gzip);
    assert!(matches!(error, Err(UnpackError::Stream(_))));
    let mut checksum = layer;
    let place = checksum.len() - 8;
    checksum[place] ^= 1;
    let error = Scene::new().unpack_bytes(&checksum, Compression::Gzip);
    assert!(matches!(error, Err(UnpackError::Stream(_))));
}

#[test]
fn u15_the_digest_is_of_the_whole_stream() {
    let layer = Layer::default().file("f", "x").bytes();
    let padded = [layer.as_slice(), b"trailing"].concat();
    let plain = Scene::new()
        .unpack_bytes(&layer, Compression::None)
        .unwrap();
    let trailing = Scene::new()
        .unpack_bytes(&padded, Compression::None)
        .unwrap();
    assert_eq!(plain.diff_id.0, crate::blobs::digest_of(&layer));
    assert_eq!(trailing.diff_id.0, crate::blobs::digest_of(&padded));
}

#[test]
fn u15_a_truncated_stream_is_refused() {
    let layer = Layer::default().file("f", &"x".repeat(5000)).bytes();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, &layer).unwrap();
    let gzip = encoder.finish().unwrap();
    for cut in [1, 8, gzip.len() / 2] {
        let bytes = &gzip[..gzip.len() - cut];
        assert!(
            Scene::new().unpack_bytes(bytes, Compression::Gzip).is_err(),
            "{cut} bytes less"
        );
    }
}
