use super::*;
use crate::log::writer::LogWriter;
use crate::log::{LogLimits, Stream};
use std::fs;

const SMALL: LogLimits = LogLimits {
    max_size: 4096,
    max_file: 4,
};

fn all(_: &LogRecord<'_>) -> bool {
    true
}

fn text(reader: &mut LogReader) -> String {
    let mut text = Vec::new();
    let read = reader.read(&mut |record| {
        text.extend_from_slice(record.text);
        Ok(ControlFlow::Continue(()))
    });
    assert!(read.unwrap().is_continue());
    String::from_utf8(text).unwrap()
}

fn shown(directory: &Path, from: Begin) -> String {
    text(&mut LogReader::open(directory, from, false, &all).unwrap())
}

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

fn write(log: &mut LogWriter, range: std::ops::Range<u32>) {
    log.write(Stream::Stdout, lines(range).as_bytes());
    log.flush();
}

#[test]
fn a_log_is_read_across_its_files_and_from_its_end() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(shown(place.path(), Begin::Beginning), "");
    assert_eq!(shown(place.path(), Begin::End(3)), "");
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    write(&mut log, 0..150);
    assert!(fs::exists(place.path().join("log.json.2")).unwrap());
    assert_eq!(shown(place.path(), Begin::Beginning), lines(0..150));
    for tail in [0, 1, 2, 10, 50, 100, 149, 150, 151, 10_000] {
        let expected = lines(150_u32.saturating_sub(tail)..150);
        assert_eq!(
            shown(place.path(), Begin::End(tail.into())),
            expected,
            "{tail}"
        );
    }
}

#[test]
fn a_tail_is_of_lines_and_not_of_records() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), LogLimits::default()).unwrap();
    let long = "x".repeat(300_000) + "\n";
    log.write(Stream::Stdout, b"first\n");
    log.write(Stream::Stdout, long.as_bytes());
    log.write(Stream::Stderr, b"half");
    log.close();
    assert_eq!(shown(place.path(), Begin::End(1)), "half");
    assert_eq!(shown(place.path(), Begin::End(2)), format!("{long}half"));
    assert_eq!(
        shown(place.path(), Begin::End(3)),
        format!("first\n{long}half")
    );
}

#[test]
fn what_is_wanted_decides_which_lines_a_tail_counts() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    write(&mut log, 0..150);
    let wanted = |record: &LogRecord<'_>| record.text.ends_with(b"7\n");
    let mut reader = LogReader::open(place.path(), Begin::End(2), false, &wanted).unwrap();
    assert_eq!(text(&mut reader), lines(137..150));
}

#[test]
fn a_reader_follows_across_rotations_and_loses_no_line() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    let mut reader = LogReader::open(place.path(), Begin::Beginning, true, &all).unwrap();
    let mut read = String::new();
    for round in 0..100 {
        // Sometimes a rotation comes between two readings, sometimes two.
        let step = if round % 3 == 0 { 90 } else { 7 };
        let from = u32::try_from(read.lines().count()).unwrap();
        write(&mut log, from..from + step);
        read.push_str(&text(&mut reader));
        assert!(!reader.has_missed());
        assert_eq!(read.lines().count(), usize::try_from(from + step).unwrap());
    }
    let count = u32::try_from(read.lines().count()).unwrap();
    assert_eq!(read, lines(0..count));
}

#[test]
fn a_reader_that_is_too_slow_is_told_so_and_goes_on_with_what_there_is() {
    let place = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    write(&mut log, 0..10);
    let mut reader = LogReader::open(place.path(), Begin::Beginning, true, &all).unwrap();
    assert_eq!(text(&mut reader), lines(0..10));
    write(&mut log, 10..1000);
    let read = text(&mut reader);
    assert!(reader.has_missed() && !reader.has_missed());
    assert!(read.starts_with("line 10\n") && read.ends_with("line 999\n"));
}

#[test]
fn a_reader_goes_on_after_the_crash_of_a_writer() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log.json");
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    write(&mut log, 0..2);
    drop(log);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"log\":\"ha")).unwrap();
    assert_eq!(shown(place.path(), Begin::Beginning), lines(0..2));
    assert_eq!(shown(place.path(), Begin::End(1)), lines(1..2));
    let mut reader = LogReader::open(place.path(), Begin::End(1), true, &all).unwrap();
    assert_eq!(text(&mut reader), lines(1..2));
    let mut log = LogWriter::open(place.path(), SMALL).unwrap();
    assert_eq!(text(&mut reader), "");
    write(&mut log, 2..4);
    assert_eq!(text(&mut reader), lines(2..4));
}

#[test]
fn damage_hides_only_itself() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log.json");
    let mut log = LogWriter::open(place.path(), LogLimits::default()).unwrap();
    write(&mut log, 0..2);
    log.close();
    let mut content = fs::read(&path).unwrap();
    content.extend_from_slice(&vec![0; 3 << 20]);
    content.extend_from_slice(b"\n{}\nnull\n\n");
    fs::write(&path, &content).unwrap();
    let mut log = LogWriter::open(place.path(), LogLimits::default()).unwrap();
    write(&mut log, 2..4);
    assert_eq!(shown(place.path(), Begin::Beginning), lines(0..4));
    assert_eq!(shown(place.path(), Begin::End(3)), lines(1..4));
}

#[test]
fn reading_takes_the_same_memory_whatever_the_size() {
    let place = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        max_size: 1 << 30,
        max_file: 2,
    };
    let mut log = LogWriter::open(place.path(), limits).unwrap();
    for _ in 0..20 {
        write(&mut log, 0..10_000);
    }
    let mut reader = LogReader::open(place.path(), Begin::Beginning, false, &all).unwrap();
    let mut count = 0;
    let read = reader.read(&mut |_| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert!(read.unwrap().is_continue());
    assert_eq!(count, 200_000);
    assert!(reader.current.take().unwrap().into_buffer().len() <= 128 << 10);
}
