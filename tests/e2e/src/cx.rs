//! One test's own world: a store, a runtime directory, and nothing left behind.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::actor::{Actor, tests_run_as_root};
use crate::invocation::Invocation;
use crate::leftovers;
use crate::need::{self, Need};
use crate::tree;

/// Where programs are looked for; that of a login shell.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment variable by which the processes of one test are found.
pub(crate) const MARKER: &str = "CARRIER_E2E";

/// The environment variable that names the binary under test.
const BINARY: &str = "CARRIER_BIN";

/// A store, a runtime directory and a home of one test.
#[derive(Debug)]
pub struct Cx {
    directory: PathBuf,
    marker: String,
    binary: PathBuf,
}

impl Cx {
    /// Makes the directories, empty.
    #[must_use]
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let base = base();
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let marker = format!("e2e-{}-{number}", std::process::id());
            let directory = base.join(&marker);
            match DirBuilder::new().mode(0o700).create(&directory) {
                // Of an earlier run that was killed, by a process with the same id.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", directory.display()),
                Ok(()) => {
                    Actor::get().own(&directory);
                    let binary = installed_binary(&base);
                    let cx = Self { directory, marker, binary };
                    cx.make_directories();
                    return cx;
                }
            }
        }
    }

    /// The same for a test that has needs; nothing where they are not met.
    #[must_use]
    pub fn needing(needs: &[Need]) -> Option<Self> {
        need::are_met(needs).then(Self::new)
    }

    fn make_directories(&self) {
        for name in ["home", "data", "run", "tmp"] {
            self.make_directory(name);
        }
    }

    /// Makes a directory of the actor's in the test's own.
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Actor::get().own(&path);
        path
    }

    /// Writes a file of the actor's in the test's own directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.join(name);
        let written = fs::write(&path, content);
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        Actor::get().own(&path);
        path
    }

    /// The test's own directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data().join("carrier")
    }

    /// The runtime directory.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.directory.join("run/carrier")
    }

    /// `$XDG_DATA_HOME`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The binary under test, a copy that the actor owns.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The name that stands in the environment and the mounts of this test's processes.
    #[must_use]
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// The environment of the test's commands.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let inside = |name: &str| self.directory.join(name).into_os_string();
        vec![
            ("PATH", PATH.into()),
            ("LANG", "C.UTF-8".into()),
            ("USER", Actor::get().name.clone().into()),
            ("HOME", inside("home")),
            ("XDG_DATA_HOME", inside("data")),
            ("XDG_RUNTIME_DIR", inside("run")),
            ("TMPDIR", inside("tmp")),
            ("TMUX_TMPDIR", inside("tmp")),
            (MARKER, self.marker.clone().into()),
        ]
    }

    /// A command of Carrier.
    pub fn carrier<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Invocation<'_> {
        self.command(&self.binary, words)
    }

    /// A command of another program, as the same user in the same environment.
    pub fn command<W: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        words: impl IntoIterator<Item = W>,
    ) -> Invocation<'_> {
        Invocation::new(self, program.as_ref(), words)
    }

    /// Mounts an empty file system of `size` bytes where the data of the actor goes; for root.
    #[must_use]
    pub fn small_disk(&self, size: u64) -> Disk {
        let Actor { uid, gid, .. } = Actor::get();
        let options = format!("size={size},uid={uid},gid={gid},mode=0700");
        let disk = Disk(self.data());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&disk.0);
        disk.expect(mount);
        disk
    }

    /// Removes every container and checks that nothing is left of any; a test may call this early.
    #[track_caller]
    pub fn assert_no_leftovers(&self) {
        if tree::has_entries(&self.store().join("containers")) {
            self.carrier(["rm", "--force", "--all-containers"]).succeeds();
        }
        leftovers::check(self);
    }
}

impl Default for Cx {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cx {
    fn drop(&mut self) {
        let fails_already = std::thread::panicking();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if !fails_already {
                self.assert_no_leftovers();
            }
        }));
        leftovers::kill_all(&self.marker);
        tree::remove(&self.directory);
        if let Err(panic) = checked {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A file system that is mounted until this is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Takes the right to write away from everybody.
    pub fn make_read_only(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(&self.0);
        self.expect(mount);
    }

    fn expect(&self, mut command: Command) {
        let status = command.status().expect("cannot start mount");
        assert!(status.success(), "{command:?} for {}", self.0.display());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that should have ended would keep it busy, and is reported elsewhere.
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.0);
        self.expect(umount);
    }
}

/// Below this each test has its directory: a place that the actor can reach, on a real disk.
fn base() -> PathBuf {
    let path = PathBuf::from(format!("/var/tmp/carrier-e2e-{}", Actor::get().uid));
    match DirBuilder::new().mode(0o755).create(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let owner = fs::symlink_metadata(&path).map(|meta| meta.uid()).ok();
            let own = rustix::process::geteuid().as_raw();
            assert_eq!(owner, Some(own), "{} belongs to somebody else", path.display());
        }
        other => other.unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display())),
    }
    path
}

/// Copies the binary under test to where the actor can execute it, once for all tests.
fn installed_binary(base: &Path) -> PathBuf {
    let built = binary_under_test();
    let meta = fs::metadata(&built)
        .unwrap_or_else(|error| panic!("no binary to test at {}: {error}", built.display()));
    let version = format!("{}-{}-{}", meta.ino(), meta.mtime(), meta.mtime_nsec());
    let directory = base.join(format!("bin-{version}"));
    let installed = directory.join("carrier");
    let lock = File::create(base.join("bin.lock")).expect("cannot make bin.lock");
    lock.lock().expect("cannot lock bin.lock");
    if !installed.exists() {
        tree::remove_older(base, "bin-");
        fs::create_dir_all(&directory).expect("cannot make a directory for the binary");
        let copy = directory.join("copy");
        fs::copy(&built, &copy).expect("cannot copy the binary");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("cannot chmod");
        // As installed with cargo: whoever runs it can also overwrite it (threat P-01).
        Actor::get().own(&copy);
        fs::rename(&copy, &installed).expect("cannot install the binary");
    }
    installed
}

/// `$CARRIER_BIN`, else what the workspace has built last for this host.
fn binary_under_test() -> PathBuf {
    if let Some(path) = std::env::var_os(BINARY) {
        return path.into();
    }
    let target = workspace().join("target");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let places = ["release", "quick", "debug"].map(|profile| {
        target.join(&triple).join(profile).join("carrier")
    });
    let found = places.iter().find(|path| path.exists());
    found.cloned().expect("no binary to test: build one, or name it in $CARRIER_BIN")
}

/// The root of the checkout.
pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Whether files that belong to subordinate ids can be removed without a user namespace.
pub(crate) fn owns_everything() -> bool {
    tests_run_as_root()
}
