//! `carrier run -it` in a real terminal.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use carrier_e2e::terminal::Terminal;

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
    terminal.enter("sleep 60");
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
