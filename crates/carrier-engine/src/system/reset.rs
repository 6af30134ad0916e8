//! `system reset`: everything goes, whatever state it is in.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use carrier_store::tree;

use super::in_namespace;
use crate::control::kill;
use crate::engine::data_dir;
use crate::error::Error;
use crate::host::{Host, runtime_dir_path};
use crate::life::Life;

/// Removes everything that Carrier keeps for the caller, without looking at what it is: so it works
/// when the store is damaged. Returns the directories that are empty now.
///
/// # Errors
/// [`Error::ContainersRun`] unless `force`, which kills them; when something cannot be removed.
pub fn reset(force: bool) -> Result<Vec<PathBuf>, Error> {
    let (data, runtime) = (data_dir()?, runtime_dir_path());
    let running = running(&data);
    if !force && !running.is_empty() {
        return Err(Error::ContainersRun(running.len()));
    }
    for process in running
        .iter()
        .flat_map(|life| [&life.monitor, &life.process])
    {
        process
            .as_ref()
            .map_or(Ok(()), kill)
            .map_err(|source| Error::Write {
                path: data.clone(),
                source,
            })?;
    }
    hide_containers(&data);
    let host = Host::detect()?;
    let mut emptied = Vec::new();
    for path in [data, runtime] {
        if path.is_dir() {
            empty(&path, &host)?;
            emptied.push(path);
        }
    }
    Ok(emptied)
}

/// Whoever was attached to a container that was killed would write down its end: not into what is
/// being removed.
fn hide_containers(data: &Path) {
    let hidden = data
        .join("staging")
        .join(format!("reset-{}", std::process::id()));
    // In a store that is damaged there may be nothing to hide, and no place for it.
    let _ = fs::rename(data.join("containers"), hidden);
}

/// How the containers are that run, as far as can be read.
fn running(data: &Path) -> Vec<Life> {
    let entries = fs::read_dir(data.join("containers")).into_iter().flatten();
    let lives = entries.filter_map(|entry| {
        let text = fs::read(entry.ok()?.path().join("state.json")).ok()?;
        let life: Life = serde_json::from_slice(&text).ok()?;
        Some(life.now()).filter(|life| life.status.is_alive())
    });
    lives.collect()
}

fn empty(path: &Path, host: &Host) -> Result<(), Error> {
    // A mode that keeps us out is damage, too; if it cannot be changed, what follows fails.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    let directory = File::open(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    let failed = |problem: String| Error::Write {
        path: path.to_owned(),
        source: std::io::Error::other(problem),
    };
    match tree::empty(directory.as_fd()) {
        Ok(()) => return Ok(()),
        Err(tree::RemoveError::Foreign { .. }) => {}
        Err(error) => return Err(failed(error.to_string())),
    }
    let problem: Option<String> = in_namespace(&host.maps, || {
        tree::empty(directory.as_fd())
            .err()
            .map(|error| error.to_string())
    })?;
    problem.map_or(Ok(()), |problem| Err(failed(problem)))
}
