//! What a user may have meant who named what is not there.

use carrier_engine::{BridgeError, Engine, Error, ImageFilter, VolumeError};
use carrier_registry::Error as RegistryError;
use carrier_spec::Reference;

use super::Failure;

/// What was looked for in vain.
#[derive(Clone, Copy)]
enum Kind {
    Container,
    Image,
    ContainerOrImage,
    Volume,
    Network,
}

/// The name that is most like the one that the user typed, if one is.
pub(super) fn meant(failure: &Failure) -> Option<String> {
    let (kind, word) = missing(failure)?;
    if is_id(&word) {
        return None;
    }
    let engine = Engine::look().ok()??;
    let names = names(&engine, kind);
    let others = names
        .iter()
        .map(String::as_str)
        .filter(|name| *name != word);
    let name = closest(&word, others)?;
    Some(stem(name).to_owned())
}

fn missing(failure: &Failure) -> Option<(Kind, String)> {
    Some(match failure {
        Failure::Engine(error) => return missing_here(error),
        Failure::Fetch { reference, source } if may_be_misspelt(source) => {
            (Kind::Image, reference.familiar())
        }
        _ => return None,
    })
}

/// Whether no image was found, rather than one that cannot be used.
fn may_be_misspelt(error: &RegistryError) -> bool {
    use RegistryError as Error;
    matches!(
        error,
        Error::NotFound { .. }
            | Error::Unauthorized { .. }
            | Error::CredentialsRequired { .. }
            | Error::Unreachable { .. }
            | Error::Timeout { .. }
    )
}

fn missing_here(error: &Error) -> Option<(Kind, String)> {
    Some(match error {
        Error::NoSuchContainer(word) => (Kind::Container, word.clone()),
        Error::NoSuchObject(word) => (Kind::ContainerOrImage, word.clone()),
        Error::NoSuchImage(reference) => (Kind::Image, reference.familiar()),
        Error::NoImageOfThatName(word) => {
            let reference: Option<Reference> = word.parse().ok();
            let name = reference.map_or_else(|| word.clone(), |name| name.familiar());
            (Kind::Image, name)
        }
        Error::Volume(VolumeError::NoSuchVolume(word)) => (Kind::Volume, word.clone()),
        Error::Bridge(BridgeError::NotFound(word)) => (Kind::Network, word.clone()),
        Error::CannotExec(error) => return missing_here(error),
        _ => return None,
    })
}

/// Ids are copied, not typed: many of a list may be gone, and none is like another.
fn is_id(word: &str) -> bool {
    word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn names(engine: &Engine, kind: Kind) -> Vec<String> {
    let containers = || {
        let found = engine.seen_containers().unwrap_or_default();
        found.into_iter().map(|one| one.name.to_string())
    };
    let images = || {
        let found = engine.images(&ImageFilter::default()).unwrap_or_default();
        let names = found.into_iter().filter_map(|image| image.reference);
        names.map(|name| name.familiar())
    };
    match kind {
        Kind::Container => containers().collect(),
        Kind::Image => images().collect(),
        Kind::ContainerOrImage => containers().chain(images()).collect(),
        Kind::Volume => {
            let found = engine.store().volume_names().unwrap_or_default();
            found.iter().map(ToString::to_string).collect()
        }
        Kind::Network => {
            let found = engine.networks().unwrap_or_default();
            found.into_iter().map(|one| one.name.to_string()).collect()
        }
    }
}

/// The name that a word becomes with the fewest slips, when they are few for its length.
fn closest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = |name: &str| (stem(name).chars().count() / 3).min(3);
    let distance = |name| slips(word, name).min(1 + slips(word, repository(name)));
    let all = names.map(|name| (distance(name), name));
    let near = all.filter(|(slips, name)| *slips <= limit(name));
    near.min_by_key(|(slips, _)| *slips).map(|(_, name)| name)
}

/// Without the tag that nobody types.
fn stem(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// Without any tag.
fn repository(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// How many characters are too many, missing, others or in the wrong order (optimal string alignment); case is none.
fn slips(a: &str, b: &str) -> usize {
    let chars = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    let (a, b) = (chars(stem(a)), chars(stem(b)));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ours) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, theirs) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ours != theirs))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *ours == b[j - 1] && a[i - 1] == *theirs {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognized_and_another_word_is_not() {
        let names = [
            "nginx:latest",
            "nginx:1.27",
            "localhost:5000/caddy:2",
            "web",
            "web-2",
            "postgres",
        ];
        for (word, expected) in [
            ("ngnix", Some("nginx:latest")),
            ("ngnix:latest", Some("nginx:latest")),
            ("nginx:1.72", Some("nginx:1.27")),
            (
                "localhost:5000/caddy:latest",
                Some("localhost:5000/caddy:2"),
            ),
            ("Web", Some("web")),
            ("wb", Some("web")),
            ("web-3", Some("web-2")),
            ("postgers", Some("postgres")),
            ("posrges", Some("postgres")),
            ("redis", None),
            ("w", None),
            ("", None),
        ] {
            assert_eq!(closest(word, names.into_iter()), expected, "{word}");
        }
    }
}
