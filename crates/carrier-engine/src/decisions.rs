//! What is decided on the way to a container, for whoever wants to hear of it.

use std::sync::OnceLock;

static LISTENER: OnceLock<fn(&str)> = OnceLock::new();

/// Has decisions told from now on. Without that, not even their words are made.
pub fn tell_decisions(listener: fn(&str)) {
    LISTENER.get_or_init(|| listener);
}

pub(crate) fn decided(words: impl FnOnce() -> String) {
    if let Some(listener) = LISTENER.get() {
        listener(&words());
    }
}
