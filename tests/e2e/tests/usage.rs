//! Command lines that mean nothing: one line that says why, and one with the way out.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn a_wrong_command_line_is_told_in_one_line_and_a_hint() {
    let cx = Cx::new();
    for (words, code, complaint, hint) in [
        (
            "run --frob x",
            125,
            "unknown option --frob",
            "`carrier run --help`",
        ),
        (
            "ps --frmat x",
            125,
            "unknown option --frmat",
            "did you mean --format?",
        ),
        ("run --init=x y", 125, "--init takes no value", "leave out"),
        (
            "stop -t x y",
            125,
            "--timeout \"x\": that is no whole number",
            "`carrier stop",
        ),
        ("pss", 1, "unknown verb \"pss\"", "did you mean ps?"),
        (
            "volume creat x",
            1,
            "unknown verb \"creat\" of carrier volume",
            "did you mean create?",
        ),
        (
            "rm",
            1,
            "carrier rm needs NAME|ID|IMAGE",
            "`carrier rm --help`",
        ),
        (
            "create",
            1,
            "carrier create needs IMAGE",
            "carrier create [OPTIONS] IMAGE",
        ),
    ] {
        cx.carrier(words.split(' '))
            .exits_with(code)
            .prints("")
            .complains(complaint)
            .hints(hint);
    }
    cx.assert_nothing_is_left();
}

#[test]
fn what_is_written_wrongly_has_no_power_over_the_terminal() {
    let cx = Cx::new();
    cx.carrier(["ps", "--\u{1b}[2J"])
        .exits_with(125)
        .complains("--\\u{1b}[2J");
    cx.carrier(["\u{1b}[2J"])
        .exits_with(1)
        .complains("unknown verb");
}
