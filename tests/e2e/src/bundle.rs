//! OCI bundles, and the runtime's command line on them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::context::{Cx, run};
use crate::host::other_runtime;
use crate::networks::until;
use crate::outcome::Outcome;

/// A bundle with busybox as its root filesystem.
#[derive(Debug)]
pub struct Bundle<'a> {
    cx: &'a Cx,
    path: PathBuf,
    /// What `config.json` will say.
    pub config: Value,
}

const PROGRAMS: [&str; 16] = [
    "sh", "true", "cat", "ls", "id", "mount", "sleep", "kill", "touch", "grep", "readlink", "ps",
    "test", "stty", "hostname", "dd",
];

impl<'a> Bundle<'a> {
    /// A bundle of the ordinary user, whose program is the shell script.
    #[must_use]
    pub fn new(cx: &'a Cx, script: &str) -> Self {
        let path = cx.home().join("bundle");
        let root = path.join("rootfs");
        for directory in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for program in PROGRAMS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(program)).unwrap();
        }
        cx.give_to_user(&path);
        let spec = "cd home/bundle && carrier oci spec --rootless && cat config.json";
        let text = cx.script(spec).succeeds();
        let mut config: Value = serde_json::from_str(text.text()).unwrap();
        if other_runtime().is_some() {
            // Known to all that are in use.
            config["ociVersion"] = "1.0.2".into();
        }
        config["process"]["terminal"] = false.into();
        config["root"]["readonly"] = false.into();
        config["process"]["args"] = json!(["sh", "-c", script]);
        Self { cx, path, config }
    }

    /// The bundle that [`Bundle::new`] has made.
    #[must_use]
    pub fn again(cx: &'a Cx) -> Self {
        Self {
            cx,
            path: cx.home().join("bundle"),
            config: Value::Null,
        }
    }

    /// Makes it one of root's, whose ids are those of the host.
    pub fn leave_user_namespace(&mut self) {
        let linux = self.config["linux"].as_object_mut().unwrap();
        linux.remove("uidMappings");
        linux.remove("gidMappings");
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "user");
    }

    /// Where the bundle is.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Writes `config.json` and runs the bundle to its end.
    pub fn run(&self) -> Outcome {
        self.save();
        self.oci(&["run", "--bundle", "home/bundle", "box"])
    }

    /// Writes `config.json` and makes the container `box`, whose output goes to a file.
    pub fn create(&self) -> Outcome {
        self.save();
        let create = format!("{} create --bundle home/bundle box", self.runtime());
        self.cx.script(&format!(
            "{create} </dev/null >output 2>errors || {{ cat errors >&2; exit 1; }}"
        ))
    }

    /// What the container `box` has written since `create`.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.cx.home().join("../output")).unwrap()
    }

    /// The runtime with these words.
    pub fn oci(&self, words: &[&str]) -> Outcome {
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        self.cx
            .script(&format!("{} {}", self.runtime(), quoted.join(" ")))
    }

    /// The status of the container `box`.
    #[must_use]
    pub fn status(&self) -> String {
        let state = self.oci(&["state", "box"]).succeeds();
        let state: Value = serde_json::from_str(state.text()).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the container `box` has the status.
    #[track_caller]
    pub fn wait_for(&self, status: &str) {
        until(&format!("the status {status}"), || self.status() == status);
    }

    /// The command that the tests of the clients name as the runtime.
    #[must_use]
    pub fn runtime(&self) -> String {
        // Some runtimes look for a relative directory below the bundle.
        let root = self.cx.home().join("../run/oci");
        format!("{} --root {}", self.cx.runtime(), root.display())
    }

    /// Writes `config.json`.
    pub fn save(&self) {
        let text = serde_json::to_string_pretty(&self.config).unwrap();
        fs::write(self.path.join("config.json"), text).unwrap();
    }

    /// Asserts that the runtime knows of no container and left no directory.
    pub fn assert_nothing_is_left(&self) {
        let root = self.cx.home().join("../run/oci");
        let left = fs::read_dir(root).into_iter().flatten().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(left.is_empty(), "containers are left: {left:?}");
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_nothing_is_left();
        }
        let _ = fs::remove_file(self.cx.home().join("../output"));
    }
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Cx {
    /// Gives a tree to the ordinary user.
    pub fn give_to_user(&self, path: &std::path::Path) {
        if crate::is_root() {
            let mut chown = Command::new("chown");
            chown.args(["-hR", "carrier-test:carrier-test"]).arg(path);
            run(chown.stdout(Stdio::null()));
        }
    }
}
