//! Manual pages, one a verb, made from the grammar.

use std::path::PathBuf;

use clap::{Args, Command};

use super::later::whole;

// What `make man` calls: `carrier __man DIRECTORY`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    pub(crate) directory: PathBuf,
}

/// The name of a page and its text.
type Page = (String, Vec<u8>);

/// The pages of all verbs.
///
/// # Errors
/// None that a page in memory could have.
pub(crate) fn pages() -> std::io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    add(whole(), "carrier", &mut pages)?;
    Ok(pages)
}

fn add(verb: Command, name: &str, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let below: Vec<Command> = verb.get_subcommands().cloned().collect();
    // A page is found by its name, `man carrier-run`; in its synopsis the words are parted.
    let words = name.replace('-', " ");
    let man = clap_mangen::Man::new(verb.bin_name(words).disable_help_subcommand(true));
    let man = man.title(name.to_uppercase()).date("");
    let man = man.source(concat!("carrier ", env!("CARGO_PKG_VERSION")));
    let man = man.manual("Carrier's manual");
    let mut text = Vec::new();
    man.render(&mut text)?;
    pages.push((name.to_owned(), text));
    let shown = below.into_iter().filter(|verb| !verb.is_hide_set());
    for verb in shown.filter(|verb| verb.get_name() != "help") {
        let name = format!("{name}-{}", verb.get_name());
        add(verb, &name, pages)?;
    }
    Ok(())
}

#[test]
fn every_verb_has_a_manual_page() {
    let pages = pages().unwrap();
    let page = |name: &str| {
        let page = pages.iter().find(|(known, _)| known == name);
        let text = &page.unwrap_or_else(|| panic!("no page {name}")).1;
        std::str::from_utf8(text).unwrap()
    };
    assert!(page("carrier").contains("carrier\\-run(1)"));
    assert!(page("carrier-run").contains("\\-\\-rm\\fR"));
    assert!(page("carrier-network-create").contains("\\-\\-subnet"));
    assert!(!pages.iter().any(|(name, _)| name.contains("__")));
}
