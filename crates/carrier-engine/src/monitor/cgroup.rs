//! The container's cgroup, in the hands of its monitor: made before each start, watched while the
//! program runs, removed when it has ended.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use carrier_runtime::{Cgroup, Subtree};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::Monitor;
use crate::error::Error;
use crate::events::Event;
use crate::resources;

/// What counts what the kernel has killed.
const EVENTS: &str = "memory.events";

/// The place of the cgroup, and who watches it.
#[derive(Debug, Default)]
pub(super) struct Confinement {
    subtree: Option<Subtree>,
    /// Tells of changes; where it cannot, the end of the program is when they are seen.
    watch: Option<OwnedFd>,
    /// How many processes were killed already when that was looked at last.
    killed: u64,
}

impl Confinement {
    pub(super) fn subtree(&mut self) -> Option<&mut Subtree> {
        self.subtree.as_mut()
    }

    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        self.subtree.as_ref().and_then(Subtree::cgroup)
    }

    pub(super) fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(|watch| watch.as_fd())
    }
}

impl Monitor<'_> {
    /// Finds the place of the cgroup where the container needs one. Whoever comes after a crash reads
    /// in the container's state what there may be.
    pub(super) fn find_cgroup(&mut self) -> Result<(), Error> {
        self.life.oom_killed = false;
        if self.confinement.subtree.is_none()
            && let Some(left) = &self.life.cgroup
        {
            // By a monitor that was killed; whatever is still in it was killed too.
            left.remove()?;
            self.life.cgroup = None;
        }
        if !self.record.resources.need_cgroup() {
            self.confinement = Confinement::default();
            self.life.cgroup = None;
            return Ok(());
        }
        if self.confinement.subtree.is_none() {
            self.confinement.subtree = Some(resources::open(&self.record)?);
        }
        if let Some(cgroup) = self.confinement.cgroup() {
            self.life.cgroup = Some(cgroup.clone());
            self.write()?;
        }
        Ok(())
    }

    /// Looks out for what the kernel kills, from now on.
    pub(super) fn watch_cgroup(&mut self) {
        let Some(cgroup) = self.confinement.cgroup().cloned() else {
            return;
        };
        let watch = || {
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&watch, cgroup.path().join(EVENTS), WatchFlags::MODIFY)?;
            Ok::<_, rustix::io::Errno>(watch)
        };
        self.confinement.watch = watch().ok();
        self.confinement.killed = killed(&cgroup);
        self.life.cgroup = Some(cgroup);
    }

    /// Tells of processes that the kernel has killed since the last look.
    pub(super) fn look_for_killed(&mut self) {
        if let Some(watch) = self.confinement.watch() {
            let mut buffer = [0; 1024];
            // Its news are in the file.
            while rustix::io::read(watch, &mut buffer).is_ok_and(|length| length > 0) {}
        }
        let Some(cgroup) = self.confinement.cgroup() else {
            return;
        };
        let now = killed(cgroup);
        if now <= self.confinement.killed {
            return;
        }
        self.confinement.killed = now;
        self.life.oom_killed = true;
        self.engine.emit(&Event::container("oom", &self.record));
        // A full disk is no reason to end the program; it is written again when that ends.
        let _ = self.write();
    }

    /// The program has ended.
    pub(super) fn remove_cgroup(&mut self) {
        self.look_for_killed();
        self.confinement.watch = None;
        if let Some(cgroup) = self.confinement.cgroup()
            && cgroup.remove().is_ok()
        {
            self.life.cgroup = None;
        }
    }
}

fn killed(cgroup: &Cgroup) -> u64 {
    let events = cgroup.read(EVENTS).unwrap_or_default();
    resources::keyed(&events, "oom_kill").unwrap_or(0)
}
