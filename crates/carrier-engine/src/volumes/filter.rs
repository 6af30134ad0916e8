//! Which volumes a list shows, or `volume prune` removes.

use super::verbs::VolumeSummary;
use crate::error::Error;
use crate::images::{FilterError, split_filter};

/// Conditions that volumes must meet: all kinds, and of each kind one; of labels all.
#[derive(Clone, Debug, Default)]
pub struct VolumeFilter {
    names: Vec<String>,
    drivers: Vec<String>,
    /// Key, value, and whether it is wanted.
    labels: Vec<(String, Option<String>, bool)>,
    dangling: Option<bool>,
    /// With `volume prune`: also volumes that somebody named.
    pub all: bool,
}

impl VolumeFilter {
    /// Reads the filters of `volume ls`, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse(filters: &[String]) -> Result<Self, Error> {
        let mut filter = Self::default();
        for text in filters {
            let (name, value) = split_filter(text)?;
            match name.as_str() {
                "name" => filter.names.push(value),
                "driver" => filter.drivers.push(value),
                "dangling" => filter.dangling = Some(boolean(&name, &value)?),
                "label" => filter.label(&value, true),
                _ => return Err(FilterError::Unknown(name).into()),
            }
        }
        Ok(filter)
    }

    /// Reads the filters of `volume prune`.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse_for_prune(filters: &[String]) -> Result<Self, Error> {
        let mut filter = Self::default();
        for text in filters {
            let (name, value) = split_filter(text)?;
            match name.as_str() {
                "all" => filter.all = boolean(&name, &value)?,
                "label" => filter.label(&value, true),
                "label!" => filter.label(&value, false),
                _ => return Err(FilterError::Unknown(name).into()),
            }
        }
        Ok(filter)
    }

    fn label(&mut self, text: &str, wanted: bool) {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        self.labels.push((key.to_owned(), value, wanted));
    }

    /// Whether the volume meets the conditions.
    #[must_use]
    pub fn accepts(&self, volume: &VolumeSummary) -> bool {
        let one = |wanted: &[String], fits: &dyn Fn(&String) -> bool| {
            wanted.is_empty() || wanted.iter().any(fits)
        };
        let labels = super::shown_labels(&volume.record);
        one(&self.names, &|part| {
            volume.record.name.as_str().contains(part.as_str())
        }) && one(&self.drivers, &|driver| driver == "local")
            && self
                .dangling
                .is_none_or(|wanted| volume.users.is_empty() == wanted)
            && self.labels.iter().all(|(key, value, wanted)| {
                let found = labels.get(key);
                let fits = match value {
                    Some(value) => found == Some(value),
                    None => found.is_some(),
                };
                fits == *wanted
            })
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, FilterError> {
    match value {
        "true" | "1" | "True" | "t" => Ok(true),
        "false" | "0" | "False" | "f" => Ok(false),
        _ => Err(FilterError::BadValue {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
    }
}
