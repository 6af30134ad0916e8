//! `carrier diff`

use std::fmt::Write as _;

use carrier_engine::{Engine, FileChange, FileChangeKind};
use serde_json::json;

use super::super::print;
use crate::cli::files::{DiffArgs, DiffFormat};
use crate::report::{Failure, on_terminal};

pub(crate) fn diff(args: &DiffArgs) -> Result<u8, Failure> {
    let changes = Engine::open()?.diff(&args.container)?;
    let text = match args.format {
        Some(DiffFormat::Json) => as_json(&changes),
        None => lines(&changes),
    };
    print(&on_terminal(&text))?;
    Ok(0)
}

fn lines(changes: &[FileChange]) -> String {
    let mut text = String::new();
    for FileChange { kind, path } in changes {
        let letter = match kind {
            FileChangeKind::Added => 'A',
            FileChangeKind::Changed => 'C',
            FileChangeKind::Deleted => 'D',
        };
        // A name with a line end must not look like two.
        let path = path.replace('\n', "\\n");
        // A `String` takes everything.
        let _ = writeln!(text, "{letter} {path}");
    }
    text
}

/// Podman's form.
fn as_json(changes: &[FileChange]) -> String {
    let of = |wanted: FileChangeKind| -> Vec<&str> {
        let found = changes.iter().filter(|change| change.kind == wanted);
        found.map(|change| change.path.as_str()).collect()
    };
    let mut all = serde_json::Map::new();
    for (name, kind) in [
        ("changed", FileChangeKind::Changed),
        ("added", FileChangeKind::Added),
        ("deleted", FileChangeKind::Deleted),
    ] {
        let paths = of(kind);
        if !paths.is_empty() {
            all.insert(name.to_owned(), json!(paths));
        }
    }
    format!("{}\n", serde_json::Value::Object(all))
}
