//! `docs/commands.md` says what the program does: each option that it calls refused is refused in
//! these words.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::path::Path;

use carrier_e2e::Cx;

/// Options of the manual's tables with what it says about each.
fn rows() -> Vec<(String, String, String)> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let manual = fs::read_to_string(manual).unwrap();
    let (_, tables) = manual.split_once("## Docker's options").unwrap();
    let rows = tables.lines().filter_map(|line| {
        let (option, fate) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (verb, option) = option.split_once(' ')?;
        let fate = fate.strip_suffix(" |")?;
        Some((verb.to_owned(), option.to_owned(), fate.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_refusal_of_the_manual_is_what_the_user_reads() {
    let cx = Cx::new();
    let mut refused = 0;
    for (verb, option, fate) in rows() {
        let words = match fate
            .split_once("): ")
            .or_else(|| fate.split_once("refused: "))
        {
            Some((kind, words)) if kind.is_empty() || kind.starts_with("later") => words,
            _ => continue,
        };
        let words = words.replace("\\|", "|");
        let (message, hint) = words.split_once("; ").unwrap();
        let with_value = format!("{option}=x");
        for verb in [verb.as_str(), "create"]
            .iter()
            .take(if verb == "run" { 2 } else { 1 })
        {
            // Options without a value are true or false.
            let outcome = [
                with_value.as_str(),
                &format!("{option}=true"),
                option.as_str(),
            ]
            .into_iter()
            .map(|option| cx.carrier([verb, option, "hello"]))
            .find(|outcome| outcome.errors().contains(message));
            let outcome = outcome.unwrap_or_else(|| panic!("{verb} {option}: {message}"));
            assert!(outcome.errors().contains(hint), "{verb} {option}: {hint}");
            refused += 1;
        }
    }
    println!("options that are refused as the manual says: {refused}");
    assert!(refused > 100);
}

#[test]
fn what_has_no_effect_is_accepted_with_a_warning() {
    let cx = Cx::new();
    let mut accepted = 0;
    for (verb, option, fate) in rows() {
        let Some(why) = fate.strip_prefix("accepted with a warning: ") else {
            continue;
        };
        let option = if matches!(
            option.as_str(),
            "--oom-kill-disable" | "--disable-content-trust"
        ) {
            option
        } else {
            format!("{option}=1")
        };
        let outcome = cx
            .carrier([verb.as_str(), "--rm", &option, "hello"])
            .succeeds();
        assert!(
            outcome.errors().contains("has no effect") && outcome.errors().contains(why),
            "{outcome:?}"
        );
        accepted += 1;
    }
    assert!(accepted > 5);
    cx.carrier(["run", "--privileged=false", "--rm", "hello"])
        .succeeds();
}
