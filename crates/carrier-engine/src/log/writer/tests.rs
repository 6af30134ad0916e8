use super::*;
use crate::log::record::decode;

use std::fs;
use std::path::PathBuf;

const SMALL: LogLimits = LogLimits {
    max_size: 4096,
    max_file: 3,
};

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// The bytes of one stream in all files, the oldest first, and how many records they came in.
fn written(directory: &Path, stream: Stream, files: u32) -> (Vec<u8>, usize) {
    let (mut text, mut records) = (Vec::new(), 0);
    for number in (0..files).rev() {
        let name = match number {
            0 => "log.json".to_owned(),
            number => format!("log.json.{number}"),
        };
        let content = read(directory.join(name));
        assert!(
            content.is_empty() || content.ends_with(b"\n"),
            "whole records"
        );
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let mut scratch = Vec::new();
            let record = decode(&line[..line.len() - 1], &mut scratch).unwrap();
            if record.stream == stream {
                text.extend_from_slice(record.text);
                records += 1;
            }
        }
    }
    (text, records)
}

#[test]
fn lines_come_out_as_they_went_in_however_they_are_cut() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), LogLimits::default()).unwrap();
    log.write(Stream::Stdout, b"one\ntw");
    log.write(Stream::Stderr, b"error");
    log.write(Stream::Stdout, b"o\n\nfour");
    log.flush();
    assert_eq!(
        written(place.path(), Stream::Stdout, 1),
        (b"one\ntwo\n\n".to_vec(), 3)
    );
    log.close();
    assert_eq!(
        written(place.path(), Stream::Stdout, 1),
        (b"one\ntwo\n\nfour".to_vec(), 4)
    );
    assert_eq!(
        written(place.path(), Stream::Stderr, 1),
        (b"error".to_vec(), 1)
    );
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), LogLimits::default()).unwrap();
    let mut line = "x€".repeat(30_000).into_bytes();
    line.push(b'\n');
    for part in line.chunks(1000) {
        log.write(Stream::Stdout, part);
    }
    log.write(Stream::Stderr, &line);
    log.flush();
    for stream in [Stream::Stdout, Stream::Stderr] {
        assert_eq!(written(place.path(), stream, 1), (line.clone(), 8));
    }
    let content = String::from_utf8(read(place.path().join("log.json"))).unwrap();
    assert!(!content.contains("ufffd"));
}

#[test]
fn random_bytes_are_kept_exactly_across_rotation_and_bounded_on_the_disk() {
    let place = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        max_size: 300_000,
        max_file: 100,
    };
    let mut log = LogWriter::open(place.path(), limits).unwrap();
    let mut wrote = [Vec::new(), Vec::new()];
    let mut seed = 7_u64;
    for _ in 0..3000 {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()[0]
        };
        let stream = if next() & 1 == 0 {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        let length = usize::from(next()) * usize::from(next()) / 16;
        let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        log.write(stream, &bytes);
        wrote[stream as usize].extend_from_slice(&bytes);
        if next() == 0 {
            log.flush();
        }
    }
    assert_eq!(log.lost(), 0);
    log.close();
    for stream in [Stream::Stdout, Stream::Stderr] {
        assert!(written(place.path(), stream, 100).0 == wrote[stream as usize]);
    }
    for entry in fs::read_dir(place.path()).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= limits.max_size);
    }
}

#[test]
fn only_the_newest_files_stay() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    for number in 0..1000 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    log.close();
    let mut names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["log.json", "log.json.1", "log.json.2"]);
    let (text, records) = written(place.path(), Stream::Stdout, 3);
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with("line 998\nline 999\n"));
    assert!(text.starts_with(&format!("line {}\n", 1000 - records)));
}

#[test]
fn one_file_begins_anew_when_it_is_full() {
    let place = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        max_file: 1,
        ..SMALL
    };
    let mut log = LogWriter::open(place.path(), limits).unwrap();
    for number in 0..1000 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    log.close();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    let (text, _) = written(place.path(), Stream::Stdout, 1);
    assert!(text.ends_with(b"line 999\n"));
}

#[test]
fn half_a_record_of_a_crash_is_cut_off() {
    for (left, kept) in [
        (
            "{\"log\":\"whole\\n\"}\n{\"log\":\"ha",
            "{\"log\":\"whole\\n\"}\n",
        ),
        ("{\"log\":\"ha", ""),
        ("{\"log\":\"whole\\n\"}\n", "{\"log\":\"whole\\n\"}\n"),
        ("", ""),
    ] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log.json");
        fs::write(&path, left).unwrap();
        let mut log = LogWriter::open(place.path(), LogLimits::default()).unwrap();
        log.write(Stream::Stdout, b"next\n");
        log.close();
        let content = fs::read_to_string(&path).unwrap();
        let next = content.strip_prefix(kept).unwrap();
        assert!(next.starts_with("{\"log\":\"next\\n\"") && next.ends_with("}\n"));
    }
}

#[test]
fn what_a_full_disk_does_not_take_is_counted_and_leaves_whole_records() {
    let place = tempfile::tempdir().unwrap();
    let limits = LogLimits::default();
    let mut log = LogWriter::open(place.path(), limits).unwrap();
    log.write(Stream::Stdout, b"first\n");
    log.flush();
    // Every write to this device fails with ENOSPC.
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let file = log.file.replace(full.into());
    log.write(Stream::Stdout, b"lost\n");
    log.flush();
    assert!(log.lost() > 0);
    log.file = file;
    log.write(Stream::Stdout, b"last\n");
    log.close();
    assert_eq!(
        written(place.path(), Stream::Stdout, 1),
        (b"first\nlast\n".to_vec(), 2)
    );
}

#[test]
fn a_directory_that_has_gone_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    place.close().unwrap();
    for _ in 0..1000 {
        log.write(Stream::Stdout, b"nobody keeps this line of text\n");
    }
    assert!(log.lost() > 0);
    log.close();
}

#[test]
fn memory_does_not_grow_with_what_is_written() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    let escapes = vec![1; 1 << 20];
    log.write(Stream::Stdout, &escapes);
    log.write(Stream::Stderr, &escapes);
    log.flush();
    let held: usize = log.held.iter().map(Vec::capacity).sum();
    assert!(
        log.records.capacity() <= KEPT && held <= 2 * LONGEST && log.scratch.capacity() <= LONGEST
    );
}
