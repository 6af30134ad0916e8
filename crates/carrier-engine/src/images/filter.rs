//! Which images a list shows, or `image prune` removes.

use carrier_spec::Reference;
use carrier_store::ImageRecord;
use jiff::Timestamp;

use crate::engine::Engine;
use crate::error::Error;
use crate::time;

/// Conditions that images must meet: all kinds, and of references one.
#[derive(Clone, Debug, Default)]
pub struct ImageFilter {
    dangling: Option<bool>,
    labels: Vec<Label>,
    references: Vec<String>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    key: String,
    value: Option<String>,
    wanted: bool,
}

/// Why a filter makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    /// No `=`.
    #[error("bad format of filter {0:?} (expected name=value)")]
    NoValue(String),
    /// An unknown name.
    #[error("invalid filter '{0}'")]
    Unknown(String),
    /// It is about things that there are not.
    #[error("filter '{0}': {1} are not available in this version")]
    NotAvailable(&'static str, &'static str),
    /// A value that makes no sense.
    #[error("invalid filter '{name}={value}'")]
    BadValue {
        /// The filter.
        name: String,
        /// What was said.
        value: String,
    },
}

/// What `image prune` knows.
const PRUNE: [&str; 4] = ["dangling", "label", "label!", "until"];

impl Engine {
    /// Reads the filters of a list of images, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`]; when an image that is named there does not exist.
    pub fn image_filter(&self, filters: &[String]) -> Result<ImageFilter, Error> {
        let mut filter = ImageFilter::default();
        for text in filters {
            let (name, value) = split_filter(text)?;
            match name.as_str() {
                "before" => filter.before_at(self.created(&value)?),
                "since" | "after" => filter.since_at(self.created(&value)?),
                _ => filter.add(&name, &value)?,
            }
        }
        Ok(filter)
    }

    /// Reads the filters of `image prune`, `NAME=VALUE` each.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn prune_filter(&self, filters: &[String]) -> Result<ImageFilter, Error> {
        let mut filter = ImageFilter::default();
        for known in known_filters(filters, &PRUNE) {
            let (name, value) = known?;
            filter.add(&name, &value)?;
        }
        Ok(filter)
    }

    fn created(&self, word: &str) -> Result<Timestamp, Error> {
        Ok(created(&self.image_by_word(word, None)?))
    }
}

/// [`split_filter`] of each text; filters of names that are not `known` are refused.
pub(crate) fn known_filters(
    texts: &[String],
    known: &[&str],
) -> impl Iterator<Item = Result<(String, String), FilterError>> {
    texts.iter().map(move |text| {
        let (name, value) = split_filter(text)?;
        if known.contains(&name.as_str()) {
            Ok((name, value))
        } else {
            Err(FilterError::Unknown(name))
        }
    })
}

/// Name and value of a filter, without the space and the capitals that Docker tolerates.
pub(crate) fn split_filter(text: &str) -> Result<(String, String), FilterError> {
    // `label!=x` is the filter `label!`.
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| FilterError::NoValue(text.to_owned()))?;
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}

