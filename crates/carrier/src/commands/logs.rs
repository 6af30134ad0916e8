//! `carrier logs`

use std::io;
use std::os::fd::BorrowedFd;

use carrier_engine::{Engine, LogFilter, LogOptions, LogRecord, LogSink, LogStream, parse_time};
use jiff::Timestamp;

use crate::cli::LogsArgs;
use crate::report::{Failure, tell};

/// Lines are written when there are so many bytes of them.
const ENOUGH: usize = 64 << 10;

pub(crate) fn logs(args: &LogsArgs) -> Result<u8, Failure> {
    let options = options(args)?;
    let engine = Engine::open()?;
    let mut printer = Printer::new(args);
    match engine.logs(&args.container, &options, &mut printer) {
        Ok(()) => Ok(0),
        // Docker's code; 125 is for what keeps a program from being run.
        Err(error) => {
            tell(&error.into());
            Ok(1)
        }
    }
}

fn options(args: &LogsArgs) -> Result<LogOptions, Failure> {
    let now = Timestamp::now();
    let time = |name: &str, text: &Option<String>| {
        match text.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => parse_time(text, now).map(Some).ok_or_else(|| {
            Failure::with_hint(
                format!("invalid value for --{name}: {text:?} is no time"),
                "times are durations before now like 10m or 1h30m, dates like 2026-01-02T15:04:05Z, \
                 or seconds since 1970",
            )
        }),
    }
    };
    Ok(LogOptions {
        follow: args.follow,
        tail: tail(&args.tail)?,
        since: time("since", &args.since)?,
        until: time("until", &args.until)?,
        filter: filter(args)?,
    })
}

/// A negative number is all, as in Docker.
fn tail(text: &str) -> Result<Option<u64>, Failure> {
    match text.parse::<i64>() {
        Ok(number) => Ok(u64::try_from(number).ok()),
        Err(_) if text == "all" => Ok(None),
        Err(_) => Err(Failure::with_hint(
            format!("invalid value for --tail: {text:?} is no number of lines"),
            "write --tail 100, or --tail all",
        )),
    }
}

fn filter(args: &LogsArgs) -> Result<Option<LogFilter>, Failure> {
    let filter = match (&args.search, &args.regex) {
        (Some(term), _) if args.fuzzy => LogFilter::fuzzy(term),
        (Some(term), _) => LogFilter::exact(term),
        (None, Some(expression)) => LogFilter::regex(expression),
        (None, None) => return Ok(None),
    };
    let hint = "--search finds a text as it is, --regex takes expressions like 'error|warning'";
    filter
        .map(Some)
        .map_err(|error| Failure::with_hint(error, hint))
}

/// Brings each stream to where it belongs.
struct Printer {
    timestamps: bool,
    details: bool,
    /// Each record is shown on its own: those before and behind it may not be.
    whole_lines: bool,
    /// Both streams end up in one place, where their order matters.
    merged: bool,
    waiting: [Vec<u8>; 2],
    /// The next record of the stream goes on with a line.
    continues: [bool; 2],
}

impl Printer {
    fn new(args: &LogsArgs) -> Self {
        let place = |fd| {
            let stat = rustix::fs::fstat(fd).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        let places = [rustix::stdio::stdout(), rustix::stdio::stderr()].map(place);
        Self {
            timestamps: args.timestamps,
            details: args.details,
            whole_lines: args.search.is_some() || args.regex.is_some(),
            merged: places[0] == places[1],
            waiting: [Vec::new(), Vec::new()],
            continues: [false; 2],
        }
    }

    fn write(&mut self, place: usize) -> io::Result<()> {
        let fd = match place {
            0 => rustix::stdio::stdout(),
            _ => rustix::stdio::stderr(),
        };
        let mut rest = self.waiting[place].as_slice();
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(fd, rest))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        self.waiting[place].clear();
        Ok(())
    }
}

impl LogSink for Printer {
    fn record(&mut self, record: &LogRecord<'_>) -> io::Result<()> {
        let stream = record.stream as usize;
        let place = if self.merged {
            LogStream::Stdout as usize
        } else {
            stream
        };
        let out = &mut self.waiting[place];
        if !self.continues[stream] {
            if self.timestamps {
                push_time(out, record.time);
            }
            if self.details {
                push_details(out, record);
            }
        }
        out.extend_from_slice(record.text);
        let mut ends = record.text.ends_with(b"\n");
        if self.whole_lines && !ends {
            out.push(b'\n');
            ends = true;
        }
        self.continues[stream] = !ends;
        if out.len() >= ENOUGH {
            self.write(place)
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write(0)?;
        self.write(1)
    }

    #[allow(clippy::print_stderr, reason = "what is read is on standard output")]
    fn missed(&mut self) {
        eprintln!("carrier: lines were written faster than they were shown, and some have gone");
    }

    fn output(&self) -> BorrowedFd<'_> {
        rustix::stdio::stdout()
    }
}

/// Docker shows nine digits behind the point, whatever was written.
fn push_time(out: &mut Vec<u8>, time: &str) {
    const LENGTH: usize = "2026-01-02T03:04:05.123456789Z".len();
    match time.parse::<Timestamp>() {
        Ok(parsed) if time.len() != LENGTH => {
            out.extend_from_slice(format!("{parsed:.9}").as_bytes());
        }
        _ => out.extend_from_slice(time.as_bytes()),
    }
    out.push(b' ');
}

fn push_details(out: &mut Vec<u8>, record: &LogRecord<'_>) {
    let pairs: Vec<String> = record
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    out.extend_from_slice(pairs.join(",").as_bytes());
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_a_number_or_all() {
        for (text, expected) in [
            ("all", None),
            ("-1", None),
            ("0", Some(0)),
            ("10", Some(10)),
        ] {
            assert_eq!(tail(text).unwrap(), expected);
        }
        assert!(tail("ten").is_err() && tail("").is_err());
    }

    #[test]
    fn times_have_nine_digits() {
        for (time, expected) in [
            ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.120000000Z "),
            (
                "2026-01-02T03:04:05.123456789Z",
                "2026-01-02T03:04:05.123456789Z ",
            ),
        ] {
            let mut out = Vec::new();
            push_time(&mut out, time);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
