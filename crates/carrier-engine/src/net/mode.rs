//! What a container can reach, as users say it.

use serde::{Deserialize, Serialize};

use super::attachment::Attachment;
use super::error::NetworkError;
use super::uplink::{PastaOptions, SlirpOptions};

const HINT: &str = "modes are none, host, private, container:NAME, slirp4netns[:OPTIONS], \
                    pasta[:OPTIONS] and the names of networks";

/// What a container can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Itself.
    None,
    /// All that the host can.
    Host,
    /// What another container can, with the same addresses: its id in a record, any word for it in
    /// what a user asks for.
    Container(String),
    /// Others, by the best uplink that the host has.
    #[default]
    Private,
    /// Others, by `slirp4netns`.
    Slirp4netns(SlirpOptions),
    /// Others, by `pasta`.
    Pasta(PastaOptions),
    /// The networks of the user, which containers share.
    Bridge(Vec<Attachment>),
}

impl NetworkMode {
    /// Docker's word.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Host => "host".to_owned(),
            Self::Container(id) => format!("container:{id}"),
            Self::Private => "private".to_owned(),
            Self::Slirp4netns(_) => "slirp4netns".to_owned(),
            Self::Pasta(_) => "pasta".to_owned(),
            Self::Bridge(attachments) => {
                let first = attachments.first();
                first.map_or_else(String::new, |first| first.network.clone())
            }
        }
    }

    /// Whether the container has a network namespace that nobody else had before.
    pub(crate) fn has_own_namespace(&self) -> bool {
        !matches!(self, Self::Host | Self::Container(_))
    }

    /// Whether the container is on networks of the user.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Bridge(attachments) if !attachments.is_empty())
    }

    /// Takes what is wished for the first network of the user: `--ip` and its like.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] where there is no such network, or several for one address.
    pub fn wish(&mut self, wish: Attachment) -> Result<(), NetworkError> {
        let Attachment {
            ip,
            ip6,
            mac,
            aliases,
            ..
        } = wish;
        if ip.is_none() && ip6.is_none() && mac.is_none() && aliases.is_empty() {
            return Ok(());
        }
        let Self::Bridge(attachments) = self else {
            // Docker's words.
            let text = "user specified IP address, MAC address and aliases are supported on user \
                        defined networks only";
            let hint = "carrier network create NAME, carrier run --network NAME";
            return Err(NetworkError::Invalid(text.to_owned(), hint));
        };
        for attachment in attachments.iter_mut() {
            attachment.aliases.extend(aliases.iter().cloned());
        }
        if let Some(first) = attachments.first_mut() {
            first.ip = ip.or(first.ip);
            first.ip6 = ip6.or(first.ip6);
            first.mac = mac.or(first.mac);
        }
        Ok(())
    }

    /// Reads the words of `--network`: several are networks of the user.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] for what is none, and for modes that exclude each other.
    pub fn parse(words: &[String]) -> Result<Self, NetworkError> {
        let mut modes = words.iter().map(|word| Self::parse_one(word));
        let Some(first) = modes.next() else {
            return Ok(Self::default());
        };
        let mut mode = first?;
        for next in modes {
            match (&mut mode, next?) {
                (Self::Bridge(attachments), Self::Bridge(more)) => attachments.extend(more),
                (mode, next) => {
                    let text = format!(
                        "conflicting options: --network {} and --network {}",
                        mode.name(),
                        next.name()
                    );
                    return Err(NetworkError::Invalid(text, "only networks can be several"));
                }
            }
        }
        Ok(mode)
    }

    fn parse_one(word: &str) -> Result<Self, NetworkError> {
        let wrong =
            |what: &str| NetworkError::Invalid(format!("network mode {word:?}: {what}"), HINT);
        if let Some(attachment) = Attachment::parse_long(word) {
            return Ok(Self::Bridge(vec![attachment.map_err(|what| wrong(&what))?]));
        }
        let (name, options) = match word.split_once(':') {
            Some((name, options)) => (name, Some(options)),
            None => (word, None),
        };
        match (name, options) {
            ("none", None) => Ok(Self::None),
            ("host", None) => Ok(Self::Host),
            ("" | "private" | "default", None) => Ok(Self::Private),
            ("none" | "host" | "private" | "default", Some(_)) => Err(wrong("it has no options")),
            ("container", Some(word)) if !word.is_empty() => Ok(Self::Container(word.to_owned())),
            ("container", _) => Err(wrong("no container is named")),
            ("ns", Some(_)) => Err(wrong("namespaces by path are not available")),
            ("slirp4netns", options) => {
                SlirpOptions::parse(options.unwrap_or_default()).map(Self::Slirp4netns)
            }
            ("pasta", options) => PastaOptions::parse(options.unwrap_or_default()).map(Self::Pasta),
            (name, options) => {
                let attachment = Attachment::parse(name, options.unwrap_or_default());
                Ok(Self::Bridge(vec![attachment.map_err(|what| wrong(&what))?]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<NetworkMode, String> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        NetworkMode::parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_have_dockers_and_podmans_words() {
        assert_eq!(parse(&[]), Ok(NetworkMode::Private));
        assert_eq!(parse(&["default"]), Ok(NetworkMode::Private));
        assert_eq!(parse(&["none"]), Ok(NetworkMode::None));
        assert_eq!(
            parse(&["container:web"]),
            Ok(NetworkMode::Container("web".to_owned()))
        );
        assert_eq!(
            parse(&["slirp4netns"]),
            Ok(NetworkMode::Slirp4netns(SlirpOptions::default()))
        );
        let Ok(NetworkMode::Bridge(networks)) =
            parse(&["front:ip=10.9.0.5,alias=a,alias=b", "back"])
        else {
            panic!("two networks are no mode");
        };
        assert_eq!(networks[0].aliases, ["a", "b"]);
        assert_eq!(networks[1].network, "back");
        assert_eq!(
            parse(&["name=front,alias=a,ip=10.9.0.5"]),
            parse(&["front:ip=10.9.0.5,alias=a"])
        );
        for wrong in [
            vec!["alias=a"],
            vec!["name=front,colour=red"],
            vec!["none", "host"],
            vec!["front", "none"],
            vec!["container:"],
            vec!["host:x"],
            vec!["ns:/proc/1/ns/net"],
            vec!["front:ip=x"],
            vec!["front:colour=red"],
            vec!["-x"],
        ] {
            assert!(parse(&wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let read = |text: &str| serde_json::from_str::<NetworkMode>(text).unwrap();
        assert_eq!(read("\"none\""), NetworkMode::None);
        assert_eq!(read("\"host\""), NetworkMode::Host);
    }
}
