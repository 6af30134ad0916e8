//! How a pull or a push is shown: a bar a layer on a terminal, plain lines elsewhere.

mod upload;

use std::cell::RefCell;
use std::collections::HashMap;

use carrier_registry::{LayerEvent, Progress};
use carrier_spec::Digest;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rustix::termios::isatty;

pub(crate) use upload::of_push;

/// Chooses how to show a pull.
pub(crate) fn new(quiet: bool) -> Box<dyn Progress> {
    if quiet {
        Box::new(Silent)
    } else if isatty(rustix::stdio::stderr()) {
        Box::new(Bars::default())
    } else {
        Box::new(Lines)
    }
}

/// Says something beside the results.
#[allow(clippy::print_stderr, reason = "the place where notes are printed")]
pub(crate) fn note(text: &str) {
    eprintln!("{}", crate::report::printable(text));
}

/// Says that something is odd, and that Carrier goes on.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

struct Silent;

impl Progress for Silent {
    fn layer(&self, _digest: &Digest, _size: u64, _event: LayerEvent) {}

    fn note(&self, _text: &str) {}
}

struct Lines;

impl Progress for Lines {
    fn layer(&self, digest: &Digest, _size: u64, event: LayerEvent) {
        let text = match event {
            LayerEvent::AlreadyExists => "Already exists",
            LayerEvent::Complete => "Pull complete",
            LayerEvent::Waiting | LayerEvent::Downloaded(_) | LayerEvent::Unpacking => return,
        };
        note(&format!("{}: {text}", digest.short()));
    }

    fn note(&self, text: &str) {
        note(text);
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    layers: RefCell<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    /// Says something above the bars.
    fn say(&self, text: &str) {
        // Bars that cannot be drawn hide nothing.
        let _ = self.all.println(crate::report::printable(text));
    }

    fn bar(&self, digest: &Digest, size: u64) -> ProgressBar {
        let mut layers = self.layers.borrow_mut();
        let make = || {
            let bar = self.all.add(ProgressBar::new(size));
            let template = "{prefix}: {msg:<14} {bar:30} {bytes}/{total_bytes}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(digest.short().to_owned());
            bar
        };
        layers.entry(digest.clone()).or_insert_with(make).clone()
    }
}

impl Progress for Bars {
    fn layer(&self, digest: &Digest, size: u64, event: LayerEvent) {
        let bar = self.bar(digest, size);
        match event {
            LayerEvent::Waiting => bar.set_message("Waiting"),
            LayerEvent::Downloaded(bytes) => {
                bar.set_message("Downloading");
                bar.set_position(bytes);
            }
            LayerEvent::Unpacking => bar.set_message("Extracting"),
            LayerEvent::AlreadyExists => bar.finish_with_message("Already exists"),
            LayerEvent::Complete => bar.finish_with_message("Pull complete"),
        }
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}
