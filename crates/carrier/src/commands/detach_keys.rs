//! The keys that part a terminal from a program.

use std::fs;

use carrier_engine::DetachKeys;

use crate::progress::warn;
use crate::report::Failure;

/// Those of the option; where there is none and a terminal that wants some, those of Docker's
/// configuration file, else Docker's own.
pub(crate) fn detach_keys(option: Option<&str>, terminal: bool) -> Result<DetachKeys, Failure> {
    let configured = option
        .is_none()
        .then(|| terminal.then(configured))
        .flatten();
    let (keys, place) = match (option, configured.flatten()) {
        (Some(keys), _) => (keys.to_owned(), "--detach-keys"),
        (None, Some(keys)) => (keys, "detachKeys in Docker's configuration"),
        (None, None) => return Ok(DetachKeys::default()),
    };
    DetachKeys::parse(&keys).map_err(|error| {
        Failure::with_hint(
            format!("{place}: {error}"),
            "keys are characters, DEL or ctrl- with a letter or one of @[\\]^_, with commas between \
             them",
        )
    })
}

fn configured() -> Option<String> {
    let path = carrier_registry::docker_config_file()?;
    let text = fs::read(&path).ok()?;
    match serde_json::from_slice::<serde_json::Value>(&text) {
        Ok(config) => config.get("detachKeys")?.as_str().map(str::to_owned),
        Err(error) => {
            warn(&format!("{} is not read: {error}", path.display()));
            None
        }
    }
}
