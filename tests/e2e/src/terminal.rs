//! A real terminal, driven by keys: tmux.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Cx;

/// A terminal with a shell of the ordinary user in it.
#[derive(Debug)]
pub struct Terminal<'a> {
    cx: &'a Cx,
    socket: String,
}

impl<'a> Terminal<'a> {
    /// Opens a terminal of 100 columns and 30 rows.
    #[must_use]
    pub fn open(cx: &'a Cx) -> Self {
        // The server of an earlier terminal may be about to end.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = cx.home().join(format!("tmux{number}"));
        let socket = socket.display().to_string();
        let terminal = Self { cx, socket };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "exec sh",
        ]);
        terminal.enter("PS1='ready$ '");
        terminal.waits_for("ready$");
        terminal
    }

    /// Types a line and the return key.
    pub fn enter(&self, line: &str) {
        self.keys(&["-l", line]);
        self.keys(&["Enter"]);
    }

    /// Presses keys by tmux's names, such as `C-c`.
    pub fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
        // Programs tell the escape key from an escape sequence by the pause behind it.
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Changes the size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Waits until `text` is on the screen.
    #[track_caller]
    pub fn waits_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.screen().contains(text) {
            assert!(
                Instant::now() < deadline,
                "{text:?} is not on the screen:\n{}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The command that the shell waits for.
    #[must_use]
    pub fn command_id(&self) -> String {
        let shell = self.command(&["display-message", "-p", "#{pane_pid}"]);
        child_of(&text(shell))
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        text(self.command(&["capture-pane", "-p"]))
    }

    fn tmux(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let words = [&["tmux", "-S", &self.socket], arguments].concat();
        self.cx.command(&words)
    }
}

/// The only child of a process.
#[must_use]
pub fn child_of(process: &str) -> String {
    let mut children = Command::new("pgrep");
    children.args(["-P", process.trim()]);
    text(children).trim().to_owned()
}

fn text(mut command: Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}
