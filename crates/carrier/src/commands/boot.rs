//! `carrier boot`

use carrier_engine::{Boot, BootError, BootStarter, Engine, Finding, lingering};

use super::print;
use crate::cli::boot::{BootArgs, BootVerb};
use crate::progress;
use crate::report::{self, Failure, tell};

pub(crate) fn boot(args: &BootArgs) -> Result<u8, Failure> {
    match args.verb {
        BootVerb::Enable => enable(&Boot::detect()?),
        BootVerb::Disable => {
            Boot::detect()?.disable()?;
            print("disabled: containers stay where they are after a reboot\n")?;
            Ok(0)
        }
        BootVerb::Status => status(&Boot::detect()?),
        BootVerb::Start => start(),
    }
}

fn start() -> Result<u8, Failure> {
    let engine = Engine::open()?;
    engine.repair()?;
    let mut code = 0;
    for (name, started) in engine.start_after_boot(&progress::warn)? {
        match started {
            Ok(()) => print(&format!("{name}\n"))?,
            Err(error) => {
                tell(&error.into());
                code = 1;
            }
        }
    }
    Ok(code)
}

fn enable(boot: &Boot) -> Result<u8, Failure> {
    boot.enable()?;
    print(&format!(
        "enabled by {}: containers with a restart policy come back after a reboot\n",
        starter(boot)
    ))?;
    warn_of_logout();
    Ok(0)
}

fn status(boot: &Boot) -> Result<u8, Failure> {
    if !boot.is_enabled()? {
        print("disabled\n")?;
        return Ok(1);
    }
    print(&format!("enabled by {}\n", starter(boot)))?;
    warn_of_logout();
    Ok(0)
}

fn starter(boot: &Boot) -> String {
    match boot.starter() {
        BootStarter::Systemd(unit) => format!("systemd, {}", unit.display()),
        BootStarter::Cron => "cron, a line of `crontab -l`".to_owned(),
    }
}

/// Without lingering, systemd starts what is a user's when he logs in, and ends it when he logs out.
#[allow(clippy::print_stderr, reason = "what is read is on standard output")]
fn warn_of_logout() {
    if let Some(finding) = lingering() {
        let Finding {
            found,
            consequence,
            remedy,
            ..
        } = &finding;
        eprintln!(
            "carrier: {}",
            report::printable(&format!("{found}: {consequence}"))
        );
        if let Some(remedy) = remedy {
            eprintln!("hint: {}", report::printable(&remedy.to_string()));
        }
    }
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        let hint = error.hint();
        Self::with_hint(report::line(&error), hint)
    }
}
