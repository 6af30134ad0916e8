//! How a pull or a push is shown: a bar a layer on a terminal, plain lines elsewhere.

mod upload;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};

use carrier_registry::{LayerEvent, Progress};
use carrier_spec::Digest;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rustix::termios::isatty;

use crate::cli::global::Level;
pub(crate) use upload::of_push;

/// Chooses how to show a pull.
pub(crate) fn new(quiet: bool) -> Box<dyn Progress> {
    if quiet {
        Box::new(Silent)
    } else if has_bars() {
        Box::new(Bars::default())
    } else {
        Box::new(Lines)
    }
}

/// Whether standard error is a terminal that can move its cursor.
fn has_bars() -> bool {
    isatty(rustix::stdio::stderr()) && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Says something beside the results.
#[allow(clippy::print_stderr, reason = "the place where notes are printed")]
pub(crate) fn note(text: &str) {
    eprintln!("{}", crate::report::printable(text));
}

/// How much is said, a [`Level`].
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Says more or less from now on.
pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    if level == Level::Debug {
        carrier_engine::tell_decisions(|words| debug(|| words.to_owned()));
    }
}

/// Says that something is odd, and that Carrier goes on.
pub(crate) fn warn(text: &str) {
    if LEVEL.load(Ordering::Relaxed) < Level::Error as u8 {
        note(&format!("warning: {text}"));
    }
}

/// Says what is done, to whoever asked for it; else the text is not even made.
pub(crate) fn debug(text: impl FnOnce() -> String) {
    if LEVEL.load(Ordering::Relaxed) == Level::Debug as u8 {
        note(&format!("debug: {}", text()));
    }
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

/// Bars for what is being done at the moment, and a line that counts. What has been done stands above
/// them and scrolls away, so that twenty layers need no more of a window than two.
struct Bars {
    all: MultiProgress,
    count: ProgressBar,
    layers: RefCell<Layers>,
}

#[derive(Default)]
struct Layers {
    known: HashSet<Digest>,
    done: HashSet<Digest>,
    bars: HashMap<Digest, ProgressBar>,
}

impl Default for Bars {
    fn default() -> Self {
        let all = MultiProgress::new();
        let count = all.add(ProgressBar::no_length());
        count.set_style(style("{msg}"));
        Self {
            all,
            count,
            layers: RefCell::default(),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.layers.borrow_mut().bars.values() {
            bar.finish_and_clear();
        }
        self.count.finish_and_clear();
    }
}

impl Bars {
    /// Says something above the bars.
    fn say(&self, text: &str) {
        // Bars that cannot be drawn hide nothing.
        let _ = self.all.println(crate::report::printable(text));
    }

    /// Counts a layer; no more is known of it yet.
    fn expect(&self, digest: &Digest) {
        self.layers.borrow_mut().known.insert(digest.clone());
        self.show_count();
    }

    /// Shows how far a layer is.
    fn advance(&self, digest: &Digest, size: u64, doing: &'static str, position: Option<u64>) {
        let mut layers = self.layers.borrow_mut();
        let make = || {
            let bar = ProgressBar::new(size);
            let bar = self.all.insert_before(&self.count, bar);
            bar.set_style(style(template(columns())));
            bar.set_prefix(digest.short().to_owned());
            bar
        };
        let bar = layers.bars.entry(digest.clone()).or_insert_with(make);
        bar.set_message(doing);
        if let Some(position) = position {
            bar.set_position(position);
        }
        if layers.known.insert(digest.clone()) {
            drop(layers);
            self.show_count();
        }
    }

    /// Says how it ended for a layer, once.
    fn end(&self, digest: &Digest, text: &str) {
        let mut layers = self.layers.borrow_mut();
        if let Some(bar) = layers.bars.remove(digest) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        layers.known.insert(digest.clone());
        if layers.done.insert(digest.clone()) {
            drop(layers);
            self.say(&format!("{}: {text}", digest.short()));
            self.show_count();
        }
    }

    fn show_count(&self) {
        let layers = self.layers.borrow();
        let (done, known) = (layers.done.len(), layers.known.len());
        self.count.set_message(format!("{done} of {known} layers"));
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// What fits into a line: one that is broken in two is drawn anew all over the window.
fn template(columns: u16) -> &'static str {
    match columns {
        0..40 => "{prefix} {percent:>3}%",
        40..72 => "{prefix}: {msg:<14} {percent:>3}%",
        _ => "{prefix}: {msg:<14} [{wide_bar}] {bytes:>10}/{total_bytes:<10}",
    }
}

fn columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr());
    // A terminal that does not know has room.
    size.map_or(80, |size| size.ws_col.max(1))
}

impl Progress for Bars {
    fn layer(&self, digest: &Digest, size: u64, event: LayerEvent) {
        match event {
            LayerEvent::Waiting => self.expect(digest),
            LayerEvent::Downloaded(bytes) => {
                self.advance(digest, size, "Downloading", Some(bytes));
            }
            LayerEvent::Unpacking => self.advance(digest, size, "Extracting", None),
            LayerEvent::AlreadyExists => self.end(digest, "Already exists"),
            LayerEvent::Complete => self.end(digest, "Pull complete"),
        }
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}
