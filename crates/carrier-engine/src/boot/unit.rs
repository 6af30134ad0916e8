//! A unit of the user's systemd.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::BootError;
use crate::engine::absolute;
use crate::places;

const WANTS: &str = "default.target.wants";

/// Where the unit is or will be.
pub(super) fn path() -> Result<PathBuf, BootError> {
    let config = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .ok_or(BootError::NoHome)?;
    Ok(config.join("systemd/user").join(name(places::key())))
}

/// Each store has a unit of its own.
fn name(key: Option<String>) -> String {
    let of_store = key.map_or_else(String::new, |key| format!("-{key}"));
    format!("carrier-boot{of_store}.service")
}

/// Enabled is what the target wants, as for `systemctl is-enabled`.
fn link(unit: &Path) -> PathBuf {
    let name = unit.file_name().unwrap_or_default();
    unit.with_file_name(WANTS).join(name)
}

pub(super) fn is_enabled(unit: &Path) -> bool {
    unit.is_file() && link(unit).exists()
}

pub(super) fn enable(unit: &Path, words: &[String], data: Option<&Path>) -> Result<(), BootError> {
    let link = link(unit);
    let wants = link.parent().unwrap_or(unit);
    fs::create_dir_all(wants).map_err(file("make", wants))?;
    let temporary = unit.with_extension(format!("{}.new", std::process::id()));
    let written =
        fs::write(&temporary, text(words, data)).and_then(|()| fs::rename(&temporary, unit));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(file("write", unit))?;
    let name = unit.file_name().unwrap_or_default();
    match symlink(Path::new("..").join(name), &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(file("make", &link))?,
    }
    reload();
    Ok(())
}

pub(super) fn disable(unit: &Path) -> Result<(), BootError> {
    for path in [&link(unit), unit] {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(file("remove", path))?,
        }
    }
    reload();
    Ok(())
}

/// The unit stays active while the containers run: systemd would end them with it. They may be given
/// resources by Carrier, which is what delegation is for.
fn text(words: &[String], data: Option<&Path>) -> String {
    let environment = data.map_or_else(String::new, |data| {
        format!(
            "Environment={}\n",
            quoted(&format!("XDG_DATA_HOME={}", data.display()))
        )
    });
    format!(
        "# Written by `carrier boot enable`, removed by `carrier boot disable`.\n\
         [Unit]\n\
         Description=Containers of Carrier that have a restart policy\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         Delegate=yes\n\
         {environment}\
         ExecStart={} boot start\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        command(words)
    )
}

fn command(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word of a unit, systemd.syntax(7).
fn quoted(word: &str) -> String {
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

/// A systemd that runs shall know of it; one that does not will read it when it starts.
fn reload() {
    let _ = Command::new("systemctl")
        .args(["--user", "daemon-reload"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BootError {
    let path = path.to_owned();
    move |source| BootError::File {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_enabled_and_disabled_by_its_files() {
        let place = tempfile::tempdir().unwrap();
        let unit = place.path().join("systemd/user").join(name(None));
        assert!(!is_enabled(&unit));
        for _ in 0..2 {
            enable(&unit, &["/usr/bin/carrier".to_owned()], None).unwrap();
            assert!(is_enabled(&unit));
        }
        let text = fs::read_to_string(&unit).unwrap();
        assert!(text.contains("ExecStart=\"/usr/bin/carrier\" boot start\n"));
        assert_eq!(fs::read_to_string(link(&unit)).unwrap(), text);
        let other = unit.with_file_name(name(Some("0123456789ab".to_owned())));
        assert!(!is_enabled(&other));
        for _ in 0..2 {
            disable(&unit).unwrap();
            assert!(!is_enabled(&unit) && !unit.exists());
        }
    }

    #[test]
    fn paths_are_quoted_for_systemd() {
        let text = text(
            &["/home/a b/100%/$x\"/carrier".to_owned()],
            Some(Path::new("/data dir")),
        );
        assert!(text.contains("ExecStart=\"/home/a b/100%%/$$x\\\"/carrier\" boot start\n"));
        assert!(text.contains("Environment=\"XDG_DATA_HOME=/data dir\"\n"));
    }
}
