//! How a pull of many layers looks on small terminals.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::time::{Duration, Instant};

use carrier_e2e::terminal::Terminal;
use carrier_e2e::{Cx, Image, Layer, Registry};
use serde_json::json;

const LAYERS: u32 = 20;

/// An image whose layers take a moment: nothing in them can be compressed.
fn world() -> (Cx, Registry) {
    let layers = (0..LAYERS).map(|number| {
        let mut state = number + 1;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        });
        let content: Vec<u8> = noise.take(2 << 20).collect();
        Layer::new().file(&format!("f{number}"), content)
    });
    let registry = Registry::empty();
    Image::new(layers.collect(), json!({})).push(registry.host(), "twenty", "latest");
    (Cx::new(), registry)
}

#[test]
fn twenty_layers_are_shown_in_a_few_lines_of_every_window() {
    let (cx, registry) = world();
    let name = registry.reference("twenty");
    // Seen in one of the windows: a pull may be quicker than whoever looks.
    let mut was_counted = false;
    for (columns, rows) in [(80, 24), (50, 12), (30, 10)] {
        let terminal = Terminal::open(&cx);
        terminal.resize(columns, rows);
        terminal.enter(&format!("clear; carrier pull {name}; echo end''ed"));
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = terminal.screen();
            let bars = screen
                .lines()
                .filter(|line| line.contains('%') || line.contains(" ["));
            let bars = bars.count();
            assert!(bars <= 4, "{bars} bars in {columns} columns:\n{screen}");
            was_counted |= screen.contains(" of 20 layers");
            if screen.contains("ended") {
                break;
            }
            assert!(Instant::now() < deadline, "{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let screen = terminal.screen();
        for trace in ["Downloading", "Extracting", "layers", "%"] {
            assert!(!screen.contains(trace), "{trace} is left:\n{screen}");
        }
        assert!(screen.contains("Pull complete") || rows < 12, "{screen}");
        cx.carrier(["rmi", &name]).succeeds();
    }
    assert!(was_counted, "nothing was counted");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let (cx, registry) = world();
    let terminal = Terminal::open(&cx);
    let name = registry.reference("twenty");
    terminal.enter(&format!(
        "TERM=dumb carrier pull {name} 2>/dev/tty | cat; echo end''ed"
    ));
    terminal.waits_for("ended");
    let screen = terminal.screen();
    let complete = screen.matches(": Pull complete").count();
    assert_eq!(complete, 20, "{screen}");
    assert!(!screen.contains("layers"), "{screen}");
}
