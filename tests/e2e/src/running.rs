//! A container that runs beside a test.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::Cx;

/// A container that waits in the background, and is removed when this is dropped.
#[derive(Debug)]
pub struct Running<'a> {
    cx: &'a Cx,
    name: String,
    command: Child,
}

impl Cx {
    /// Runs a container until the end of the test: `words` are options, the image and its command.
    pub fn running<'a>(
        &self,
        name: &'a str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Running<'_> {
        let head = ["run", "--rm", "--name", name];
        let command = self.start(head.into_iter().chain(words));
        let running = Running {
            cx: self,
            name: name.to_owned(),
            command,
        };
        running.wait_until_up();
        running
    }
}

impl Running<'_> {
    #[track_caller]
    fn wait_until_up(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.cx.carrier(["ls", "-c"]).text().contains(&self.name) {
            assert!(Instant::now() < deadline, "{} does not run", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.command.kill();
        } else {
            self.cx.carrier(["rm", "--force", &self.name]);
        }
        // It ends with its container.
        let _ = self.command.wait();
    }
}
