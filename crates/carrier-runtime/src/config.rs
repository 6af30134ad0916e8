//! Reading `config.json` and `process.json`.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::{Process, Spec};
use serde_json::Value;

use crate::Capabilities;
use crate::container::warnings::warn;
use crate::error::Error;

/// The newest version of the runtime specification that is understood.
pub const OCI_VERSION: &str = "1.3.0";

/// Reads a configuration.
pub(crate) fn read(path: &Path) -> Result<Spec, Error> {
    let text = text(path)?;
    let spec: Spec = parse(path, &text, "/process/capabilities")?;
    check_version(spec.version())?;
    check_annotations(&spec)?;
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

/// runtime-spec wants capabilities that the runtime does not know to be left out and told about, not
/// refused.
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
    let mut unknown = BTreeSet::new();
    for set in value.pointer_mut(capabilities).into_iter().flat_map(sets) {
        set.retain(|name| match name.as_str() {
            Some(name) if Capabilities::named(name).is_err() => {
                unknown.insert(name.to_owned());
                false
            }
            _ => true,
        });
    }
    let parsed = serde_path_to_error::deserialize(value).map_err(|error| failed(error.into()))?;
    for name in unknown {
        warn(format_args!("process.capabilities: {name:?} is not known"));
    }
    Ok(parsed)
}

fn sets(capabilities: &mut Value) -> impl Iterator<Item = &mut Vec<Value>> {
    let fields = capabilities.as_object_mut().into_iter();
    fields.flat_map(|fields| fields.values_mut().filter_map(Value::as_array_mut))
}

fn check_annotations(spec: &Spec) -> Result<(), Error> {
    if spec
        .annotations()
        .iter()
        .flatten()
        .any(|(key, _)| key.is_empty())
    {
        return Err(Error::Invalid {
            field: "annotations".to_owned(),
            reason: "there is one without a name".to_owned(),
        });
    }
    Ok(())
}

fn check_version(version: &str) -> Result<(), Error> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    // As semver.org has them: without leading zeros.
    let plain = |number: &str| number == "0" || !number.starts_with(['0', '+']);
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| plain(text));
    let mut numbers = numbers.split('.').map(number);
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
        for bad in [
            "", "1", "1.0", "2.0.0", "0.9.0", "x.y.z", "1.0.0.0", "1.02.0",
        ] {
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
