//! `carrier run -it`, `exec -it`, `sh` and `terminal` in a real terminal.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use carrier_e2e::terminal::{Terminal, child_of};

#[test]
fn a_shell_in_a_container_behaves_like_one_outside() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let terminal = Terminal::open(&cx);
    terminal.enter("stty -g > ~/before");
    terminal.enter(&format!("carrier run --rm -it {image}"));
    terminal.waits_for("/ #");
    terminal.enter("stty size; tty; echo $TERM");
    terminal.waits_for("30 100");
    terminal.waits_for("/dev/pts/0");
    terminal.resize(120, 40);
    terminal.enter("stty size");
    terminal.waits_for("40 120");
    terminal.enter("sh -c 'echo be\"\"gun; exec sleep 60'");
    terminal.waits_for("begun");
    terminal.keys(&["C-c"]);
    terminal.enter("echo interrupted: $?");
    terminal.waits_for("interrupted: 130");
    terminal.enter("vi /tmp/f");
    terminal.keys(&["-l", "iwritten in vi"]);
    terminal.keys(&["Escape"]);
    terminal.keys(&["-l", ":wq"]);
    terminal.keys(&["Enter"]);
    terminal.enter("clear; wc -c < /tmp/f");
    terminal.waits_for("14");
    terminal.keys(&["C-d"]);
    terminal.waits_for("ready$");
    terminal.enter("echo code: $?; stty -g > ~/after; cmp ~/before ~/after && echo same");
    terminal.waits_for("code: 0");
    terminal.waits_for("same");
}

#[test]
fn exit_codes_and_last_words_get_through_a_terminal() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let terminal = Terminal::open(&cx);
    terminal.enter(&format!(
        "carrier run --rm -it {image} sh -c 'seq 1 2000; exit 7'; echo code: $?"
    ));
    terminal.waits_for("code: 7");
    terminal.waits_for("2000");
    terminal.enter(&format!(
        "clear; carrier run --rm -t {image} no-such; echo code: $?"
    ));
    terminal.waits_for("code: 127");
}

/// Carrier, after keeping the settings of the terminal; `same` is shown when they are the same later.
const KEEP: &str = "stty -g > ~/before";
const COMPARE: &str = "stty -g > ~/after; cmp ~/before ~/after && echo sa''me";

#[test]
fn a_shell_in_a_container_that_runs_is_one_like_outside() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", ["-h", "web", &image, "sleep", "1000"]);
    for command in ["exec -it web sh", "sh web", "t web"] {
        let terminal = Terminal::open(&cx);
        terminal.enter(KEEP);
        terminal.enter(&format!("carrier {command}"));
        terminal.waits_for("/ #");
        terminal.enter("stty size; tty; echo $TERM on $(hostname)");
        terminal.waits_for("30 100");
        terminal.waits_for("/dev/pts/0");
        terminal.waits_for("xterm on web");
        terminal.resize(120, 40);
        terminal.enter("stty size");
        terminal.waits_for("40 120");
        terminal.enter("sh -c 'echo be\"\"gun; exec sleep 60'");
        terminal.waits_for("begun");
        terminal.keys(&["C-c"]);
        terminal.enter("echo interrupted: $?");
        terminal.waits_for("interrupted: 130");
        terminal.enter("sh -c 'echo st\"\"arted; exec sleep 61'");
        terminal.waits_for("started");
        terminal.keys(&["C-z"]);
        terminal.waits_for("Stopped");
        terminal.enter("kill -9 %1; wait; clear; echo continued");
        terminal.waits_for("continued");
        terminal.enter("vi /tmp/f");
        terminal.keys(&["-l", "iwritten in vi"]);
        terminal.keys(&["Escape"]);
        terminal.keys(&["-l", ":wq"]);
        terminal.keys(&["Enter"]);
        terminal.enter("clear; wc -c < /tmp/f; rm /tmp/f; exit 5");
        terminal.waits_for("14");
        terminal.waits_for("ready$");
        terminal.enter(&format!("echo code: $?; {COMPARE}"));
        terminal.waits_for("code: 5");
        terminal.waits_for("same");
    }
}

#[test]
fn the_terminal_is_restored_whatever_kills_the_command() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let terminal = Terminal::open(&cx);
    terminal.enter(KEEP);
    for signal in ["KILL", "TERM", "HUP"] {
        terminal.enter("clear; carrier sh web");
        terminal.waits_for("/ #");
        // The command, and not the process behind it.
        let kill = format!("kill -{signal} {}", terminal.command_id());
        cx.script(&kill).succeeds();
        terminal.waits_for("ready$");
        terminal.enter(COMPARE);
        terminal.waits_for("same");
        let wait = "until [ $(carrier exec web ps | grep -c ' sh$') = 0 ]; do sleep 0.05; done";
        cx.script(wait).succeeds();
    }
    // And when it is the other one.
    terminal.enter("clear; carrier sh web");
    terminal.waits_for("/ #");
    let behind = child_of(&terminal.command_id());
    cx.script(&format!("kill -KILL {behind}")).succeeds();
    terminal.waits_for("ready$");
    terminal.enter(&format!("echo code: $?; {COMPARE}"));
    terminal.waits_for("code: 137");
    terminal.waits_for("same");
}

