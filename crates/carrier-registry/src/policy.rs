//! Which images may come in: what the user's policy asks of those that begin in some way.

mod signature;

use std::path::PathBuf;

use carrier_spec::{Digest, Reference};

use crate::Error;
use crate::client::Client;
pub(crate) use signature::PublicKey;

/// What is asked of images.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    rules: Vec<Rule>,
}

/// What is asked of the images whose names begin in some way.
#[derive(Debug)]
pub(crate) struct Rule {
    /// `registry/repository`, or the beginning of it; empty for all.
    pub(crate) prefix: String,
    pub(crate) requirement: Requirement,
    /// The file that says so.
    pub(crate) file: PathBuf,
}

/// What an image must have.
#[derive(Debug)]
pub(crate) enum Requirement {
    Nothing,
    /// Its name must have a digest in it.
    Digest,
    /// A signature of cosign's by one of these keys.
    Signature(Vec<PublicKey>),
    /// There is no such image.
    Reject,
}

impl Policy {
    /// Adds a rule; it replaces an earlier one for the same prefix.
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.retain(|known| known.prefix != rule.prefix);
        self.rules.push(rule);
    }

    /// The rule with the longest prefix.
    fn about(&self, reference: &Reference) -> Option<&Rule> {
        let name = format!("{}/{}", reference.registry(), reference.repository());
        let fits = |rule: &&Rule| is_below(&name, &rule.prefix);
        self.rules
            .iter()
            .filter(fits)
            .max_by_key(|rule| rule.prefix.len())
    }

    /// Refuses an image that has not what it must have. `digest` is what the reference means.
    pub(crate) async fn check(
        &self,
        client: &Client<'_>,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<(), Error> {
        let Some(rule) = self.about(reference) else {
            return Ok(());
        };
        let reason = match &rule.requirement {
            Requirement::Nothing => return Ok(()),
            Requirement::Digest if reference.digest().is_some() => return Ok(()),
            Requirement::Digest => "its name has no digest".to_owned(),
            Requirement::Reject => "no such image may be used".to_owned(),
            Requirement::Signature(keys) => {
                match signature::find(client, reference, digest, keys).await? {
                    Ok(()) => return Ok(()),
                    Err(reason) => reason,
                }
            }
        };
        Err(Error::NotTrusted {
            image: reference.familiar(),
            reason,
            file: rule.file.clone(),
        })
    }
}

/// Whether a name is what the prefix says, or below it: `a/b` is below `a`, and `ab` is not.
fn is_below(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let mut policy = Policy::default();
        for (prefix, requirement) in [
            ("", Requirement::Reject),
            ("ghcr.io", Requirement::Digest),
            ("ghcr.io/acme", Requirement::Nothing),
        ] {
            policy.add(Rule {
                prefix: prefix.to_owned(),
                requirement,
                file: PathBuf::new(),
            });
        }
        let prefix = |name: &str| {
            let reference = name.parse().unwrap();
            policy.about(&reference).unwrap().prefix.clone()
        };
        assert_eq!(prefix("nginx"), "");
        assert_eq!(prefix("ghcr.io/other/x"), "ghcr.io");
        assert_eq!(prefix("ghcr.io/acmeville/x"), "ghcr.io");
        assert_eq!(prefix("ghcr.io/acme/x"), "ghcr.io/acme");
        assert_eq!(prefix("ghcr.io.example.org/acme/x"), "");
    }
}
