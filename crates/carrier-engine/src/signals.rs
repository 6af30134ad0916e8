//! Signals by name and number, signal(7).

use rustix::process::Signal;

const NAMES: [(&str, Signal); 31] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("STKFLT", Signal::STKFLT),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

/// The last signal of real time, counted as the kernel does.
const LAST: i32 = 64;

/// The names that [`signal_number`] knows, without `SIG`.
pub fn signal_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// The number of `9`, `KILL` or `SIGKILL`, in any case, and of `RTMIN+2`.
#[must_use]
pub fn signal_number(word: &str) -> Option<i32> {
    // As the C library counts: the first two are its own.
    const RTMIN: i32 = 34;
    if let Ok(number) = word.parse::<i32>() {
        return (1..=LAST).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, _)| *known == name);
    let realtime = || {
        let (base, offset) = match name.strip_prefix("RTMIN") {
            Some(offset) => (RTMIN, offset),
            None => (LAST, name.strip_prefix("RTMAX")?),
        };
        let offset = if offset.is_empty() {
            0
        } else {
            offset.parse::<i32>().ok()?
        };
        let number = base.checked_add(offset)?;
        (RTMIN..=LAST).contains(&number).then_some(number)
    };
    known.map(|(_, signal)| signal.as_raw()).or_else(realtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (word, expected) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(signal_number(word), Some(expected), "{word}");
        }
        for word in ["", "0", "65", "-9", "NONSENSE", "RTMIN-1", "RTMAX+1"] {
            assert_eq!(signal_number(word), None, "{word}");
        }
    }
}
