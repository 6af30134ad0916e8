//! `carrier doctor`

use carrier_engine::{Finding, OwnFix, Remedy, State, examine, root_script};
use rustix::termios::isatty;
use serde_json::{Value, json};

use super::print;
use crate::cli::doctor::DoctorArgs;
use crate::progress::note;
use crate::report::{self, Failure, printable};

pub(crate) fn doctor(args: &DoctorArgs) -> Result<u8, Failure> {
    let mut findings = examine();
    let mut fixes = Vec::new();
    if args.fix {
        fixes = fix(&findings);
        if fixes.iter().any(|(_, error)| error.is_none()) {
            findings = examine();
        }
        for_root(&mut findings, &fixes);
    }
    let script = args.fix.then(|| root_script(&findings)).flatten();
    if args.json {
        print(&format!(
            "{}\n",
            in_json(&findings, &fixes, script.as_deref())
        ))?;
    } else if args.fix {
        for (fix, error) in &fixes {
            let command = fix.command();
            note(&match error {
                None => format!("fixed    `{command}`"),
                Some(error) => format!("refused  `{command}`: {error}"),
            });
        }
        tell(&lines(&findings, isatty(rustix::stdio::stderr())));
        print(&script.unwrap_or_default())?;
    } else {
        print(&lines(&findings, isatty(rustix::stdio::stdout())))?;
        note(&summary(&findings));
    }
    Ok(u8::from(has(&findings, State::Failed) > 0))
}

/// Does what needs no root, each thing once, and keeps why it was refused.
fn fix(findings: &[Finding]) -> Vec<(OwnFix, Option<String>)> {
    let mut done: Vec<(OwnFix, Option<String>)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.is_wrong()) {
        if let Some(Remedy::Own(fix)) = &finding.remedy
            && !done.iter().any(|(other, _)| other == fix)
        {
            let error = fix.apply().err().map(|error| report::line(&error));
            done.push((fix.clone(), error));
        }
    }
    done
}

/// What was refused to the user is left to root.
fn for_root(findings: &mut [Finding], fixes: &[(OwnFix, Option<String>)]) {
    for finding in findings {
        if let Some(Remedy::Own(fix)) = &finding.remedy
            && fixes
                .iter()
                .any(|(tried, error)| tried == fix && error.is_some())
        {
            finding.remedy = Some(Remedy::Root(fix.command()));
        }
    }
}

#[allow(clippy::print_stderr, reason = "standard output is for the script")]
fn tell(text: &str) {
    eprint!("{text}");
}

fn lines(findings: &[Finding], coloured: bool) -> String {
    let coloured = coloured && std::env::var_os("NO_COLOR").is_none();
    let lines = findings.iter().map(|finding| {
        let state = format!("{:<8}", finding.state.to_string());
        let state = match finding.state {
            _ if !coloured => state,
            State::Ok => format!("\x1b[32m{state}\x1b[0m"),
            State::Warning => format!("\x1b[33m{state}\x1b[0m"),
            State::Failed => format!("\x1b[31m{state}\x1b[0m"),
            State::Skipped => format!("\x1b[2m{state}\x1b[0m"),
        };
        format!("{state} {}\n", printable(&finding.line()))
    });
    lines.collect()
}

fn has(findings: &[Finding], state: State) -> usize {
    let found = findings.iter().filter(|finding| finding.state == state);
    found.count()
}

fn summary(findings: &[Finding]) -> String {
    format!(
        "{} checks: {} failed, {} warnings",
        findings.len(),
        has(findings, State::Failed),
        has(findings, State::Warning)
    )
}

fn in_json(
    findings: &[Finding],
    fixes: &[(OwnFix, Option<String>)],
    script: Option<&str>,
) -> Value {
    let findings = findings.iter().map(|finding| {
        let (fix, by) = match &finding.remedy {
            None => (Value::Null, Value::Null),
            Some(Remedy::Own(fix)) => (json!(fix.command()), json!("carrier doctor --fix")),
            Some(Remedy::Root(command)) => (json!(command), json!("root")),
            Some(Remedy::Advice(words)) => (json!(words), json!("user")),
        };
        json!({
            "check": finding.check.to_string(),
            "state": finding.state.to_string(),
            "found": finding.found,
            "consequence": finding.consequence,
            "fix": fix,
            "fixed_by": by,
            "line": finding.line(),
        })
    });
    let tried = fixes
        .iter()
        .map(|(fix, error)| json!({ "command": fix.command(), "error": error }));
    json!({
        "findings": findings.collect::<Vec<_>>(),
        "tried": tried.collect::<Vec<_>>(),
        "script": script,
    })
}
