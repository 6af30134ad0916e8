//! Manual pages, one a verb, made from the grammar: `make man`.

use std::path::PathBuf;

use clap::Command;

use super::later::whole;

/// The name of a page and its text.
type Page = (String, String);

fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    add(whole(), "carrier", &mut pages);
    pages
}

fn add(verb: Command, name: &str, pages: &mut Vec<Page>) {
    let below: Vec<Command> = verb.get_subcommands().cloned().collect();
    // A page is found by its name, `man carrier-run`; in its synopsis the words are parted.
    let words = name.replace('-', " ");
    let man = clap_mangen::Man::new(verb.bin_name(words).disable_help_subcommand(true));
    let man = man.title(name.to_uppercase()).date("");
    let man = man.source(concat!("carrier ", env!("CARGO_PKG_VERSION")));
    let man = man.manual("Carrier's manual");
    let mut text = Vec::new();
    man.render(&mut text).unwrap();
    pages.push((name.to_owned(), String::from_utf8(text).unwrap()));
    let shown = below.into_iter().filter(|verb| !verb.is_hide_set());
    for verb in shown.filter(|verb| verb.get_name() != "help") {
        let name = format!("{name}-{}", verb.get_name());
        add(verb, &name, pages);
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let pages = pages();
    let page = |name: &str| {
        let page = pages.iter().find(|(known, _)| known == name);
        &page.unwrap_or_else(|| panic!("no page {name}")).1
    };
    assert!(page("carrier").contains("carrier\\-run(1)"));
    assert!(page("carrier-run").contains("\\-\\-rm\\fR"));
    assert!(page("carrier-network-create").contains("\\-\\-subnet"));
    assert!(!pages.iter().any(|(name, _)| name.contains("__")));
    if let Some(directory) = std::env::var_os("CARRIER_MAN").map(PathBuf::from) {
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in pages {
            std::fs::write(directory.join(format!("{name}.1")), text).unwrap();
        }
    }
}