/// When an image was made; long ago where it does not say.
fn created(image: &ImageRecord) -> Timestamp {
    let text = image.config.created.as_deref();
    text.and_then(|text| text.parse().ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

impl ImageFilter {
    /// Adds a name, perhaps with wildcards, that images may have.
    pub fn add_reference(&mut self, pattern: &str) {
        self.references.push(pattern.to_owned());
    }

    /// What the filter says about images without a name.
    #[must_use]
    pub fn dangling(&self) -> Option<bool> {
        self.dangling
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        let bad = |name: &str| FilterError::BadValue {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        match name {
            "dangling" => {
                let yes = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(bad("dangling")),
                };
                self.dangling = Some(yes);
            }
            "label" => self.labels.push(label(value, true)),
            "label!" => self.labels.push(label(value, false)),
            "reference" => self.add_reference(value),
            "until" => {
                let time = time::parse(value, Timestamp::now()).ok_or_else(|| bad("until"))?;
                self.before_at(time);
            }
            other => return Err(FilterError::Unknown(other.to_owned())),
        }
        Ok(())
    }

    fn before_at(&mut self, time: Timestamp) {
        self.before = Some(self.before.map_or(time, |known| known.min(time)));
    }

    fn since_at(&mut self, time: Timestamp) {
        self.since = Some(self.since.map_or(time, |known| known.max(time)));
    }

    /// Whether the image meets the conditions.
    #[must_use]
    pub fn accepts(&self, image: &ImageRecord) -> bool {
        let created = created(image);
        let labels = &image.config.config.labels;
        self.dangling
            .is_none_or(|wanted| wanted == image.reference.is_none())
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.labels.iter().all(|label| {
                let found = labels.get(&label.key);
                let matches = match &label.value {
                    Some(value) => found == Some(value),
                    None => found.is_some(),
                };
                matches == label.wanted
            })
            && self.accepts_name(image)
    }

    fn accepts_name(&self, image: &ImageRecord) -> bool {
        if self.references.is_empty() {
            return true;
        }
        let names = [&image.reference, &image.origin].into_iter().flatten();
        let names: Vec<[String; 2]> = names.map(spellings).collect();
        let fits = |pattern: &String| {
            let mut names = names.iter().flatten();
            names.any(|name| matches(pattern.as_bytes(), name.as_bytes()))
        };
        self.references.iter().any(fits)
    }
}

/// How a pattern may spell a name.
fn spellings(name: &Reference) -> [String; 2] {
    [name.familiar(), name.familiar_name()]
}

fn label(text: &str, wanted: bool) -> Label {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    Label {
        key: key.to_owned(),
        value,
        wanted,
    }
}

/// Go's `path.Match`: `*` and `?` stand for no slash, `[a-z]` and `[^a]` for one character.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on when what follows the last star did not fit.
    let mut retry: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut name) = (pattern, name);
    loop {
        let fits = match (pattern, name) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, name));
                Some((rest, name))
            }
            ([_, ..], [c, name_rest @ ..]) => {
                one(pattern, *c).map(|pattern_rest| (pattern_rest, name_rest))
            }
            _ => None,
        };
        (pattern, name) = match (fits, retry) {
            (Some(next), _) => next,
            (None, Some((behind, [c, rest @ ..]))) if *c != b'/' => {
                retry = Some((behind, rest));
                (behind, rest)
            }
            (None, _) => return false,
        };
    }
}

/// What is left of a pattern whose beginning stands for `c`.
fn one(pattern: &[u8], c: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => (c != b'/').then_some(rest),
        [b'\\', literal, rest @ ..] => (*literal == c).then_some(rest),
        [b'[', rest @ ..] => {
            let end = rest.iter().skip(1).position(|byte| *byte == b']')? + 1;
            let (class, behind) = rest.split_at(end);
            let (class, negated) = match class {
                [b'^', class @ ..] => (class, true),
                class => (class, false),
            };
            (is_in(class, c) != negated && c != b'/').then(|| behind.get(1..).unwrap_or_default())
        }
        [literal, rest @ ..] => (*literal == c).then_some(rest),
        [] => None,
    }
}

fn is_in(class: &[u8], c: u8) -> bool {
    match class {
        [low, b'-', high, rest @ ..] => (*low..=*high).contains(&c) || is_in(rest, c),
        [one, rest @ ..] => *one == c || is_in(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, name, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox", true),
            ("*box", "busybox", true),
            ("*", "busybox", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("b?sybox", "busybox", true),
            ("b[tu]sybox", "busybox", true),
            ("b[^u]sybox", "busybox", false),
            ("b[a-z]sybox", "busybox", true),
            ("busybox:*", "busybox:1.36", true),
            ("busy", "busybox", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
            ("[", "a", false),
            ("", "", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let mut filter = ImageFilter::default();
        for (name, value) in [("dangling", "maybe"), ("until", "soon"), ("nope", "x")] {
            assert!(filter.add(name, value).is_err(), "{name}={value}");
        }
        assert!(split_filter("dangling").is_err());
        assert_eq!(
            split_filter("Label!= a=b"),
            Ok(("label!".to_owned(), "a=b".to_owned()))
        );
    }
}
