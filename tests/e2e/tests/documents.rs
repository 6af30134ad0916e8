//! Every command of the documents does what they say: each document is typed from its first block to
//! its last, by an ordinary user with a new home directory.
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Block, Cx, Document};

/// The documents that take longest have a test each.
const LONG: [&str; 8] = [
    "README.md",
    "docs/getting-started.md",
    "docs/networking.md",
    "docs/resources.md",
    "docs/runtime.md",
    "docs/shell.md",
    "docs/stop.md",
    "docs/volumes.md",
];

/// What is read and not typed, such as a file.
const READ: [&str; 6] = ["text", "json", "toml", "yaml", "rust", "ini"];

fn type_all_of(path: &str) {
    let document = Document::read(path);
    let run = document.is_typed_in(&Cx::with_registry());
    println!("{path}: {run} blocks were run");
}

#[test]
fn the_readme_is_true() {
    type_all_of("README.md");
}

#[test]
fn getting_started_is_true() {
    type_all_of("docs/getting-started.md");
}

#[test]
fn the_page_about_networks_is_true() {
    type_all_of("docs/networking.md");
}

#[test]
fn the_page_about_limits_is_true() {
    type_all_of("docs/resources.md");
}

#[test]
fn the_page_about_the_runtime_is_true() {
    type_all_of("docs/runtime.md");
}

#[test]
fn the_page_about_shells_is_true() {
    type_all_of("docs/shell.md");
}

#[test]
fn the_page_about_stopping_is_true() {
    type_all_of("docs/stop.md");
}

#[test]
fn the_page_about_volumes_is_true() {
    type_all_of("docs/volumes.md");
}

#[test]
fn every_other_page_is_true() {
    for path in Document::all() {
        if !LONG.contains(&path.as_str()) {
            type_all_of(&path);
        }
    }
}

#[test]
fn containerd_knows_the_runtime_of_the_page_about_kubernetes() {
    let page = Document::read("docs/kubernetes.md");
    let tables = page.blocks.iter().filter(|block| block.language == "toml");
    let table = tables
        .map(Block::text)
        .find(|table| table.contains("containerd"));
    let cx = Cx::new();
    let file = cx.file("config.toml", &table.expect("a table for containerd"));
    let name = r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.carrier]"#;
    cx.script(&format!("containerd --config {file} config dump"))
        .succeeds()
        .shows(&format!("{name}\n          base_runtime_spec"))
        .shows(r#"BinaryName = "/usr/local/bin/carrier-runtime""#);
}

#[test]
fn what_is_not_run_says_why_and_is_little() {
    let (mut run, mut not_run) = (0, 0);
    for path in Document::all() {
        let document = Document::read(&path);
        let indented = &document.indented;
        assert!(
            indented.is_empty(),
            "{path} has indented blocks, which nothing runs: lines {indented:?}"
        );
        for block in &document.blocks {
            let place = format!("{path}:{}", block.line);
            let language = block.language.as_str();
            assert!(
                block.has_commands() || READ.contains(&language),
                "{place}: the language {language:?} is none of the documents'"
            );
            match &block.no_run {
                Some(why) => {
                    assert!(
                        block.has_commands() && !why.is_empty(),
                        "{place}: not run, and why?"
                    );
                    println!("not run: {place}: {why}");
                    not_run += 1;
                }
                None if block.has_commands() => run += 1,
                None => {}
            }
        }
    }
    println!("blocks of the documents: {run} run, {not_run} not run");
    assert!(
        not_run <= run,
        "{not_run} of {} blocks are not run",
        run + not_run
    );
}
