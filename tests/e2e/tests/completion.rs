//! Command lines that are completed, by the shells themselves.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::path::Path;

use carrier_e2e::{Cx, skip};

/// A world with an image, a volume, a network, a container that runs and one that does not.
struct Things {
    cx: Cx,
    image: String,
}

impl Things {
    fn new() -> Self {
        let cx = Cx::with_registry();
        let image = cx.pulled("busybox");
        for words in [
            &["volume", "create", "data"][..],
            &["network", "create", "backend"],
            &["create", "--name", "idle", &image, "true"],
            &["run", "-d", "--name", "busy", &image, "sleep", "600"],
        ] {
            cx.carrier(words.iter().copied()).succeeds();
        }
        Self { cx, image }
    }

    fn end(self) {
        self.cx.carrier(["rm", "-f", "idle", "busy"]).succeeds();
        self.cx.carrier(["network", "rm", "backend"]).succeeds();
        self.cx.carrier(["volume", "rm", "data"]).succeeds();
        self.cx.assert_nothing_is_left();
    }
}

/// What bash offers for a command line, whose words are broken as readline breaks them.
fn by_bash(cx: &Cx, line: &str) -> Vec<String> {
    let words: Vec<String> = line
        .split(' ')
        .flat_map(broken)
        .map(|word| format!("'{word}'"))
        .collect();
    let script = format!(
        "source <(carrier completion bash)
         COMP_WORDS=({}) COMP_CWORD={} COMP_LINE='{line}' COMP_POINT={}
         _carrier
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1,
        line.len(),
    );
    offered(cx, &["bash", "--norc", "-c", &script])
}

fn broken(word: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in word.chars() {
        if matches!(c, ':' | '=') {
            pieces.push(c.to_string());
            pieces.push(String::new());
        } else {
            pieces.last_mut().unwrap().push(c);
        }
    }
    if pieces.len() > 1 {
        pieces.retain(|piece| !piece.is_empty());
    }
    pieces
}

fn offered(cx: &Cx, words: &[&str]) -> Vec<String> {
    let output = cx.command(words).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.is_empty(), "{words:?}: {error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    found.retain(|word| !word.is_empty());
    found.sort();
    found
}

#[test]
fn bash_completes_verbs_options_and_what_there_is() {
    let things = Things::new();
    let cx = &things.cx;
    let (host, rest) = things.image.split_once(':').unwrap();
    let begun = format!("carrier run {host}:{}", &rest[..3]);
    let from_port = format!("{rest}:latest");
    for (line, expected) in [
        ("carrier unp", &["unpause"][..]),
        ("carrier container unp", &["unpause"]),
        ("carrier run --pull=ne", &["never"]),
        ("carrier run --pull ne", &["never"]),
        ("carrier start ", &["idle"]),
        ("carrier stop ", &["busy"]),
        ("carrier exec ", &["busy"]),
        ("carrier logs ", &["busy", "idle"]),
        ("carrier restart busy i", &["idle"]),
        ("carrier container rm b", &["busy"]),
        ("carrier volume rm ", &["data"]),
        ("carrier network rm back", &["backend"]),
        ("carrier run --network back", &["backend"]),
        ("carrier run --network=back", &["backend"]),
        ("carrier run -v dat", &["data:"]),
        ("carrier cp bus", &["busy:"]),
        ("carrier stop --signal SIGKI", &["SIGKILL"]),
        (&begun, &[&from_port]),
    ] {
        assert_eq!(by_bash(cx, line), expected, "{line}");
    }
    let options = by_bash(cx, "carrier run --memory");
    assert!(options.contains(&"--memory-swap".to_owned()), "{options:?}");
    things.end();
}

#[test]
fn bash_offers_files_where_files_are_named() {
    let cx = Cx::new();
    let file = cx.file("settings.env", "A=1\n");
    for line in [
        "carrier run --env-file settings",
        "carrier run --env-file=settings",
        "carrier run busybox ls settings",
    ] {
        assert_eq!(by_bash(&cx, line), ["settings.env"], "{line}");
    }
    let begun = format!("carrier load -i {}", file.strip_suffix(".env").unwrap());
    assert_eq!(by_bash(&cx, &begun), [file]);
}

#[test]
fn zsh_completes_what_there_is() {
    if !is_there("zsh") {
        return skip("zsh_completes_what_there_is", "zsh is not installed");
    }
    let things = Things::new();
    // What completion widgets have, and what they would be told.
    let by_zsh = |line: &str| {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "compdef() {{ : }}
             _describe() {{ print -rl -- \"${{(@P)4}}\" }}
             _files() {{ print -l -- FILES }}
             source <(carrier completion zsh)
             words=({}) CURRENT={} PREFIX={}
             _carrier",
            words.join(" "),
            words.len(),
            words.last().unwrap(),
        );
        offered(&things.cx, &["zsh", "-f", "-c", &script])
    };
    let begins = |found: &[String], expected: &[&str]| {
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, word)| found.starts_with(word))
    };
    for (line, expected) in [
        ("carrier unp", &["unpause:Let"][..]),
        ("carrier start ", &["idle:created, "]),
        ("carrier stop ", &["busy:running, "]),
        ("carrier run -v dat", &["FILES", "data\\:"]),
        ("carrier load -i ", &["FILES"]),
        ("carrier network rm back", &["backend"]),
    ] {
        let found = by_zsh(line);
        assert!(begins(&found, expected), "{line}: {found:?}");
    }
    things.end();
}

#[test]
fn fish_completes_what_there_is() {
    if !is_there("fish") {
        return skip("fish_completes_what_there_is", "fish is not installed");
    }
    let things = Things::new();
    let by_fish = |line: &str| {
        let script = format!("carrier completion fish | source; complete -C '{line}'");
        let found = offered(&things.cx, &["fish", "--no-config", "-c", &script]);
        let words = found.iter().map(|line| line.split('\t').next().unwrap());
        words.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    for (line, expected) in [
        ("carrier unp", &["unpause"][..]),
        ("carrier start ", &["idle"]),
        ("carrier stop ", &["busy"]),
        ("carrier run --pull=ne", &["--pull=never"]),
        ("carrier network rm back", &["backend"]),
    ] {
        assert_eq!(by_fish(line), expected, "{line}");
    }
    things.end();
}

#[test]
fn completing_makes_nothing_and_changes_nothing() {
    let cx = Cx::new();
    cx.carrier(["__complete", "--", "start", ""])
        .succeeds()
        .prints(":");
    assert!(!cx.store().exists(), "a store was made");
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "idle", &image]).succeeds();
    let state = || {
        cx.script("find ~ $XDG_RUNTIME_DIR -printf '%p %T@ %C@ %i\\n' | sort")
            .succeeds()
            .text()
            .to_owned()
    };
    let before = state();
    for words in [
        "start ",
        "rm ",
        "run ",
        "volume rm ",
        "network rm ",
        "exec ",
    ] {
        let words = ["__complete", "--"].into_iter().chain(words.split(' '));
        cx.carrier(words).succeeds();
    }
    assert_eq!(state(), before);
    cx.carrier(["rm", "idle"]).succeeds();
}

fn is_there(shell: &str) -> bool {
    ["/usr/bin", "/bin"]
        .iter()
        .any(|place| Path::new(place).join(shell).exists())
}
