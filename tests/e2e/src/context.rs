//! One test's world.

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::host::{binary, is_root, other_runtime};
use crate::networks::until;
use crate::outcome::Outcome;
use crate::registry::Registry;

const TEST_USER: &str = "carrier-test";
const TIMEOUT: &str = "240";
/// Where the processor is emulated.
const SESSION_TIMEOUT: &str = "300";

/// What a login session is known by to programs in it.
const SESSION: [&str; 3] = ["HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// Marks the processes of a test in their environment.
const MARK: &str = "CARRIER_E2E";

/// A store and a runtime directory of a test's own, and a user who has no rights.
#[derive(Debug)]
pub struct Cx {
    root: PathBuf,
    mark: String,
    registry: Option<Registry>,
    in_session: bool,
}

impl Default for Cx {
    fn default() -> Self {
        Self::new()
    }
}

impl Cx {
    /// A world without a registry.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        let root = PathBuf::from(format!("/var/tmp/carrier-e2e-{mark}"));
        fs::create_dir_all(&root).unwrap();
        for name in ["home", "run", "bin"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::copy(binary(), root.join("bin/carrier")).unwrap();
        symlink("carrier", root.join("bin/carrier-runtime")).unwrap();
        if is_root() {
            let owner = format!("{TEST_USER}:{TEST_USER}");
            run(Command::new("chown").args(["-R", &owner]).arg(&root));
        }
        fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            root,
            mark,
            registry: None,
            in_session: false,
        }
    }

    /// A world where commands are in the login session of whoever runs the tests: with its home
    /// directory, runtime directory and message bus.
    #[must_use]
    pub fn in_session() -> Self {
        let mut cx = Self::new();
        cx.in_session = true;
        cx
    }

    /// A world with the registry that holds the fixtures.
    #[must_use]
    pub fn with_registry() -> Self {
        let mut cx = Self::new();
        cx.registry = Some(Registry::of_fixtures());
        cx
    }

    /// The reference of a fixture.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        self.registry
            .as_ref()
            .expect("a world with a registry")
            .reference(name)
    }

    /// A fixture that was pulled.
    #[must_use]
    pub fn pulled(&self, name: &str) -> String {
        let image = self.image(name);
        self.carrier(["pull", "-q", &image]).succeeds();
        image
    }

    /// The registry's log of requests.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("a world with a registry")
    }

    /// Runs Carrier to its end.
    pub fn carrier<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
        self.carrier_with_input(arguments, "")
    }

    /// Runs Carrier to its end, with something to read.
    pub fn carrier_with_input<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &str,
    ) -> Outcome {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let mut command = self.command(&["timeout", "-s", "KILL", self.limit(), &self.program()]);
        command.args(&arguments);
        self.finish(command, &arguments.join(" "), input)
    }

    /// Runs a shell script as the ordinary user; `carrier` is in its `PATH`.
    pub fn script(&self, script: &str) -> Outcome {
        let command = self.command(&["timeout", "-s", "KILL", self.limit(), "sh", "-c", script]);
        self.finish(command, script, "")
    }

    /// Runs a script as root in a mount namespace of its own, where it may change how the host looks
    /// to the commands that it starts as the ordinary user.
    pub fn host_script(&self, script: &str) -> Outcome {
        let words = [
            "timeout", "-s", "KILL", TIMEOUT, "unshare", "-m", "sh", "-c", script,
        ];
        self.finish(self.plain_command(&words), script, "")
    }

    /// Runs a command of whoever runs the tests on the host itself, where they may change all of it.
    pub fn on_the_host(&self, words: &[&str]) -> Outcome {
        let all = [&["timeout", "-s", "KILL", SESSION_TIMEOUT], words].concat();
        self.finish(self.plain_command(&all), &words.join(" "), "")
    }

    fn finish(&self, mut command: Command, shown: &str, input: &str) -> Outcome {
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // A program that reads nothing closes the pipe early.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Outcome::new(shown.to_owned(), &child.wait_with_output().unwrap())
    }

    /// Starts Carrier and leaves it running.
    pub fn start<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Child {
        let mut command = self.command(&[&self.program()]);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// A command as the ordinary user.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut all: Vec<&str> = Vec::new();
        if is_root() {
            all.extend([
                "setpriv",
                "--reuid",
                TEST_USER,
                "--regid",
                TEST_USER,
                "--init-groups",
            ]);
        }
        all.extend(words);
        self.plain_command(&all)
    }

    /// A command as whoever runs the tests, in the environment of the test.
    #[must_use]
    pub fn plain_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            self.root.join("bin").display()
        );
        command
            .args(&words[1..])
            .env_clear()
            .envs([
                ("PATH", path.as_str()),
                ("TERM", "xterm"),
                (MARK, &self.mark),
            ])
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.root.join("run"))
            .current_dir(&self.root);
        if self.in_session {
            command.envs(
                SESSION
                    .iter()
                    .filter_map(|name| Some((name, env::var_os(name)?))),
            );
        }
        command
    }

    fn limit(&self) -> &'static str {
        if self.in_session {
            SESSION_TIMEOUT
        } else {
            TIMEOUT
        }
    }

    /// The OCI runtime under test: Carrier, unless `CARRIER_TEST_RUNTIME` names another one to see
    /// that a test is right.
    #[must_use]
    pub fn runtime(&self) -> String {
        let own = || self.root.join("bin/carrier-runtime").display().to_string();
        other_runtime().unwrap_or_else(own)
    }

    /// The binary under test, where the ordinary user can execute it.
    #[must_use]
    pub fn program(&self) -> String {
        self.root.join("bin/carrier").display().to_string()
    }

    /// The user's home directory.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The user's store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.home().join(".local/share/carrier")
    }

    /// Makes a file that the ordinary user can read.
    #[must_use]
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.root.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Looks for processes, mounts and files that should be gone; containers must have been removed.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        let left = until_empty(|| [self.processes(), self.mounts(), self.files()].concat());
        assert!(
            left.is_empty(),
            "processes, mounts or files are left: {left:#?}"
        );
    }

    /// Waits until commands have swept what a killed one has left: they leave it alone as long as a
    /// process that unpacks for the killed one has not noticed its end.
    #[track_caller]
    pub fn until_swept(&self) {
        until("an empty staging directory", || {
            self.carrier(["images", "-q"]).succeeds();
            names_in(&self.store().join("staging")).is_empty()
        });
    }

    /// Mounts below the world's directory.
    fn mounts(&self) -> Vec<String> {
        let root = self.root.display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounts.lines().filter(|line| line.contains(&root));
        ours.map(ToOwned::to_owned).collect()
    }

    /// Files that are there only while a command works or a container exists.
    fn files(&self) -> Vec<String> {
        let places = ["containers", "names", "staging"].map(|name| self.store().join(name));
        let places = places.into_iter().chain([self.root.join("run/carrier")]);
        let mut left = places
            .flat_map(|place| names_in(&place))
            .collect::<Vec<_>>();
        // What has happened may be asked for until the next boot, and the last container that others
        // could share a user namespace with is known so long.
        left.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with("events.jsonl") && name != "outer-ids.json"
        });
        left.iter().map(|path| path.display().to_string()).collect()
    }

    /// Processes that carry the mark of this test in their environment.
    fn processes(&self) -> Vec<String> {
        let wanted = format!("{MARK}={}", self.mark);
        let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let marked = all.filter_map(|entry| {
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let mut lines = environment.split(|byte| *byte == 0);
            lines.any(|line| line == wanted.as_bytes()).then(|| {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).replace('\0', " ")
            })
        });
        marked.filter(|command| !command.is_empty()).collect()
    }
}

impl Drop for Cx {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_nothing_is_left();
        }
        // Layers may have files of other ids, which an ordinary user deletes by way of Carrier.
        if !is_root() {
            let images = self.carrier(["ls", "-i", "-q"]);
            for image in images.text().lines() {
                self.carrier(["rmi", "--force", image]);
            }
        }
        let _ = Command::new("rm").arg("-rf").arg(&self.root).status();
    }
}

fn names_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// The kernel ends processes of a namespace a moment after their first one.
fn until_empty(look: impl Fn() -> Vec<String>) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = look();
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}
