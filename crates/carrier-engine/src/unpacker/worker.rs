//! The unpacking process and its children.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use carrier_spec::Compression;
use carrier_store::{UnpackOptions, UnpackReport, tree, unpack};
use carrier_sys::process::{Child, ChildToken, Namespaces, SingleThreaded, clone_into};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::confinement::Confinement;
use super::protocol::{Job, receive};

/// How long children may clean up after the command has ended: the next one removes what they leave.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(60);

/// What a confined process does with a layer.
pub(super) type Work = fn(File, Compression, BorrowedFd<'_>, &UnpackOptions) -> UnpackReport;

/// What all children have in common.
pub(super) struct Worker {
    pub(super) confinement: Confinement,
    pub(super) options: UnpackOptions,
    pub(super) work: Work,
    pub(super) last_words: Duration,
}

/// Unpacks one layer after the other, each in a child, until no more come and all are done.
pub(super) fn serve(jobs: &OwnedFd, worker: &Worker, token: &ChildToken) -> u8 {
    // Ctrl-C means the command, which tells us by closing the socket; a layer is then deleted.
    if rustix::process::setsid().is_err()
        || rustix::thread::set_no_new_privs(true).is_err()
        || carrier_sys::fd::close_all_but(&[jobs.as_fd()], token).is_err()
    {
        return 1;
    }
    let mut children: Vec<Child> = Vec::new();
    while let Ok(Some(job)) = receive(jobs.as_fd()) {
        let Ok(single) = SingleThreaded::check() else {
            return 1;
        };
        // A child that cannot be had is noticed by the feeder, whose pipe and socket close.
        let run = |token| handle(job, worker, &token);
        if let Ok(child) = clone_into(Namespaces::MOUNT, &single, run) {
            children.push(child);
        }
    }
    let deadline = Instant::now() + worker.last_words;
    for child in children {
        // The feeder knows already how it went. Whoever does not end is killed when it is dropped.
        if has_ended(&child, deadline) {
            let _ = child.wait();
        }
    }
    0
}

fn has_ended(child: &Child, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut ends = [PollFd::new(child, PollFlags::IN)];
        match poll(&mut ends, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.is_ok_and(|count| count > 0),
        }
    }
}

/// Unpacks a layer, says how it went, and deletes it unless told to keep it.
fn handle(job: Job, worker: &Worker, token: &ChildToken) -> u8 {
    let Job {
        compression,
        directory,
        input,
        control,
    } = job;
    let mut control = File::from(control);
    let kept = [input.as_fd(), control.as_fd()];
    let root = match worker.confinement.enter(directory, kept, token) {
        Ok(root) => root,
        Err(refused) => {
            // The directory is empty still.
            tell(&mut control, &UnpackReport::Error(refused.to_string()));
            return 1;
        }
    };
    // The input is closed by then, so that nobody goes on feeding a layer that was refused.
    let report = (worker.work)(
        File::from(input),
        compression,
        root.as_fd(),
        &worker.options,
    );
    let told = tell(&mut control, &report);
    let mut verdict = [0];
    let keep = told && control.read_exact(&mut verdict).is_ok() && verdict == *b"k";
    if !keep && tree::empty(root.as_fd()).is_err() {
        return 1;
    }
    0
}

/// What a process does with a layer that it did not come to attack.
pub(super) fn unpack_layer(
    input: File,
    compression: Compression,
    directory: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> UnpackReport {
    match unpack(input, compression, directory, options) {
        Ok(summary) => UnpackReport::Ok(summary),
        Err(error) => UnpackReport::Error(error.to_string()),
    }
}

fn tell(control: &mut File, report: &UnpackReport) -> bool {
    serde_json::to_vec(report).is_ok_and(|mut line| {
        line.push(b'\n');
        control.write_all(&line).is_ok()
    })
}
