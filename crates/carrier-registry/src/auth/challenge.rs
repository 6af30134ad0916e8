//! `WWW-Authenticate`: what a registry wants, RFC 9110 section 11.6.1.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use super::Scopes;

/// A challenge that we can meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scopes: Scopes,
    },
}

impl Challenge {
    /// The challenge to meet among those of an answer: a token where tokens are offered, since it is
    /// worth less to a thief than a password.
    pub(crate) fn choose(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).into_iter();
        let texts = texts.filter_map(|value| value.to_str().ok());
        let mut all = texts.flat_map(parse);
        let first = all.next()?;
        if matches!(first, Self::Bearer { .. }) {
            return Some(first);
        }
        let bearer = all.find(|challenge| matches!(challenge, Self::Bearer { .. }));
        Some(bearer.unwrap_or(first))
    }

    /// The realms of all challenges of a header.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn realms(header: &str) -> Vec<String> {
        let challenges = parse(header).into_iter();
        let realms = challenges.filter_map(|challenge| match challenge {
            Self::Bearer { realm, .. } => Some(realm),
            Self::Basic => None,
        });
        realms.collect()
    }

    fn new(scheme: &str, parameters: &[(String, String)]) -> Option<Self> {
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |wanted: &str| {
            let mut pairs = parameters.iter();
            let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        Some(Self::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scopes: Scopes::parse(&value("scope").unwrap_or_default()),
        })
    }
}

/// Reads the challenges of one header: schemes, each with parameters, all separated by commas.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme: Option<String> = None;
    let mut parameters = Vec::new();
    let mut rest = header;
    while let Some((word, behind)) = word(rest) {
        if let Some((value, behind)) = behind.trim_start().strip_prefix('=').and_then(value) {
            parameters.push((word.to_owned(), value));
            rest = behind;
        } else {
            let complete = scheme.replace(word.to_owned());
            let complete = complete.and_then(|scheme| Challenge::new(&scheme, &parameters));
            found.extend(complete);
            parameters.clear();
            rest = behind.trim_start_matches('=');
        }
    }
    found.extend(scheme.and_then(|scheme| Challenge::new(&scheme, &parameters)));
    found
}

/// The next word, and what is behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find([' ', '\t', ',', '=']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A value, quoted or not, and what is behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (place, '"') => return Some((value, quoted.get(place + 1..)?)),
            (_, '\\') => value.push(characters.next()?.1),
            (_, character) => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: &str) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scopes: Scopes::parse(scope),
        }
    }

    fn choose(lines: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
        }
        Challenge::choose(&headers)
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let header = r#"Bearer realm="https://auth.example.org/token",service="a, b",scope="repository:x:pull""#;
        let expected = bearer(
            "https://auth.example.org/token",
            Some("a, b"),
            "repository:x:pull",
        );
        assert_eq!(choose(&[header]), Some(expected));
        let bare = choose(&["bearer Realm=https://a/t, error=x"]);
        assert_eq!(bare, Some(bearer("https://a/t", None, "")));
        let odd = choose(&[r#"Bearer  realm = "https://a/\"t" ,service=s"#]);
        assert_eq!(odd, Some(bearer("https://a/\"t", Some("s"), "")));
        assert_eq!(choose(&["basic"]), Some(Challenge::Basic));
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let token = Some(bearer("https://a/t", Some("s"), ""));
        let (basic, bearer) = (
            r#"Basic realm="x, Bearer realm=y""#,
            r#"Bearer realm="https://a/t",service="s""#,
        );
        assert_eq!(choose(&[basic, bearer]), token);
        assert_eq!(choose(&[bearer, basic]), token);
        assert_eq!(
            choose(&[r#"Basic realm="x", Bearer realm="https://a/t",service="s""#]),
            token
        );
        assert_eq!(
            choose(&[r#"Negotiate, Bearer realm="https://a/t",service="s", Basic realm="x""#]),
            token
        );
        assert_eq!(choose(&["Negotiate abc==", basic]), Some(Challenge::Basic));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for bad in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer realm",
            "Bearer realm=\"x",
            "Bearer service=\"x\"",
            "=,=,==\"",
            "Bearer =\"x\"",
        ] {
            assert_eq!(choose(&[bad]), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_ends_the_program(text in r#"([bB]asic|Bearer|realm|scope|[=", \\]|\PC){0,12}"#) {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_quoted_comes_back(realm in "[ -~]{1,40}", service in "[a-z.]{1,20}") {
            let quoted = realm.replace('\\', r"\\").replace('"', "\\\"");
            let text = format!("Bearer service={service},realm=\"{quoted}\"");
            prop_assert_eq!(parse(&text), [bearer(&realm, Some(&service), "")]);
        }
    }
}
