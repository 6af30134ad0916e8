//! The unpacking process and its children.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_store::{UnpackOptions, UnpackReport, tree, unpack};
use carrier_sys::process::{Child, Namespaces, SingleThreaded, clone_into};

use super::protocol::{Job, receive};

/// Unpacks one layer after the other, each in a child, until no more come and all are done.
pub(super) fn serve(jobs: &OwnedFd) -> u8 {
    // Ctrl-C means the command, which tells us by closing the socket; a layer is then deleted.
    if rustix::process::setsid().is_err() || rustix::thread::set_no_new_privs(true).is_err() {
        return 1;
    }
    let mut children: Vec<Child> = Vec::new();
    while let Ok(Some(job)) = receive(jobs.as_fd()) {
        let Ok(single) = SingleThreaded::check() else {
            return 1;
        };
        // A child that cannot be had is noticed by the feeder, whose pipe and socket close.
        if let Ok(child) = clone_into(Namespaces::empty(), &single, |_token| work(job)) {
            children.push(child);
        }
    }
    for child in children {
        // The feeder knows already how it went.
        let _ = child.wait();
    }
    0
}

/// Unpacks a layer, says how it went, and deletes it unless told to keep it.
fn work(job: Job) -> u8 {
    let Job {
        compression,
        directory,
        input,
        control,
    } = job;
    let options = UnpackOptions::default();
    // The input is closed by then, so that nobody goes on feeding a layer that was refused.
    let result = unpack(File::from(input), compression, directory.as_fd(), &options);
    let report = match result {
        Ok(summary) => UnpackReport::Ok(summary),
        Err(error) => UnpackReport::Error(error.to_string()),
    };
    let mut control = File::from(control);
    let told = serde_json::to_vec(&report).is_ok_and(|mut line| {
        line.push(b'\n');
        control.write_all(&line).is_ok()
    });
    let mut verdict = [0];
    let keep = told && control.read_exact(&mut verdict).is_ok() && verdict == *b"k";
    if !keep && tree::empty(directory.as_fd()).is_err() {
        return 1;
    }
    0
}
