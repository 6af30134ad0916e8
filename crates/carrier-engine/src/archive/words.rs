//! Words of an instruction, as Docker's builder takes them apart: quotes, backslashes and variables.

use std::iter::Peekable;
use std::str::Chars;

/// A `${…}` may have so many others in it.
const MAX_DEPTH: u32 = 16;

/// The words of a text; nothing where a quote or a brace has no end, or a variable makes no sense.
/// Variables are those of `environment`, lines of `NAME=VALUE`; others are empty.
pub(super) fn words(text: &str, environment: &[String]) -> Option<Vec<String>> {
    let mut reader = Reader::new(text, environment);
    let mut words = Vec::new();
    loop {
        while reader.chars.next_if(|c| c.is_whitespace()).is_some() {}
        if reader.chars.peek().is_none() {
            return Some(words);
        }
        words.push(reader.read(char::is_whitespace)?);
    }
}

/// The same of a text that is one word, with spaces and all.
pub(super) fn word(text: &str, environment: &[String]) -> Option<String> {
    Reader::new(text, environment).read(|_| false)
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    environment: &'a [String],
    depth: u32,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, environment: &'a [String]) -> Self {
        Self {
            chars: text.chars().peekable(),
            environment,
            depth: 0,
        }
    }

    /// What comes before the end of the text or a character, outside of quotes, that ends the word.
    fn read(&mut self, ends: impl Fn(char) -> bool) -> Option<String> {
        let mut word = String::new();
        let mut is_quoted = false;
        while let Some(&c) = self.chars.peek() {
            if !is_quoted && ends(c) {
                break;
            }
            self.chars.next();
            match c {
                '"' => is_quoted = !is_quoted,
                '\'' if !is_quoted => self.read_literal(&mut word)?,
                '\\' => {
                    let escaped = self.chars.next()?;
                    if is_quoted && !matches!(escaped, '"' | '$' | '\\') {
                        word.push('\\');
                    }
                    word.push(escaped);
                }
                '$' => word.push_str(&self.variable()?),
                c => word.push(c),
            }
        }
        (!is_quoted).then_some(word)
    }

    fn read_literal(&mut self, word: &mut String) -> Option<()> {
        loop {
            match self.chars.next()? {
                '\'' => return Some(()),
                c => word.push(c),
            }
        }
    }

    /// What stands for a variable, behind the `$`.
    fn variable(&mut self) -> Option<String> {
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Some("$".to_owned());
        }
        Some(self.value(&name).unwrap_or_default().to_owned())
    }

    /// `NAME}`, `NAME:-WORD}`, `NAME:+WORD}` or `NAME:?WORD}`; without the colon an empty value is one, too.
    fn braced(&mut self) -> Option<String> {
        let name = self.name();
        let is_empty_none = self.chars.next_if_eq(&':').is_some();
        let operator = self.chars.next()?;
        if name.is_empty() || (is_empty_none && operator == '}') {
            return None;
        }
        let value = self.value(&name).map(str::to_owned);
        if operator == '}' {
            return Some(value.unwrap_or_default());
        }
        self.depth += 1;
        let other = (self.depth <= MAX_DEPTH).then(|| self.read(|c| c == '}'))??;
        self.depth -= 1;
        self.chars.next_if_eq(&'}')?;
        let value = value.filter(|value| !(is_empty_none && value.is_empty()));
        match (operator, value) {
            ('-', value) => Some(value.unwrap_or(other)),
            ('+', value) => Some(value.map(|_| other).unwrap_or_default()),
            ('?', value) => value,
            _ => None,
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        let is_first = |c: &char| c.is_ascii_alphabetic() || *c == '_';
        name.extend(self.chars.next_if(is_first));
        if !name.is_empty() {
            let is_next = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            name.extend(std::iter::from_fn(|| self.chars.next_if(is_next)));
        }
        name
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let variables = self.environment.iter();
        let mut variables = variables.filter_map(|line| line.split_once('='));
        variables.find_map(|(known, value)| (known == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> [String; 3] {
        ["A=1", "EMPTY=", "TWO=x y"].map(str::to_owned)
    }

    #[test]
    fn words_are_what_a_builder_makes_of_them() {
        for (text, expected) in [
            ("", &[][..]),
            (" a  b\tc ", &["a", "b", "c"]),
            (
                r#""a b" 'c d' e\ f "" x"y z""#,
                &["a b", "c d", "e f", "", "xy z"],
            ),
            ("$A ${A}2 x$A.y", &["1", "12", "x1.y"]),
            (r#"'$A' "$A" \$A "\$A""#, &["$A", "1", "$A", "$A"]),
            ("$NONE ${NONE} $ $1", &["", "", "$", "$1"]),
            ("$TWO", &["x y"]),
            (
                "${A:-x} ${NONE:-x} ${EMPTY:-x} ${EMPTY-x}",
                &["1", "x", "x", ""],
            ),
            (
                "${A:+x} ${NONE:+x} ${EMPTY:+x} ${EMPTY+x}",
                &["x", "", "", "x"],
            ),
            (
                r#"${NONE:-"a b"$A} ${NONE:-${EMPTY:-${A}}}"#,
                &["a b1", "1"],
            ),
            ("${NONE:-it is}", &["it is"]),
            ("it\"'\"s", &["it's"]),
            ("${A:?x}", &["1"]),
            (r#""a\b\\" a\b"#, &[r"a\b\", "ab"]),
        ] {
            let found = words(text, &environment());
            assert_eq!(
                found.as_deref(),
                Some(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        assert_eq!(word("a  $A 'b c'", &environment()).unwrap(), "a  1 b c");
    }

    #[test]
    fn what_has_no_end_or_no_meaning_is_refused() {
        let nested = "${A:+".repeat(100) + &"}".repeat(100);
        for text in [
            "\"a",
            "'a",
            "a\\",
            "${A",
            "${",
            "${}",
            "${A:}",
            "${A:-x",
            "${A!x}",
            "${1}",
            "${NONE:?x}",
            &nested,
        ] {
            assert_eq!(words(text, &environment()), None, "{text}");
        }
    }
}
