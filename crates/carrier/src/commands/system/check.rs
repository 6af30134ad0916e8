//! `carrier system check`

use carrier_engine::{CheckOptions, Engine};
use carrier_store::Depth;
use serde_json::json;

use super::super::print;
use crate::cli::system::CheckArgs;
use crate::progress::note;
use crate::report::{Failure, printable};

pub(crate) fn check(args: &CheckArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let depth = if args.deep { Depth::Deep } else { Depth::Quick };
    let report = engine.check(CheckOptions {
        depth,
        repair: args.repair,
    })?;
    if args.json {
        let findings = report.findings.iter().map(|(finding, repaired)| {
            json!({
                "path": finding.path.display().to_string(),
                "problem": finding.problem,
                "fix": finding.fix(),
                "images": finding.images,
                "repaired": repaired,
            })
        });
        let findings: Vec<_> = findings.collect();
        print(&format!("{}\n", json!({ "findings": findings })))?;
    } else {
        for (finding, repaired) in &report.findings {
            let pull = finding
                .images
                .iter()
                .map(|name| format!("`carrier pull {name}`"));
            let pull = pull.collect::<Vec<_>>().join(", ");
            let fix = match (repaired, pull.as_str()) {
                (false, _) => finding.fix(),
                (true, "") => "repaired".to_owned(),
                (true, pull) => format!("removed, needs {pull}"),
            };
            let line = format!("{}: {}: {fix}", finding.path.display(), finding.problem);
            print(&format!("{}\n", printable(&line)))?;
        }
        note(&format!(
            "checked {} images, {} layers, {} blobs: {} findings",
            report.images,
            report.layers,
            report.blobs,
            report.findings.len()
        ));
    }
    Ok(u8::from(!report.findings.is_empty()))
}
