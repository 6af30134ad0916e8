//! A document's fenced blocks, as a reader would type them.
//!
//! A block in `sh` is a script, one in `console` has lines `$ COMMAND` with what they print behind them:
//! `...` stands for any text, and on a line of its own for any lines. Where nothing stands behind a
//! command, anything may be printed; where `carrier: ...` does, it fails with these words. A block that
//! cannot be run here says so in its info string, which no reader of the page sees: `sh no-run REASON`.
//! Blocks in other languages are there to be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::Cx;
use crate::registry::free_port;

/// Names that documents use for images, and the fixtures that stand for them.
const IMAGES: [(&str, &str); 6] = [
    ("alpine", "busybox"),
    ("busybox", "busybox"),
    ("debian", "debian-nginx"),
    ("nginx", "debian-nginx"),
    ("python", "debian-python"),
    ("redis", "debian-redis"),
];

/// Ports of the host that documents use.
const PORTS: [&str; 3] = ["8081", "8082", "8083"];

/// All of a document, on a slow machine.
const TIMEOUT: &str = "480";

/// What happens between two steps. Who types is slower than a server that starts.
const PRELUDE: &str = r#"
cd "$HOME/work"
carrier() {
    command carrier "$@" || return
    case " $* " in *" -d "* | *" connect "* | *" start "*) sleep 3 ;; esac
}
"#;

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The line of its fence.
    pub line: usize,
    /// The first word behind the fence.
    pub language: String,
    /// Why it is not run, where it says so.
    pub no_run: Option<String>,
    text: Vec<String>,
}

/// A document in Markdown.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    /// Its fenced blocks, in order.
    pub blocks: Vec<Block>,
    /// Lines outside of them that look like a command in an indented block.
    pub indented: Vec<usize>,
}

/// Something to be run, and what it should print.
struct Step {
    line: usize,
    script: String,
    expected: Vec<String>,
}

impl Document {
    /// Reads a document, by its path in the repository.
    #[must_use]
    pub fn read(path: &str) -> Self {
        let path = repository().join(path);
        let text = fs::read_to_string(&path).unwrap();
        let mut document = Self {
            path,
            blocks: Vec::new(),
            indented: Vec::new(),
        };
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(info), None) => open = Some(Block::begin(index + 1, info)),
                (Some(_), Some(_)) => document.blocks.extend(open.take()),
                (None, Some(block)) => block.text.push(line.to_owned()),
                (None, None) if line.starts_with("    ") => document.indented.push(index + 1),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{} ends in a block", document.name());
        document
    }

    /// Every document that a user reads, by its path in the repository.
    #[must_use]
    pub fn all() -> Vec<String> {
        let docs = fs::read_dir(repository().join("docs")).unwrap();
        let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = names.filter(|name| name.ends_with(".md"));
        let mut all: Vec<String> = pages.map(|name| format!("docs/{name}")).collect();
        all.extend(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]);
        all.sort();
        all
    }

    /// The path, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        let path = self.path.strip_prefix(repository()).unwrap();
        path.display().to_string()
    }

    /// Types all of it, in one shell, in a new home directory. Returns how many blocks were run.
    ///
    /// # Panics
    ///
    /// When a step fails, or prints something else.
    #[track_caller]
    #[must_use]
    pub fn is_typed_in(&self, cx: &Cx) -> usize {
        let blocks: Vec<&Block> = self.blocks.iter().filter(|block| block.is_run()).collect();
        let mut steps: Vec<Step> = blocks.iter().flat_map(|block| block.steps()).collect();
        if steps.is_empty() {
            return 0;
        }
        let desk = prepare(cx);
        use_free_ports(&mut steps);
        let mut script = PRELUDE.to_owned();
        for (number, step) in steps.iter().enumerate() {
            let file = desk.join(number.to_string());
            fs::write(&file, &step.script).unwrap();
            let file = file.display();
            let typed = format!(". {file} >{file}.out 2>{file}.err </dev/null");
            script += &if step.is_refused() {
                format!("set +e; {typed}; test $? -ne 0 || exit 99; set -e\n")
            } else {
                format!("set -e; {typed}\n")
            };
        }
        let whole = desk.join("all");
        fs::write(&whole, script).unwrap();
        let mut command = cx.command(&["timeout", "-s", "KILL", TIMEOUT, "sh"]);
        let status = command.arg(&whole).stdin(Stdio::null()).status().unwrap();
        for (number, step) in steps.iter().enumerate() {
            let read = |kind| fs::read_to_string(desk.join(format!("{number}.{kind}")));
            let Ok(printed) = read("out") else { break };
            let errors = read("err").unwrap();
            let is_last = !desk.join(format!("{}.out", number + 1)).exists();
            let place = format!("{}:{}: {}", self.name(), step.line, step.script);
            let shown = format!("{place}\n--- printed\n{printed}--- said\n{errors}---");
            assert!(!is_last || status.success(), "ended with {status}: {shown}");
            let subject = if step.is_refused() { errors } else { printed };
            assert!(
                step.expected.is_empty() || is_as_shown(&step.expected, &subject),
                "not as the document shows it: {shown}"
            );
        }
        // What a reader leaves to run ends in the document's own manner, or here.
        cx.script("carrier rm -c --force").succeeds();
        blocks.len()
    }
}

