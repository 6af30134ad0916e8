//! The functions of the language: Go's, and those that Docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::TemplateError;
use super::printf::printf;

const FUNCTIONS: [&str; 23] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let bad = || TemplateError::BadArguments(name.to_owned());
    let result: Option<Value> = match (name, arguments) {
        ("json", [value]) => Some(value.to_string().into()),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("join", [Value::Array(items), Value::String(separator)]) => Some(
            items
                .iter()
                .map(text)
                .collect::<Vec<_>>()
                .join(separator)
                .into(),
        ),
        ("join", [Value::Null, Value::String(_)]) => Some("".into()),
        ("split", [Value::String(whole), Value::String(separator)]) => {
            Some(whole.split(separator.as_str()).collect::<Vec<_>>().into())
        }
        ("lower", [value]) => Some(text(value).to_lowercase().into()),
        ("upper", [value]) => Some(text(value).to_uppercase().into()),
        ("title", [value]) => Some(title(&text(value)).into()),
        ("truncate", [value, length]) => {
            let length = length
                .as_u64()
                .and_then(|length| usize::try_from(length).ok());
            length.map(|length| text(value).chars().take(length).collect::<String>().into())
        }
        ("pad", [value, before, after]) => pad(&text(value), before, after),
        ("len", [value]) => length(value),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("not", [value]) => Some((!is_true(value)).into()),
        ("and", [first, rest @ ..]) => {
            let until =
                rest.iter().try_fold(
                    first,
                    |last, next| {
                        if is_true(last) { Ok(next) } else { Err(last) }
                    },
                );
            Some(until.unwrap_or_else(|stopped| stopped).clone())
        }
        ("or", [first, rest @ ..]) => {
            let until =
                rest.iter().try_fold(
                    first,
                    |last, next| {
                        if is_true(last) { Err(last) } else { Ok(next) }
                    },
                );
            Some(until.unwrap_or_else(|stopped| stopped).clone())
        }
        ("eq", [first, rest @ ..]) if !rest.is_empty() => Some(rest.contains(first).into()),
        ("ne", [first, second]) => Some((first != second).into()),
        ("lt" | "le" | "gt" | "ge", [first, second]) => compare(first, second).map(|order| {
            match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }
            .into()
        }),
        ("print", values) => Some(values.iter().map(text).collect::<String>().into()),
        ("println", values) => {
            let words: Vec<String> = values.iter().map(text).collect();
            Some(format!("{}\n", words.join(" ")).into())
        }
        ("printf", [Value::String(format), values @ ..]) => Some(printf(format, values).into()),
        _ => None,
    };
    result.ok_or_else(bad)
}

/// What does not exist in a map is empty, as in Go; what lies outside of a list is an error.
fn index(value: &Value, keys: &[Value]) -> Option<Value> {
    let mut value = value;
    for key in keys {
        value = match (value, key) {
            (Value::Object(map), Value::String(key)) => match map.get(key) {
                Some(value) => value,
                None => return Some("".into()),
            },
            (Value::Null, Value::String(_)) => return Some("".into()),
            (Value::Array(items), key) => items.get(usize::try_from(key.as_u64()?).ok()?)?,
            _ => return None,
        };
    }
    Some(value.clone())
}

/// A part of a text, in bytes, or of a list: from the first bound to before the second.
fn slice(value: &Value, bounds: &[Value]) -> Option<Value> {
    let bound = |at: usize| usize::try_from(bounds.get(at)?.as_u64()?).ok();
    let start = if bounds.is_empty() { 0 } else { bound(0)? };
    match value {
        Value::String(text) => {
            let end = if bounds.len() > 1 {
                bound(1)?
            } else {
                text.len()
            };
            text.get(start..end).map(Value::from)
        }
        Value::Array(items) => {
            let end = if bounds.len() > 1 {
                bound(1)?
            } else {
                items.len()
            };
            items.get(start..end).map(|part| part.to_vec().into())
        }
        _ => None,
    }
}

fn title(text: &str) -> String {
    let mut at_start = true;
    let upper = |c: char| {
        let first = std::mem::replace(&mut at_start, c.is_whitespace());
        if first {
            c.to_uppercase().collect()
        } else {
            c.to_string()
        }
    };
    text.chars().map(upper).collect()
}

fn pad(text: &str, before: &Value, after: &Value) -> Option<Value> {
    /// No table is wider.
    const MAX: u64 = 10_000;
    if text.is_empty() {
        return Some("".into());
    }
    let spaces = |count: &Value| {
        let count = count.as_u64().filter(|count| *count <= MAX)?;
        Some(" ".repeat(usize::try_from(count).ok()?))
    };
    Some(format!("{}{text}{}", spaces(before)?, spaces(after)?).into())
}

fn length(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => Some(text.len().into()),
        Value::Array(items) => Some(items.len().into()),
        Value::Object(map) => Some(map.len().into()),
        Value::Null => Some(0.into()),
        _ => None,
    }
}

fn compare(first: &Value, second: &Value) -> Option<Ordering> {
    match (first, second) {
        (Value::String(first), Value::String(second)) => Some(first.cmp(second)),
        _ => first.as_f64()?.partial_cmp(&second.as_f64()?),
    }
}

/// What Go takes for true: whatever is not empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(inner_text).collect::<Vec<_>>().join(" ")
            )
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries.into_iter();
            let entries = entries.map(|(key, value)| format!("{key}:{}", inner_text(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// The same within a list or a map. What is nothing there are ports that nobody publishes, a list without
/// items; what is empty are the ports and volumes of an image, structures without fields.
fn inner_text(value: &Value) -> String {
    match value {
        Value::Null => "[]".to_owned(),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        other => text(other),
    }
}
