//! The ordinary user who runs Carrier.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::OnceLock;

/// The user that `scripts/setup.sh --test-host` makes for tests that are started by root.
const TEST_USER: &str = "carrier-test";

/// Who runs Carrier: whoever runs the tests, or [`TEST_USER`] when that is root.
#[derive(Debug)]
pub struct Actor {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl Actor {
    /// The one actor of this test run.
    pub fn get() -> &'static Self {
        static ACTOR: OnceLock<Actor> = OnceLock::new();
        ACTOR.get_or_init(|| {
            let passwd = fs::read_to_string("/etc/passwd").expect("cannot read /etc/passwd");
            let mut users = passwd.lines().filter_map(Self::parse);
            if tests_run_as_root() {
                let made = users.find(|user| user.name == TEST_USER);
                made.expect("no user carrier-test: run scripts/setup.sh --test-host")
            } else {
                let uid = rustix::process::getuid().as_raw();
                let caller = users.find(|user| user.uid == uid);
                caller.expect("the caller is not in /etc/passwd")
            }
        })
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }

    /// Makes `command` run as the actor.
    pub fn run(&self, command: &mut Command) {
        if tests_run_as_root() {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Words in front of a command line that make root become the actor.
    pub fn become_words(&self) -> Vec<String> {
        let mut words = vec!["setpriv".to_owned()];
        words.extend(["--reuid".to_owned(), self.uid.to_string()]);
        words.extend(["--regid".to_owned(), self.gid.to_string()]);
        words.extend(["--clear-groups".to_owned(), "--".to_owned()]);
        words
    }

    /// Gives a file that the tests have made to the actor.
    pub fn own(&self, path: &std::path::Path) {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .unwrap_or_else(|error| panic!("cannot give {} away: {error}", path.display()));
    }
}

/// Whether faults of the host can be made.
pub(crate) fn tests_run_as_root() -> bool {
    rustix::process::geteuid().is_root()
}
