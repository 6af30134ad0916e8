//! A user namespace with the caller's ids, inside of which those of containers are made.
//!
//! Only `newuidmap` and `newgidmap` may give a user namespace the subordinate ids of a user, and the two
//! take longer than all the rest of a start. So they are at work while the container is being prepared.
//! Whoever starts another one while that container runs finds the namespace, which is the parent of the
//! container's, and needs no helper: within it, maps can be written by hand.

use std::fs::File;
use std::io::{PipeWriter, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::{Child, Namespaces, SingleThreaded, clone_into};
use rustix::fs::{Mode, OFlags, fstat};

use crate::channel::{ParentEnd, pair};
use crate::error::Error;
use crate::idmap::{Helper, IdMaps};
use crate::state::ProcessIdentity;

/// A user namespace that is there, or about to be.
#[derive(Debug)]
pub struct OuterIds {
    users: OwnedFd,
    coming: Option<Coming>,
    is_new: bool,
}

/// What is at work on the maps of a user namespace.
#[derive(Debug)]
struct Coming {
    /// Where the helpers complain: it ends when both have ended.
    complaints: File,
    /// The other end, and the maps, for the second helper.
    next: Option<(PipeWriter, IdMaps)>,
    /// The process that holds the namespace meanwhile.
    holder: u32,
    begun: Begun,
}

/// Children of this process, which have to be waited for.
#[derive(Debug, Default)]
struct Begun {
    helpers: Vec<Helper>,
    /// It ends with the last copy of the other end.
    _holder: Option<(Child, ParentEnd)>,
}

impl OuterIds {
    /// Has a user namespace made that has these maps; the first helper is at work then, and not waited
    /// for.
    ///
    /// # Errors
    /// [`Error::Clone`] when user namespaces are forbidden or used up, [`Error::IdMap`] without the
    /// helpers.
    pub fn begin(maps: &IdMaps, proof: &SingleThreaded) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::Prepare(errno.into());
        let (mine, held) = pair().map_err(failed)?;
        let mut mine = Some(mine);
        let holder = clone_into(Namespaces::USER, proof, |_token| {
            // Its own copy would keep it from ever seeing that everybody else is gone.
            drop(mine.take());
            // What the terminal tells the command is not for it.
            let _ = rustix::process::setpgid(None, None).and_then(|()| held.await_go());
            0
        });
        let holder = holder.map_err(Error::Clone)?;
        let mine = mine.ok_or(Error::ChildDied)?;
        let (complaints, said) = std::io::pipe().map_err(Error::Prepare)?;
        let helpers = vec![maps.begin_users(holder.pid(), &said)?];
        let users = File::open(format!("/proc/{}/ns/user", holder.pid()));
        Ok(Self {
            users: users.map_err(Error::Prepare)?.into(),
            coming: Some(Coming {
                complaints: OwnedFd::from(complaints).into(),
                next: Some((said, maps.clone())),
                holder: holder.pid(),
                begun: Begun {
                    helpers,
                    _holder: Some((holder, mine)),
                },
            }),
            is_new: true,
        })
    }

    /// Has the second helper begin. Of two processors, the first helper has had one until now, and the
    /// caller the other.
    pub fn go_on(&mut self) {
        if let Some(coming) = &mut self.coming
            && let Some((said, maps)) = coming.next.take()
        {
            // Whoever waits sees that a map is missing.
            let groups = maps.begin_groups(coming.holder, &said);
            coming.begun.helpers.extend(groups);
        }
    }

    /// The one in which the container of `process` was made; nothing where that has ended, or has left
    /// the user namespace that it was started in.
    #[must_use]
    pub fn of_container(process: &ProcessIdentity) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("/proc/{}/ns/user", process.pid);
        let inner = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let users = enclosing(inner.as_fd())?;
        process.is_alive().then_some(Self {
            users,
            coming: None,
            is_new: false,
        })
    }

    /// In a copy of the process that has begun it: it is not this one's to wait for.
    pub fn inherit(&mut self) {
        if let Some(coming) = &mut self.coming {
            std::mem::forget(std::mem::take(&mut coming.begun));
        }
    }

    /// What a copy of this process needs of it.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let complaints = self.coming.iter().map(|coming| coming.complaints.as_fd());
        std::iter::once(self.users.as_fd()).chain(complaints)
    }

    /// Waits for the namespace's maps; nothing where it has none. Whoever then has the container's own
    /// maps written learns why.
    pub fn wait(&mut self) -> Option<BorrowedFd<'_>> {
        self.go_on();
        if let Some(coming) = &mut self.coming {
            coming.complaints.read_to_end(&mut Vec::new()).ok()?;
            let has = |file| {
                let map = std::fs::read(format!("/proc/{}/{file}", coming.holder));
                map.is_ok_and(|map| !map.is_empty())
            };
            if !has("uid_map") || !has("gid_map") {
                return None;
            }
        }
        Some(self.users.as_fd())
    }

    /// Whether it was not there before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        for helper in &mut self.helpers {
            helper.reap();
        }
    }
}

/// The user namespace in which that of a container was made: a child of the caller's own. A container
/// that has gone into one of its own making, which it has all power in, leads nobody there.
#[must_use]
pub fn enclosing(users: BorrowedFd<'_>) -> Option<OwnedFd> {
    let outer = carrier_sys::namespace::parent_of(users).ok()?;
    let above = carrier_sys::namespace::parent_of(outer.as_fd()).ok()?;
    let own = File::open("/proc/self/ns/user").ok()?;
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let is_ours = fstat(&above).map(identity) == fstat(&own).map(identity);
    is_ours.then_some(outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program in as many user namespaces inside of each other.
    fn sleeper(depth: usize) -> std::process::Child {
        let unshare = ["unshare", "-U", "-r"];
        let words: Vec<&str> = std::iter::repeat_n(unshare, depth).flatten().collect();
        let mut command = std::process::Command::new("env");
        let child = command.args(words).args(["sleep", "60"]).spawn().unwrap();
        let comm = format!("/proc/{}/comm", child.id());
        for _ in 0..500 {
            if std::fs::read_to_string(&comm).unwrap().trim() == "sleep" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        child
    }

    #[test]
    fn nobody_is_led_into_a_user_namespace_that_a_container_has_made() {
        for (depth, is_led) in [(0, false), (1, false), (2, true), (3, false)] {
            let mut child = sleeper(depth);
            let users = File::open(format!("/proc/{}/ns/user", child.id())).unwrap();
            assert_eq!(enclosing(users.as_fd()).is_some(), is_led, "{depth}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
