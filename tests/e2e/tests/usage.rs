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
        (
            "run --init=x y",
            125,
            "--init cannot be \"x\"",
            "true, false",
        ),
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

#[test]
fn a_misspelt_name_is_answered_by_the_one_that_is_like_it() {
    let cx = Cx::new();
    cx.carrier(["create", "--name", "nginx", "hello"])
        .succeeds();
    cx.carrier(["tag", "hello", "caddy:2"]).succeeds();
    cx.carrier(["volume", "create", "database"]).succeeds();
    cx.carrier(["network", "create", "backend"]).succeeds();
    for (words, code, complaint, meant) in [
        ("stop ngnix", 1, "no such container: ngnix", "nginx"),
        ("exec Nginx true", 125, "no such container: Nginx", "nginx"),
        ("rm ngnx", 1, "no such container or image: ngnx", "nginx"),
        ("rmi caddy", 1, "no such image: caddy", "caddy:2"),
        (
            "run --pull never helo",
            125,
            "no such image: helo:latest",
            "hello",
        ),
        (
            "volume rm databse",
            1,
            "no such volume: databse",
            "database",
        ),
        (
            "run --network bakend hello",
            125,
            "no such network: bakend",
            "backend",
        ),
    ] {
        cx.carrier(words.split(' '))
            .exits_with(code)
            .complains(complaint)
            .hints(&format!("did you mean {meant}?"));
    }
    // Nobody listens at this port of the loopback.
    cx.carrier(["tag", "hello", "localhost:1/web"]).succeeds();
    cx.carrier(["run", "-q", "localhost:1/wbe"])
        .exits_with(125)
        .complains("cannot connect to registry")
        .hints("did you mean localhost:1/web, which is here? Else: check the registry");
    cx.carrier(["stop", "redis"])
        .exits_with(1)
        .hints("lists what there is");
    for words in [
        "rm nginx",
        "rmi caddy:2 localhost:1/web hello",
        "volume rm database",
        "network rm backend",
    ] {
        cx.carrier(words.split(' ')).succeeds();
    }
    cx.assert_nothing_is_left();
}
