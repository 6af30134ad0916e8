//! `logs --search` and `--regex`.

use memchr::memmem;
use regex::bytes::Regex;

/// Which lines are shown.
#[derive(Debug)]
pub struct LogFilter(Kind);

#[derive(Debug)]
enum Kind {
    Exact(Box<memmem::Finder<'static>>),
    Fuzzy(Fuzzy),
    Regex(Box<Regex>),
}

/// An expression that cannot be searched for.
#[derive(Debug, thiserror::Error)]
pub enum BadSearch {
    /// Nothing to search for.
    #[error("there is nothing to search for")]
    Empty,
    /// A regular expression that is none.
    #[error("{0:?} is not a regular expression: {1}")]
    Regex(String, String),
}

impl LogFilter {
    /// Lines that have `term` in them.
    ///
    /// # Errors
    /// When the term is empty.
    pub fn exact(term: &str) -> Result<Self, BadSearch> {
        match term {
            "" => Err(BadSearch::Empty),
            term => Ok(Self(Kind::Exact(Box::new(
                memmem::Finder::new(term).into_owned(),
            )))),
        }
    }

    /// Lines that have something like `term` in them: letters may be small or capital, and of each
    /// four characters one may be wrong, missing or too much.
    ///
    /// # Errors
    /// When the term is empty.
    pub fn fuzzy(term: &str) -> Result<Self, BadSearch> {
        match term {
            "" => Err(BadSearch::Empty),
            term => Ok(Self(Kind::Fuzzy(Fuzzy::new(term)))),
        }
    }

    /// Lines that `expression` matches.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn regex(expression: &str) -> Result<Self, BadSearch> {
        match Regex::new(expression) {
            Ok(regex) => Ok(Self(Kind::Regex(Box::new(regex)))),
            Err(error) => {
                let text = error.to_string();
                // The lines before point at the place.
                let last = text.lines().last().unwrap_or_default();
                let reason = last.strip_prefix("error: ").unwrap_or(last);
                Err(BadSearch::Regex(expression.to_owned(), reason.to_owned()))
            }
        }
    }

    /// Whether the line is shown.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match &self.0 {
            Kind::Exact(finder) => finder.find(line).is_some(),
            Kind::Fuzzy(fuzzy) => fuzzy.matches(line),
            Kind::Regex(regex) => regex.is_match(line),
        }
    }
}

/// Looks for a text with errors, by the first row of the table of Sellers: column by column, in
/// memory of the term's length.
#[derive(Debug)]
struct Fuzzy {
    term: Vec<char>,
    errors: usize,
}

impl Fuzzy {
    fn new(term: &str) -> Self {
        let term: Vec<char> = term.chars().map(lower).collect();
        let errors = term.len() / 4;
        Self { term, errors }
    }

    fn matches(&self, line: &[u8]) -> bool {
        // distances[i]: from the term's first i characters to the best text that ends here.
        let mut distances: Vec<usize> = (0..=self.term.len()).collect();
        let text = line.utf8_chunks().flat_map(|chunk| {
            let replaced = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(replaced)
        });
        for character in text.map(lower) {
            let mut diagonal = 0;
            for (index, wanted) in self.term.iter().enumerate() {
                let (left, above) = (distances[index + 1], distances[index]);
                let same = diagonal + usize::from(*wanted != character);
                distances[index + 1] = same.min(left + 1).min(above + 1);
                diagonal = left;
            }
            if distances.last().is_some_and(|last| *last <= self.errors) {
                return true;
            }
        }
        false
    }
}

/// Letters that become several are left as they are.
fn lower(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_exact_and_a_fuzzy_one_forgives() {
        let line = b"2026 ERROR Connection refused by Gr\xc3\xb6\xc3\x9fe\xff\n";
        for (term, exact, fuzzy) in [
            ("Connection", true, true),
            ("connection", false, true),
            ("conection", false, true),
            ("connexion", false, true),
            ("connextoin", false, false),
            ("refsued", false, false),
            ("GRÖßE", false, true),
            ("abc", false, false),
            ("by ", true, true),
            ("e\n", false, false),
        ] {
            assert_eq!(
                LogFilter::exact(term).unwrap().matches(line),
                exact,
                "{term}"
            );
            assert_eq!(
                LogFilter::fuzzy(term).unwrap().matches(line),
                fuzzy,
                "{term} fuzzy"
            );
        }
    }

    #[test]
    fn expressions_match_bytes_and_bad_ones_are_told_in_one_line() {
        let line = b"GET /index.html 404 \xff\n";
        for (expression, expected) in [
            (r"^GET .* 4\d\d", true),
            (r"(?i)get", true),
            (r"5\d\d", false),
            (r"404 .*$", false),
            (r"404 (?-u:.)$", true),
        ] {
            assert_eq!(
                LogFilter::regex(expression).unwrap().matches(line),
                expected,
                "{expression}"
            );
        }
        assert_eq!(
            LogFilter::regex("a(").unwrap_err().to_string(),
            "\"a(\" is not a regular expression: unclosed group"
        );
        assert!(LogFilter::exact("").is_err() && LogFilter::fuzzy("").is_err());
    }
}
