//! The machine itself, as root changes it, and true logins of its ordinary user.

use carrier_e2e::{Cx, Outcome};

/// Root's key for logins, known by its comment.
const COMMENT: &str = "carrier-test-logins";
/// Where the machine's ssh server looks for keys.
const KEYS: &str = "/etc/ssh/vm_keys";

pub(super) struct Machine {
    cx: Cx,
    key: String,
}

impl Machine {
    pub(super) fn new() -> Self {
        let cx = Cx::new();
        let key = cx.home().join("key").display().to_string();
        let machine = Self { cx, key };
        let make = format!(
            "ssh-keygen -q -t ed25519 -N '' -C {COMMENT} -f {0} && cat {0}.pub >>{KEYS}",
            machine.key
        );
        machine.root(&make).succeeds();
        machine
    }

    /// Runs a script of root, which nothing is hidden from.
    pub(super) fn root(&self, script: &str) -> Outcome {
        self.cx.on_the_host(&["sh", "-c", script])
    }

    /// Runs a script of the user in a login session of its own.
    pub(super) fn user(&self, script: &str) -> Outcome {
        let script = format!("PATH=$HOME/bin:$PATH; {script}");
        self.cx.on_the_host(&[
            "ssh",
            "-q",
            "-i",
            &self.key,
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "carrier-test@127.0.0.1",
            &script,
        ])
    }

    /// Runs a script of the user without a session, as cron(8) and others do.
    pub(super) fn user_without_login(&self, script: &str) -> Outcome {
        let script = format!(
            "cd; exec env -i HOME=$HOME PATH=$HOME/bin:/usr/bin:/bin sh -c '{}'",
            script.replace('\'', r"'\''")
        );
        self.root(&format!(
            "HOME=/home/carrier-test setpriv --reuid carrier-test --regid carrier-test --init-groups \
             sh -c '{}'",
            script.replace('\'', r"'\''")
        ))
    }

    /// Ends all that is the user's, so that the next login begins anew.
    pub(super) fn log_out(&self) {
        self.root(
            "loginctl terminate-user carrier-test; uid=$(id -u carrier-test)
            for _ in $(seq 100); do [ -e /run/user/$uid ] || exit 0; sleep 0.2; done; exit 1",
        )
        .succeeds();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.root(&format!("sed -i /{COMMENT}$/d {KEYS}"));
    }
}
