//! Reading `config.json` and `process.json`.

use std::path::Path;

use oci_spec::runtime::{Process, Spec};
use serde_json::Value;

use crate::Capabilities;
use crate::error::Error;

/// The newest version of the runtime specification that is understood.
pub const OCI_VERSION: &str = "1.3.0";

/// Reads a configuration.
pub(crate) fn read(path: &Path) -> Result<Spec, Error> {
    let text = text(path)?;
    let spec: Spec = parse(path, &text, "/process/capabilities")?;
    check_version(spec.version())?;
    Ok(spec)
}

/// Reads a process for `exec`.
pub(crate) fn read_process(path: &Path) -> Result<Process, Error> {
    parse(path, &text(path)?, "/capabilities")
}

fn text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Configuration {
        path: path.to_owned(),
        source: source.into(),
    })
}

/// runtime-spec wants capabilities that the runtime does not know to be left out, not refused.
fn parse<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
    capabilities: &str,
) -> Result<T, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Configuration {
        path: path.to_owned(),
        source,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let error = match serde_path_to_error::deserialize(&mut json) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return Err(failed(error.into()));
    };
    for set in value.pointer_mut(capabilities).into_iter().flat_map(sets) {
        set.retain(|name| {
            name.as_str()
                .is_none_or(|name| Capabilities::named(name).is_ok())
        });
    }
    serde_path_to_error::deserialize(value).map_err(|error| failed(error.into()))
}

fn sets(capabilities: &mut Value) -> impl Iterator<Item = &mut Vec<Value>> {
    let fields = capabilities.as_object_mut().into_iter();
    fields.flat_map(|fields| fields.values_mut().filter_map(Value::as_array_mut))
}

fn check_version(version: &str) -> Result<(), Error> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
    let (major, minor, patch) = (numbers.next(), numbers.next(), numbers.next());
    match (
        major.flatten(),
        minor.flatten(),
        patch.flatten(),
        numbers.next(),
    ) {
        (Some(1), Some(_), Some(_), None) => Ok(()),
        _ => Err(Error::Invalid {
            field: "ociVersion".to_owned(),
            reason: format!("{version:?} is not a version 1.x.y"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_first_major_are_understood() {
        for good in ["1.0.0", "1.0.2-dev", "1.2.1", "1.3.0", "1.99.0+x"] {
            check_version(good).unwrap();
        }
        for bad in ["", "1", "1.0", "2.0.0", "0.9.0", "x.y.z", "1.0.0.0"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_capabilities_are_left_out() {
        let text = r#"{"cwd": "/", "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": ["CAP_KILL", "CAP_OF_TOMORROW"]}}"#;
        let process: Process = parse(Path::new("x"), text, "/capabilities").unwrap();
        let bounding = process.capabilities().as_ref().unwrap().bounding().clone();
        assert_eq!(bounding.unwrap().len(), 1);
    }

    #[test]
    fn an_error_names_the_field() {
        let error = parse::<Process>(Path::new("x"), r#"{"cwd": 1}"#, "/c").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("cwd: "), "{cause}");
    }
}
