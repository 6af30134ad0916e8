//! A container that runs beside a test.

use crate::Cx;

/// A container that runs in the background, and is removed when this is dropped.
#[derive(Debug)]
pub struct Running<'a> {
    cx: &'a Cx,
    name: String,
}

impl Cx {
    /// Runs a container until the end of the test: `words` are options, the image and its command.
    pub fn running<'a>(
        &self,
        name: &'a str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Running<'_> {
        let head = ["run", "-d", "--rm", "--name", name];
        self.carrier(head.into_iter().chain(words)).succeeds();
        Running {
            cx: self,
            name: name.to_owned(),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.cx.carrier(["rm", "--force", &self.name]);
    }
}
