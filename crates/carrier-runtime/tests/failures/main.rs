//! Each step of a container's process is made to fail in turn; nothing may be left behind. And none of
//! them may use the allocator: what is between clone and exec has a copy of a heap in any state.
//!
//! A program of its own and not a test of the harness: a threaded process must not clone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on panics"
)]

mod bundle;
mod world;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use carrier_runtime::Error;
use carrier_runtime::container::{
    CgroupManager, CreateOptions, ExecOptions, ProcessChange, Runtime,
};
use carrier_sys::alloc_guard::AllocGuard;
use carrier_sys::process::SingleThreaded;

use crate::world::World;

/// Before it the process waits for its ids and its cgroup, which could not be given to one that is gone.
const FIRST: usize = 1;

#[global_allocator]
static ALLOCATOR: AllocGuard = AllocGuard;

/// Where the tests take place.
struct Place {
    directory: tempfile::TempDir,
    runtime: Runtime,
    proof: SingleThreaded,
    /// Nobody needs to take the terminals that are sent there.
    _console: UnixListener,
}

fn main() {
    AllocGuard::arm().unwrap();
    let place = Place::new();
    let mut steps = 0;
    steps += place.fail_in_turn("a container", &bundle::whole());
    let other = place.run_other();
    steps += place.fail_in_turn(
        "a container in namespaces of another",
        &bundle::joining(other),
    );
    for terminal in [false, true] {
        steps += place.fail_in_turn_to_enter(terminal);
    }
    place.runtime.delete("other", true, &place.proof).unwrap();
    reap();
    println!("{steps} steps failed, and nothing was left");
    println!("{steps} steps interpreted, no allocation");
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        bundle::make_root(&directory.path().join("bundle"));
        Self {
            runtime: Runtime::new(directory.path().join("state"), CgroupManager::Files),
            proof: SingleThreaded::check().unwrap(),
            _console: UnixListener::bind(directory.path().join("console")).unwrap(),
            directory,
        }
    }

    fn console(&self) -> PathBuf {
        self.directory.path().join("console")
    }

    fn options(&self, configuration: &serde_json::Value) -> CreateOptions {
        let bundle = self.directory.path().join("bundle");
        std::fs::write(bundle.join("config.json"), configuration.to_string()).unwrap();
        let terminal = configuration["process"]["terminal"] == true;
        CreateOptions {
            bundle,
            config: None,
            console_socket: terminal.then(|| self.console()),
            pid_file: None,
            listen_fds: 0,
            preserve_fds: 0,
            new_keyring: false,
            fail_before: None,
        }
    }

    /// Makes a container whose process goes on; returns that.
    fn run_other(&self) -> u32 {
        let options = self.options(&bundle::lasting());
        let started = self
            .runtime
            .run("other", &options, true, &self.proof)
            .unwrap();
        let pid = started.pid();
        started.release();
        pid
    }

    /// Runs a container, and lets one step after the other fail; how many there are.
    fn fail_in_turn(&self, what: &str, configuration: &serde_json::Value) -> usize {
        let options = self.options(configuration);
        for step in FIRST.. {
            let options = CreateOptions {
                fail_before: Some(step),
                ..options.clone()
            };
            let before = World::look(self.path());
            let failed = match self.runtime.run("box", &options, true, &self.proof) {
                Err(error) => is_fault(error, what, step),
                Ok(started) => {
                    assert_eq!(started.wait().unwrap().code(), 0);
                    self.runtime.delete("box", false, &self.proof).unwrap();
                    false
                }
            };
            let failed = self.fails_to_start(&options, what, step) || failed;
            reap();
            assert_eq!(
                World::look(self.path()),
                before,
                "{what}, after step {step}"
            );
            if !failed {
                return step;
            }
        }
        unreachable!("a plan has an end")
    }

    /// A container that is not started at once has more steps, and fails no less cleanly.
    fn fails_to_start(&self, options: &CreateOptions, what: &str, step: usize) -> bool {
        let created = self.runtime.create("box", options, &self.proof);
        let started = created.and_then(|()| self.runtime.start("box", &self.proof));
        if self.runtime.record("box").is_ok() {
            self.runtime.delete("box", true, &self.proof).unwrap();
        }
        started.is_err_and(|error| is_fault(error, what, step))
    }

    /// The same for a process that joins a container.
    fn fail_in_turn_to_enter(&self, terminal: bool) -> usize {
        for step in FIRST.. {
            let options = ExecOptions {
                change: ProcessChange {
                    arguments: vec!["/bin/true".to_owned()],
                    terminal,
                    ..ProcessChange::default()
                },
                console_socket: terminal.then(|| self.console()),
                fail_before: Some(step),
                ..ExecOptions::default()
            };
            let before = World::look(self.path());
            let failed = match self.runtime.exec("other", &options, true, &self.proof) {
                Err(error) => is_fault(error, "an exec", step),
                Ok(started) => {
                    assert_eq!(started.wait().unwrap().code(), 0);
                    false
                }
            };
            assert_eq!(
                World::look(self.path()),
                before,
                "an exec, after step {step}"
            );
            if !failed {
                return step;
            }
        }
        unreachable!("a plan has an end")
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn is_fault(error: Error, what: &str, step: usize) -> bool {
    match error {
        Error::Step { origin, .. } if origin == "fault" => true,
        other => panic!("{what}, step {step}: {other:?}"),
    }
}

/// A container that was created is nobody's to wait for but its creator's.
fn reap() {
    while rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_ok_and(|one| one.is_some())
    {
    }
}
