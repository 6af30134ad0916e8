//! Ids of a user namespace, user_namespaces(7).

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, PipeWriter, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::error::IdMapError;

/// Where the set-user-ID helpers are looked for: never in the caller's `PATH`, which may hold
/// directories that others can write.
pub const HELPER_DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"];

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside the namespace.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    /// The same ids by the numbers that they have in a namespace with the map `outer`.
    fn within(self, outer: &[Self]) -> Option<Vec<Self>> {
        let (mut inside, mut outside, mut left) = (self.inside, self.outside, self.count);
        let mut parts = Vec::new();
        while left > 0 {
            let holds =
                |range: &&Self| outside >= range.outside && outside - range.outside < range.count;
            let range = outer.iter().find(holds)?;
            let offset = outside - range.outside;
            let count = left.min(range.count - offset);
            parts.push(Self {
                inside,
                outside: range.inside.checked_add(offset)?,
                count,
            });
            left -= count;
            if left > 0 {
                inside = inside.checked_add(count)?;
                outside = outside.checked_add(count)?;
            }
        }
        Some(parts)
    }
}

/// The maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// User ids.
    pub users: Vec<IdRange>,
    /// Group ids.
    pub groups: Vec<IdRange>,
}

impl IdMaps {
    /// Whether only one user and one group are mapped: no helper is needed, and the kernel forbids
    /// setgroups(2).
    #[must_use]
    pub fn is_single(&self) -> bool {
        let single = |ranges: &[IdRange]| matches!(ranges, [range] if range.count == 1);
        single(&self.users) && single(&self.groups)
    }

    /// Where a map is missing, the caller becomes root and nobody else exists: what `crun spec` relies
    /// on.
    pub(crate) fn complete(&mut self) {
        let caller = |outside: u32| IdRange {
            inside: 0,
            outside,
            count: 1,
        };
        if self.users.is_empty() {
            self.users.push(caller(rustix::process::geteuid().as_raw()));
        }
        if self.groups.is_empty() {
            self.groups
                .push(caller(rustix::process::getegid().as_raw()));
        }
    }

    /// Whether id 0 inside is the caller outside: then files look to the process as they should from
    /// its first moment on.
    pub(crate) fn keeps_caller(&self) -> bool {
        let is = |ranges: &[IdRange], caller: u32| {
            let root = ranges
                .iter()
                .find(|range| range.inside == 0 && range.count > 0);
            root.is_none_or(|range| range.outside == caller)
        };
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        is(&self.users, user.as_raw()) && is(&self.groups, group.as_raw())
    }

    /// Writes the maps of process `pid`, a child that waits in a new user namespace.
    ///
    /// # Errors
    /// [`IdMapError`] when the kernel or a helper refuses.
    pub fn write(&self, pid: u32) -> Result<(), IdMapError> {
        if rustix::process::geteuid().is_root() && self.write_by_hand(pid).is_ok() {
            return Ok(());
        }
        if self.is_single() {
            // Without this an unprivileged process may not map groups, user_namespaces(7).
            write_proc(pid, "setgroups", "deny")?;
            return self.write_by_hand(pid);
        }
        let users = Helper::start("newuidmap", pid, &self.users, &Stdio::piped)?;
        let groups = Helper::start("newgidmap", pid, &self.groups, &Stdio::piped);
        users.finish()?;
        groups?.finish()
    }

    /// Begins to write the map of users of process `pid`; what the helper complains of goes to
    /// `complaints`.
    pub(crate) fn begin_users(
        &self,
        pid: u32,
        complaints: &PipeWriter,
    ) -> Result<Helper, IdMapError> {
        Helper::start("newuidmap", pid, &self.users, &|| copy_of(complaints))
    }

    /// The same for groups.
    pub(crate) fn begin_groups(
        &self,
        pid: u32,
        complaints: &PipeWriter,
    ) -> Result<Helper, IdMapError> {
        Helper::start("newgidmap", pid, &self.groups, &|| copy_of(complaints))
    }

    /// These maps, written down within the namespace that `outer` is the map of; nothing where it
    /// lacks some of the ids.
    pub(crate) fn within(&self, outer: &Self) -> Option<Self> {
        let translate = |ranges: &[IdRange], outer: &[IdRange]| {
            let translated: Option<Vec<_>> = ranges.iter().map(|it| it.within(outer)).collect();
            translated.map(|ranges| ranges.concat())
        };
        Some(Self {
            users: translate(&self.users, &outer.users)?,
            groups: translate(&self.groups, &outer.groups)?,
        })
    }