impl Block {
    fn begin(line: usize, info: &str) -> Self {
        let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
        Self {
            line,
            language: language.to_owned(),
            no_run: rest.strip_prefix("no-run").map(|why| why.trim().to_owned()),
            text: Vec::new(),
        }
    }

    /// What is between its fences.
    #[must_use]
    pub fn text(&self) -> String {
        self.text.join("\n")
    }

    /// Whether it has commands.
    #[must_use]
    pub fn has_commands(&self) -> bool {
        matches!(self.language.as_str(), "sh" | "console")
    }

    fn is_run(&self) -> bool {
        self.has_commands() && self.no_run.is_none()
    }

    fn steps(&self) -> Vec<Step> {
        if self.language == "sh" {
            let script = format!("set -x\n{}\n{{ set +x; }} 2>/dev/null\n", self.text());
            return vec![Step {
                line: self.line,
                script,
                expected: Vec::new(),
            }];
        }
        let mut steps: Vec<Step> = Vec::new();
        for (index, line) in self.text.iter().enumerate() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    line: self.line + index + 1,
                    script: format!("{command}\n"),
                    expected: Vec::new(),
                });
            } else {
                let step = steps.last_mut().expect("a dialogue begins with a command");
                step.expected.push(line.trim_end().to_owned());
            }
        }
        steps
    }
}

impl Step {
    fn is_refused(&self) -> bool {
        let first = self.expected.first();
        first.is_some_and(|line| line.starts_with("carrier: "))
    }
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..").canonicalize().unwrap()
}

/// A directory to work in, one for the steps, and the fixtures under the names of Docker Hub.
fn prepare(cx: &Cx) -> PathBuf {
    let host = cx.registry().host();
    let mut mirrors = String::new();
    for (name, fixture) in IMAGES {
        mirrors += &format!(
            "[[registry]]\nprefix = \"docker.io/library/{name}\"\nlocation = \"{host}/{fixture}\"\n"
        );
    }
    let _ = cx.file("registries.conf", &mirrors);
    cx.script(
        "cd home && mkdir -p work desk .config/containers && cp ../registries.conf .config/containers/",
    )
    .succeeds();
    cx.home().join("desk")
}

/// Replaces the ports of the host that documents publish: on a machine that does other things as well
/// somebody may have them.
fn use_free_ports(steps: &mut [Step]) {
    for port in PORTS {
        let free = free_port().to_string();
        for step in steps.iter_mut() {
            let lines = step.expected.iter_mut().chain([&mut step.script]);
            lines.for_each(|line| *line = line.replace(port, &free));
        }
    }
}

/// Whether a text is what a document shows of it.
fn is_as_shown(shown: &[String], text: &str) -> bool {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines_match(shown, &lines)
}

fn lines_match(shown: &[String], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "..." => {
            (0..=lines.len()).any(|skipped| lines_match(rest, &lines[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => {
            line_matches(first, line) && lines_match(rest, others)
        }
        _ => false,
    }
}

fn line_matches(shown: &str, line: &str) -> bool {
    let Some((head, tail)) = shown.split_once("...") else {
        return shown == line;
    };
    let Some(rest) = line.strip_prefix(head) else {
        return false;
    };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| line_matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(shown: &str, text: &str) -> bool {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        is_as_shown(&shown, text)
    }

    #[test]
    fn three_dots_stand_for_any_text_and_for_any_lines() {
        assert!(shows("a\nb", "a\nb\n"));
        assert!(!shows("a\nb", "a\n"));
        assert!(!shows("a", "a\nb\n"));
        assert!(shows("x ... z", "x y z") && !shows("x ... z", "x y"));
        assert!(shows("...\nlast", "one\ntwo\nlast") && shows("...\nlast", "last"));
        assert!(!shows("...\nlast", "last\nmore"));
    }

    #[test]
    fn a_block_says_why_it_is_not_run() {
        let block = Block::begin(1, "sh no-run a second machine");
        assert_eq!(block.no_run.as_deref(), Some("a second machine"));
        assert!(block.has_commands() && !block.is_run());
        assert!(Block::begin(1, "console").is_run());
        assert!(!Block::begin(1, "toml").is_run());
    }
}
