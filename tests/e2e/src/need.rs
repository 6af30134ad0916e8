//! What some tests need of a host, and how they are skipped without it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::actor::{Actor, tests_run_as_root};
use crate::cx::PATH;

/// The environment variable that names the file where skipped tests are noted.
const SKIP_LOG: &str = "CARRIER_SKIP_LOG";

/// Something that not every host has.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Tests that are run by root: faults of the host, and tracing of set-user-ID programs.
    Root,
    /// A program.
    Tool(&'static str),
    /// Subordinate ids of the actor.
    SubordinateIds,
    /// A kernel as young as this.
    Kernel(u32, u32),
    /// An image for arm64 among the fixtures.
    Arm64Image,
}

impl Need {
    /// Why the host does not have it; nothing where it does.
    fn missing(self) -> Option<String> {
        match self {
            Self::Root => (!tests_run_as_root()).then(|| "the tests are not run by root".to_owned()),
            Self::Tool(name) => (!is_installed(name)).then(|| format!("{name} is not installed")),
            Self::SubordinateIds => {
                let missing = !has_subordinate_ids(&Actor::get().name);
                missing.then(|| format!("{} has no subordinate ids", Actor::get().name))
            }
            Self::Kernel(major, minor) => {
                let running = kernel_version();
                (running < (major, minor)).then(|| {
                    format!("the kernel is {}.{}, not {major}.{minor}", running.0, running.1)
                })
            }
            Self::Arm64Image => crate::fixtures::arm64_missing(),
        }
    }
}

/// Whether all of `needs` are met; says and notes why not.
pub(crate) fn are_met(needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().find_map(|need| need.missing()) else {
        return true;
    };
    note_skip(&reason);
    false
}

#[allow(clippy::print_stderr, reason = "the only way to tell about a test that did not run")]
fn note_skip(reason: &str) {
    let test = test_name();
    eprintln!("skipped: {test}: {reason}");
    let Some(path) = std::env::var_os(SKIP_LOG) else {
        return;
    };
    let opened = File::options().create(true).append(true).open(&path);
    let mut log = opened.expect("cannot open $CARRIER_SKIP_LOG");
    log.write_all(format!("{test}\t{reason}\n").as_bytes())
        .expect("cannot write $CARRIER_SKIP_LOG");
}

/// libtest names the thread of a test after it.
fn test_name() -> String {
    let thread = std::thread::current();
    let own = thread.name().filter(|name| *name != "main");
    own.map(str::to_owned)
        .or_else(|| std::env::var("NEXTEST_TEST_NAME").ok())
        .unwrap_or_else(|| "main".to_owned())
}

pub(crate) fn is_installed(program: &str) -> bool {
    PATH.split(':')
        .any(|directory| Path::new(directory).join(program).exists())
}

fn has_subordinate_ids(user: &str) -> bool {
    ["/etc/subuid", "/etc/subgid"].iter().all(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| line.split(':').next() == Some(user))
    })
}

fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