    fn write_by_hand(&self, pid: u32) -> Result<(), IdMapError> {
        write_proc(pid, "gid_map", &lines(&self.groups))?;
        write_proc(pid, "uid_map", &lines(&self.users))
    }
}

fn copy_of(complaints: &PipeWriter) -> Stdio {
    let copy = complaints.try_clone();
    copy.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// What is written into `uid_map` or `gid_map`.
pub(crate) fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().fold(String::new(), |mut text, range| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.count);
        text
    })
}

fn write_proc(pid: u32, file: &'static str, content: &str) -> Result<(), IdMapError> {
    let write = || {
        OpenOptions::new()
            .write(true)
            .open(format!("/proc/{pid}/{file}"))
            .and_then(|mut open| open.write_all(content.as_bytes()))
    };
    write().map_err(|source| IdMapError::Write { file, source })
}

/// A running `newuidmap` or `newgidmap`.
#[derive(Debug)]
pub(crate) struct Helper {
    name: &'static str,
    child: std::process::Child,
}

impl Helper {
    fn start(
        name: &'static str,
        pid: u32,
        ranges: &[IdRange],
        stderr: &dyn Fn() -> Stdio,
    ) -> Result<Self, IdMapError> {
        let numbers = ranges
            .iter()
            .flat_map(|range| [range.inside, range.outside, range.count]);
        let arguments: Vec<String> = std::iter::once(pid)
            .chain(numbers)
            .map(|number| number.to_string())
            .collect();
        for directory in HELPER_DIRECTORIES {
            let started = Command::new(format!("{directory}/{name}"))
                .args(&arguments)
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(stderr())
                // What the terminal tells the command is not for it.
                .process_group(0)
                .spawn();
            match started {
                Ok(child) => return Ok(Self { name, child }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(IdMapError::HelperFailed {
                        helper: name,
                        source,
                    });
                }
            }
        }
        Err(IdMapError::HelperMissing { helper: name })
    }

    /// Waits until it has ended, however.
    pub(crate) fn reap(&mut self) {
        let _ = self.child.wait();
    }

    fn finish(self) -> Result<(), IdMapError> {
        let helper = self.name;
        let output = self
            .child
            .wait_with_output()
            .map_err(|source| IdMapError::HelperFailed { helper, source })?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.lines().next().unwrap_or("no reason given");
        let message = message
            .strip_prefix(helper)
            .unwrap_or(message)
            .trim_start_matches(": ");
        Err(IdMapError::Refused {
            helper,
            message: message.escape_debug().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IdRange = IdRange {
        inside: 0,
        outside: 1000,
        count: 1,
    };
    const MANY: IdRange = IdRange {
        inside: 1,
        outside: 100_000,
        count: 65_536,
    };

    #[test]
    fn one_id_needs_no_helper() {
        assert!(
            IdMaps {
                users: vec![ONE],
                groups: vec![ONE]
            }
            .is_single()
        );
        assert!(
            !IdMaps {
                users: vec![ONE, MANY],
                groups: vec![ONE]
            }
            .is_single()
        );
    }

    #[test]
    fn ids_are_translated_into_those_of_an_outer_namespace() {
        let outer = [ONE, MANY];
        let shown = |range: IdRange| range.within(&outer).map(|parts| lines(&parts));
        let range = |inside, outside, count| IdRange {
            inside,
            outside,
            count,
        };
        assert_eq!(shown(ONE).as_deref(), Some("0 0 1\n"));
        assert_eq!(shown(MANY).as_deref(), Some("1 1 65536\n"));
        assert_eq!(shown(range(5, 100_100, 7)).as_deref(), Some("5 101 7\n"));
        assert_eq!(shown(range(0, 165_000, 1000)), None);
        assert_eq!(shown(range(0, 7, 1)), None);
        let adjacent = [range(0, 1000, 10), range(10, 1010, 10)];
        let parts = range(0, 1005, 10).within(&adjacent).unwrap();
        assert_eq!(lines(&parts), "0 5 5\n5 10 5\n");
    }

    #[test]
    fn a_map_is_a_line_a_range() {
        assert_eq!(lines(&[ONE, MANY]), "0 1000 1\n1 100000 65536\n");
    }
}