#[test]
fn detach_keys_part_the_terminal_from_a_program_that_goes_on() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _web = cx.running("web", [&image, "sleep", "1000"]);
    let terminal = Terminal::open(&cx);
    terminal.enter(KEEP);
    let counts = "while :; do i=$((i+1)); echo $i > /tmp/count; echo number $i; sleep 0.05; done";
    terminal.enter(&format!("carrier exec -it web sh -c '{counts}'"));
    terminal.waits_for("number 3");
    terminal.keys(&["C-p"]);
    terminal.keys(&["C-q"]);
    terminal.waits_for("ready$");
    terminal.enter(&format!("clear; echo code: $?; {COMPARE}"));
    terminal.waits_for("same");
    // More than a terminal holds, had nobody read it.
    let more =
        "n=$(($(cat /tmp/count) + 1)); until [ $(cat /tmp/count) -gt $n ]; do sleep 0.05; done";
    cx.carrier(["exec", "web", "sh", "-c", more]).succeeds();
    terminal.enter("clear; carrier exec -it --detach-keys 'x,ctrl-a' web cat");
    terminal.keys(&["-l", "xy"]);
    terminal.keys(&["Enter"]);
    terminal.waits_for("xy\nxy");
    terminal.keys(&["-l", "x"]);
    terminal.keys(&["C-a"]);
    terminal.waits_for("ready$");
    let config = r#"mkdir ~/.docker && echo '{"detachKeys":"ctrl-b,d"}' > ~/.docker/config.json"#;
    cx.script(config).succeeds();
    terminal.enter("clear; carrier exec -it web cat");
    terminal.keys(&["-l", "typed"]);
    terminal.keys(&["Enter"]);
    terminal.waits_for("typed\ntyped");
    terminal.keys(&["C-b"]);
    terminal.keys(&["-l", "d"]);
    terminal.waits_for("ready$");
    terminal.enter("clear; carrier exec -it --detach-keys '' web cat -v");
    terminal.keys(&["C-p"]);
    terminal.keys(&["C-q"]);
    terminal.keys(&["Enter"]);
    terminal.waits_for("^P");
    terminal.keys(&["C-c"]);
    terminal.waits_for("ready$");
}

#[test]
fn a_run_on_a_terminal_is_left_by_its_detach_keys_and_attached_to_again() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let terminal = Terminal::open(&cx);
    terminal.enter(KEEP);
    terminal.enter(&format!("carrier run -it --name web {image}"));
    terminal.waits_for("/ #");
    for _ in 0..2 {
        terminal.keys(&["C-p"]);
        terminal.keys(&["C-q"]);
        terminal.waits_for("ready$");
        terminal.enter(&format!("clear; echo code: $?; {COMPARE}"));
        terminal.waits_for("same");
        cx.carrier(["ls", "-c"]).succeeds().shows("Up");
        terminal.enter("clear; carrier attach web");
        terminal.resize(90, 25);
        terminal.enter("clear; stty size");
        terminal.waits_for("25 90");
    }
    // Two at once see the same.
    let other = Terminal::open(&cx);
    other.enter("carrier attach web");
    other.enter("echo from the $((1 + 1))nd");
    terminal.waits_for("from the 2nd");
    other.waits_for("from the 2nd");
    terminal.enter("exit 3");
    for one in [&terminal, &other] {
        one.waits_for("ready$");
        one.enter("clear; echo code: $?");
    }
    terminal.enter(COMPARE);
    terminal.waits_for("same");
    cx.carrier(["ls", "-c", "-a"])
        .succeeds()
        .shows("Exited (3)");
    cx.carrier(["rm", "web"]).succeeds();
}

#[test]
fn a_run_that_is_killed_leaves_its_terminal_as_it_was() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let terminal = Terminal::open(&cx);
    terminal.enter(KEEP);
    terminal.enter(&format!("carrier run -it --name web {image}"));
    terminal.waits_for("/ #");
    cx.script(&format!("kill -KILL {}", terminal.command_id()))
        .succeeds();
    terminal.waits_for("ready$");
    terminal.enter(COMPARE);
    terminal.waits_for("same");
    // The container goes on.
    cx.carrier(["exec", "web", "true"]).succeeds();
    cx.carrier(["rm", "-f", "web"]).succeeds();
}
