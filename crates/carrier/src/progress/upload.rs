//! How a push is shown.

use std::borrow::Cow;

use carrier_registry::{PushEvent, PushProgress};
use carrier_spec::Digest;

use super::{Bars, Lines, Silent, has_bars, note};

/// Chooses how to show a push.
pub(crate) fn of_push(quiet: bool) -> Box<dyn PushProgress> {
    if quiet {
        Box::new(Silent)
    } else if has_bars() {
        Box::new(Bars::default())
    } else {
        Box::new(Lines)
    }
}

/// How it ended for a layer, in Docker's words.
fn ending<'a>(event: &PushEvent<'a>) -> Option<Cow<'a, str>> {
    match event {
        PushEvent::AlreadyExists => Some("Layer already exists".into()),
        PushEvent::Mounted(repository) => Some(format!("Mounted from {repository}").into()),
        PushEvent::Pushed => Some("Pushed".into()),
        PushEvent::Preparing | PushEvent::Compressing | PushEvent::Uploaded(_) => None,
    }
}

impl PushProgress for Silent {
    fn blob(&self, _digest: &Digest, _size: u64, _event: PushEvent<'_>) {}

    fn note(&self, _text: &str) {}
}

impl PushProgress for Lines {
    fn blob(&self, digest: &Digest, _size: u64, event: PushEvent<'_>) {
        if let Some(text) = ending(&event) {
            note(&format!("{}: {text}", digest.short()));
        }
    }

    fn note(&self, text: &str) {
        note(text);
    }
}

impl PushProgress for Bars {
    fn blob(&self, digest: &Digest, size: u64, event: PushEvent<'_>) {
        match event {
            PushEvent::Preparing => self.expect(digest),
            PushEvent::Compressing => self.advance(digest, size, "Compressing", None),
            PushEvent::Uploaded(bytes) => self.advance(digest, size, "Pushing", Some(bytes)),
            _ => self.end(digest, &ending(&event).unwrap_or_default()),
        }
    }
    fn note(&self, text: &str) {
        self.say(text);
    }
}
