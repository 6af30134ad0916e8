//! `--ulimit NAME=SOFT[:HARD]`: limits of each process.

use std::fmt;
use std::str::FromStr;

use oci_spec::runtime::PosixRlimitType as Kind;
use rustix::process::Resource;
use serde::{Deserialize, Serialize};

use super::BadResource;

/// A limit of each process, getrlimit(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Docker's name, such as `nofile`.
    pub name: String,
    /// What counts; −1 is without an end.
    pub soft: i64,
    /// What a process may raise it to; −1 is without an end.
    pub hard: i64,
}

/// Docker's names, those of the specification, and the kernel's.
const KINDS: [(&str, Kind, Resource); 15] = [
    ("core", Kind::RlimitCore, Resource::Core),
    ("cpu", Kind::RlimitCpu, Resource::Cpu),
    ("data", Kind::RlimitData, Resource::Data),
    ("fsize", Kind::RlimitFsize, Resource::Fsize),
    ("locks", Kind::RlimitLocks, Resource::Locks),
    ("memlock", Kind::RlimitMemlock, Resource::Memlock),
    ("msgqueue", Kind::RlimitMsgqueue, Resource::Msgqueue),
    ("nice", Kind::RlimitNice, Resource::Nice),
    ("nofile", Kind::RlimitNofile, Resource::Nofile),
    ("nproc", Kind::RlimitNproc, Resource::Nproc),
    ("rss", Kind::RlimitRss, Resource::Rss),
    ("rtprio", Kind::RlimitRtprio, Resource::Rtprio),
    ("rttime", Kind::RlimitRttime, Resource::Rttime),
    ("sigpending", Kind::RlimitSigpending, Resource::Sigpending),
    ("stack", Kind::RlimitStack, Resource::Stack),
];

const FORM: &str =
    "it looks like nofile=1024 or nofile=1024:2048, the soft limit first; -1 is no limit";

impl FromStr for Ulimit {
    type Err = BadResource;

    fn from_str(text: &str) -> Result<Self, BadResource> {
        let fail = |message: String| BadResource::new(message, FORM);
        let invalid = || fail(format!("invalid ulimit argument: {text}"));
        let (name, values) = text.split_once('=').ok_or_else(invalid)?;
        if kind(name).is_none() {
            return Err(BadResource::new(
                format!("invalid ulimit type: {name}"),
                "types are core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, \
                 rtprio, rttime, sigpending and stack",
            ));
        }
        let value = |text: &str| match text {
            "-1" | "unlimited" => Ok(-1),
            number => number
                .parse::<i64>()
                .ok()
                .filter(|number| *number >= 0)
                .ok_or_else(invalid),
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (value(soft)?, value(hard)?),
            None => (value(values)?, value(values)?),
        };
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(fail(format!(
                "ulimit {name}: the soft limit must be at most the hard limit: {text}"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            soft,
            hard,
        })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.soft, self.hard)
    }
}

impl Ulimit {
    pub(super) fn kind(&self) -> Option<Kind> {
        kind(&self.name).map(|(kind, _)| kind)
    }

    /// What no process of the caller can exceed, where that is less than what was asked for.
    pub(super) fn ceiling(&self) -> Option<u64> {
        let (_, resource) = kind(&self.name)?;
        let ceiling = rustix::process::getrlimit(resource).maximum?;
        let exceeds = u64::try_from(self.hard).map_or(true, |hard| hard > ceiling);
        exceeds.then_some(ceiling)
    }
}

fn kind(name: &str) -> Option<(Kind, Resource)> {
    let found = KINDS.iter().find(|(known, _, _)| *known == name);
    found.map(|(_, kind, resource)| (*kind, *resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        for (text, soft, hard) in [
            ("nofile=1024", 1024, 1024),
            ("nofile=1024:2048", 1024, 2048),
            ("core=-1", -1, -1),
            ("core=0:unlimited", 0, -1),
            ("nproc=0", 0, 0),
        ] {
            let limit: Ulimit = text.parse().unwrap();
            assert_eq!((limit.soft, limit.hard), (soft, hard), "{text}");
        }
        for bad in [
            "nofile",
            "nofile=",
            "nofile=x",
            "nofile=2:1",
            "nofile=-1:5",
            "nofile=-2",
            "files=1",
            "nofile=1:2:3",
            "=1",
        ] {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad}");
        }
    }
}
