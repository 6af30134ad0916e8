//! A line of the user's table for cron, where there is no systemd.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::BootError;
use crate::places;

/// What the line of this store is known by.
fn mark() -> String {
    let of_store = places::key().map_or_else(String::new, |key| format!(" {key}"));
    format!("# carrier boot{of_store}")
}

pub(super) fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("crontab").is_file())
}

pub(super) fn is_enabled() -> Result<bool, BootError> {
    let mark = mark();
    Ok(read()?.lines().any(|line| is_ours(line, &mark)))
}

pub(super) fn enable(words: &[String], data: Option<&Path>) -> Result<(), BootError> {
    let mark = mark();
    let mut table = without_ours(&read()?, &mark);
    table.push_str(&line(words, data, &mark));
    write(&table)
}

pub(super) fn disable() -> Result<(), BootError> {
    let (table, mark) = (read()?, mark());
    if table.lines().any(|line| is_ours(line, &mark)) {
        write(&without_ours(&table, &mark))?;
    }
    Ok(())
}

fn is_ours(line: &str, mark: &str) -> bool {
    line.trim_end().ends_with(mark)
}

fn without_ours(table: &str, mark: &str) -> String {
    let others = table.lines().filter(|line| !is_ours(line, mark));
    others.flat_map(|line| [line, "\n"]).collect()
}

fn line(words: &[String], data: Option<&Path>, mark: &str) -> String {
    let data = data.map_or_else(String::new, |data| {
        format!("XDG_DATA_HOME={} ", quoted(&data.display().to_string()))
    });
    let program = command(words);
    format!("@reboot {data}{program} boot start {mark}\n")
}

fn command(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word of the shell, in a line where `%` is a newline, crontab(5).
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('%', r"'\%'"))
}

fn read() -> Result<String, BootError> {
    let output = run(&["-l"], None)?;
    // A user without a table is told so by an error.
    Ok(if output.status.success() {
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        String::new()
    })
}

fn write(table: &str) -> Result<(), BootError> {
    let output = run(&["-"], Some(table))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().next().unwrap_or("it did not say why");
    Err(BootError::Crontab(first.to_owned()))
}

fn run(arguments: &[&str], input: Option<&str>) -> Result<Output, BootError> {
    let failed = |error: std::io::Error| BootError::Crontab(error.to_string());
    let mut child = Command::new("crontab")
        .args(arguments)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    child.wait_with_output().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_comes_and_goes_and_the_others_stay() {
        let table = "# mine\n0 4 * * * backup";
        let mark = "# carrier boot";
        let ours = line(&["/usr/bin/carrier".to_owned()], None, mark);
        assert_eq!(
            ours,
            "@reboot '/usr/bin/carrier' boot start # carrier boot\n"
        );
        let both = without_ours(table, mark) + &ours;
        assert!(both.lines().any(|line| is_ours(line, mark)));
        assert_eq!(without_ours(&both, mark), "# mine\n0 4 * * * backup\n");
        // That of another store is another line.
        assert_eq!(without_ours(&both, "# carrier boot 0123456789ab"), both);
    }

    #[test]
    fn words_are_quoted_for_the_shell_and_for_cron() {
        let line = line(
            &["/a b/it's 100%/carrier".to_owned()],
            Some(Path::new("/data")),
            "# carrier boot",
        );
        assert_eq!(
            line,
            "@reboot XDG_DATA_HOME='/data' '/a b/it'\\''s 100'\\%'/carrier' boot start # carrier boot\n"
        );
    }
}
