//! From text to the words of the language.

use serde_json::Value;

use super::TemplateError;

/// A part of a template: text as it is, or the words between braces.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Action(Vec<Word>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A name: a function or a keyword.
    Name(String),
    /// `.A.B`, `.`; whether it follows the word before without a space.
    Field(Vec<String>, bool),
    /// `$`, `$x`, without the dollar sign.
    Variable(String),
    Literal(Value),
    /// `|`, `(`, `)`, `,`, `=`, `:=`
    Sign(&'static str),
}

/// Cuts a template at its braces.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let inner_end = action_end(after)?;
        let (inner, behind) = after.split_at(inner_end);
        let (inner, trim_before) = match inner.strip_prefix('-') {
            Some(inner) if inner.starts_with(char::is_whitespace) => (inner, true),
            _ => (inner, false),
        };
        let (inner, trim_after) = match inner.strip_suffix('-') {
            Some(inner) if inner.ends_with(char::is_whitespace) => (inner, true),
            _ => (inner, false),
        };
        push_text(&mut parts, before, trim, trim_before);
        let inner = inner.trim();
        if !(inner.starts_with("/*") && inner.ends_with("*/")) {
            parts.push(Part::Action(words(inner)?));
        }
        trim = trim_after;
        rest = behind.get(2..).unwrap_or_default();
    }
    push_text(&mut parts, rest, trim, false);
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Where the closing braces are; those in a quoted text do not count.
fn action_end(text: &str) -> Result<usize, TemplateError> {
    if let Some(comment) = text.trim_start_matches('-').trim_start().strip_prefix("/*") {
        let end = comment.find("*/").ok_or(TemplateError::Unclosed)?;
        let start = text.len() - comment.len();
        let close = text.get(start + end..).and_then(|rest| rest.find("}}"));
        return close
            .map(|close| start + end + close)
            .ok_or(TemplateError::Unclosed);
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if text.get(at..).is_some_and(|rest| rest.starts_with("}}")) => return Ok(at),
            None => {}
        }
    }
    Err(if quote.is_some() {
        TemplateError::OpenQuote
    } else {
        TemplateError::Unclosed
    })
}

fn words(text: &str) -> Result<Vec<Word>, TemplateError> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut spaced = true;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            spaced = true;
            rest = rest.trim_start();
            continue;
        }
        let (word, length) = word(rest, !spaced)?;
        words.push(word);
        rest = rest.get(length..).unwrap_or_default();
        spaced = false;
    }
    Ok(words)
}

/// The first word of a text, and its length.
fn word(text: &str, attached: bool) -> Result<(Word, usize), TemplateError> {
    const SIGNS: [&str; 6] = [":=", "=", "|", "(", ")", ","];
    if let Some(sign) = SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
        return Ok((Word::Sign(sign), sign.len()));
    }
    match text.chars().next() {
        Some('.') => Ok(field(text, attached)),
        Some('$') => {
            let name = name_length(text.get(1..).unwrap_or_default());
            let variable = text.get(1..=name).unwrap_or_default();
            Ok((Word::Variable(variable.to_owned()), name + 1))
        }
        Some('"') => quoted(text),
        Some('`') => {
            let inner = text.get(1..).and_then(|rest| rest.split_once('`'));
            let (inner, _) = inner.ok_or(TemplateError::OpenQuote)?;
            Ok((Word::Literal(inner.into()), inner.len() + 2))
        }
        Some(c) if c.is_ascii_digit() || c == '-' => number(text),
        _ => {
            let length = name_length(text);
            let name = text.get(..length).unwrap_or_default();
            match name {
                "" => Err(TemplateError::Unexpected(text.chars().take(1).collect())),
                "true" | "false" => Ok((Word::Literal((name == "true").into()), length)),
                "nil" => Ok((Word::Literal(Value::Null), length)),
                name => Ok((Word::Name(name.to_owned()), length)),
            }
        }
    }
}

fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}

fn field(text: &str, attached: bool) -> (Word, usize) {
    let mut path = Vec::new();
    let mut length = 0;
    while let Some(rest) = text.get(length..).and_then(|rest| rest.strip_prefix('.')) {
        let name = name_length(rest);
        if name == 0 {
            break;
        }
        path.extend(rest.get(..name).map(str::to_owned));
        length += name + 1;
    }
    (Word::Field(path, attached), length.max(1))
}

/// A text in double quotes has the escapes of JSON, near enough to Go's.
fn quoted(text: &str) -> Result<(Word, usize), TemplateError> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match stream.next() {
        Some(Ok(inner)) => Ok((Word::Literal(inner.into()), stream.byte_offset())),
        _ => Err(TemplateError::OpenQuote),
    }
}

fn number(text: &str) -> Result<(Word, usize), TemplateError> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    let length = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let number = text.get(..length).unwrap_or_default();
    let value = serde_json::from_str(number);
    let value: Value = value.map_err(|_| TemplateError::Unexpected(number.to_owned()))?;
    Ok((Word::Literal(value), length))
}
