//! What a token is for, distribution's token scopes: `repository:library/nginx:pull`.

use std::collections::{BTreeMap, BTreeSet};

/// Resources, and what may be done with each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Reading a repository.
    pub(crate) fn pull(repository: &str) -> Self {
        Self::parse(&format!("repository:{repository}:pull"))
    }

    /// Reading and writing a repository.
    pub(crate) fn push(repository: &str) -> Self {
        Self::parse(&format!("repository:{repository}:pull,push"))
    }

    /// Reads scopes that stand side by side, as in a challenge. What has no actions, such as the
    /// `aws` of Amazon's public registry, stays what it is.
    pub(crate) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for word in text.split_ascii_whitespace() {
            let (resource, actions) = match word.rsplit_once(':') {
                Some((resource, actions)) if resource.contains(':') => (resource, actions),
                _ => (word, ""),
            };
            let actions = actions.split(',').filter(|action| !action.is_empty());
            let known = scopes.0.entry(resource.to_owned()).or_default();
            known.extend(actions.map(str::to_owned));
        }
        scopes
    }

    /// What is in either.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            let known = self.0.entry(resource.clone()).or_default();
            known.extend(actions.iter().cloned());
        }
        self
    }

    /// One text for each resource.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            match actions.as_slice() {
                [] => resource.clone(),
                actions => format!("{resource}:{}", actions.join(",")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scopes: &Scopes) -> Vec<String> {
        scopes.texts().collect()
    }

    #[test]
    fn scopes_of_one_repository_are_one() {
        let scopes = Scopes::pull("a/b").and(&Scopes::push("a/b"));
        assert_eq!(texts(&scopes), ["repository:a/b:pull,push"]);
        let mount = scopes.and(&Scopes::pull("other"));
        let both = ["repository:a/b:pull,push", "repository:other:pull"];
        assert_eq!(texts(&mount), both);
    }

    #[test]
    fn what_registries_invent_is_kept() {
        let scopes = Scopes::parse("aws registry:catalog:* repository:host:5000/x:pull");
        let all = ["aws", "registry:catalog:*", "repository:host:5000/x:pull"];
        assert_eq!(texts(&scopes), all);
        assert_eq!(texts(&Scopes::parse("  ")), [""; 0]);
    }
}
