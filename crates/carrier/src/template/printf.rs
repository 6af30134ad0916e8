//! `printf`: Go's verbs for texts, numbers and truths, with flags, width and precision.

use serde_json::Value;

use super::functions::text;

/// No table is wider.
const MAX_WIDTH: usize = 10_000;

/// What stands between the percent sign and the verb.
#[derive(Clone, Copy, Default)]
struct Layout {
    left: bool,
    zeros: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// Prints values as a format says; what does not fit is said in Go's words, within the text.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let (layout, behind) = layout(behind);
        let mut chars = behind.chars();
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => out.push_str(&shown(layout, verb, value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    let extra: Vec<String> = values
        .map(|value| format!("{}={}", go_type(value), text(value)))
        .collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// Reads flags, width and precision.
fn layout(text: &str) -> (Layout, &str) {
    let mut layout = Layout::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => layout.left = true,
            '0' => layout.zeros = true,
            '+' => layout.plus = true,
            ' ' => layout.space = true,
            '#' => layout.alternate = true,
            _ => break,
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    let (width, behind) = number(rest);
    layout.width = width.unwrap_or(0);
    rest = behind;
    if let Some(behind) = rest.strip_prefix('.') {
        let (precision, behind) = number(behind);
        layout.precision = Some(precision.unwrap_or(0));
        rest = behind;
    }
    (layout, rest)
}

fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    if digits.is_empty() {
        return (None, rest);
    }
    let number = digits.parse().unwrap_or(MAX_WIDTH);
    (Some(number.min(MAX_WIDTH)), rest)
}

/// A value by a verb.
fn shown(layout: Layout, verb: char, value: &Value) -> String {
    let found = match (verb, value) {
        ('v' | 's' | 'q' | 'x' | 'X', Value::Array(items)) => {
            let items = items.iter().map(|item| shown(layout, verb, item));
            return format!("[{}]", items.collect::<Vec<_>>().join(" "));
        }
        ('v', Value::Number(number)) if number.is_f64() => Some(real(layout, 'g', value)),
        ('v', Value::Number(_)) => Some(whole(layout, 'd', value)),
        ('v', Value::Null) => Some(Some("<nil>".to_owned())),
        ('v', value) => Some(Some(cut(layout, text(value)))),
        ('s', Value::String(_) | Value::Object(_)) => Some(Some(cut(layout, text(value)))),
        ('q', Value::String(_)) => {
            let text = cut(layout, text(value));
            Some(Some(if layout.alternate && !text.contains('`') {
                format!("`{text}`")
            } else {
                Value::from(text).to_string()
            }))
        }
        ('x' | 'X', Value::String(text)) => Some(Some(hexadecimal(layout, verb, text))),
        ('t', Value::Bool(truth)) => Some(Some(truth.to_string())),
        ('d' | 'x' | 'X' | 'o' | 'b' | 'c', Value::Number(_)) => Some(whole(layout, verb, value)),
        ('f' | 'F' | 'g' | 'e', Value::Number(_)) => Some(real(layout, verb, value)),
        _ => None,
    };
    match found.flatten() {
        Some(text) => {
            let is_number = matches!(value, Value::Number(_)) && verb != 'c';
            // Zeros go before whatever is not a whole number of given digits, as in Go.
            let zeros = !(is_number && layout.precision.is_some() && is_whole(verb, value));
            padded(
                Layout {
                    zeros: layout.zeros && zeros,
                    ..layout
                },
                &text,
                is_number,
            )
        }
        None if value.is_null() => format!("%!{verb}(<nil>)"),
        None => format!("%!{verb}({}={})", go_type(value), text(value)),
    }
}

fn is_whole(verb: char, value: &Value) -> bool {
    !matches!(verb, 'f' | 'F' | 'g' | 'e') && !value.is_f64()
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]string",
        Value::Object(_) => "map[string]string",
    }
}

fn cut(layout: Layout, text: String) -> String {
    match layout.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    }
}

fn hexadecimal(layout: Layout, verb: char, text: &str) -> String {
    let length = layout.precision.unwrap_or(text.len());
    let bytes = text.bytes().take(length);
    let digits: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    capitals(verb, digits)
}

fn capitals(verb: char, text: String) -> String {
    if verb.is_ascii_uppercase() {
        text.to_uppercase()
    } else {
        text
    }
}

fn whole(layout: Layout, verb: char, value: &Value) -> Option<String> {
    let number = value.as_i64().map(i128::from);
    let number = number.or_else(|| value.as_u64().map(i128::from))?;
    if verb == 'c' {
        let c = u32::try_from(number).ok().and_then(char::from_u32);
        return Some(c.unwrap_or(char::REPLACEMENT_CHARACTER).to_string());
    }
    let amount = number.unsigned_abs();
    let (digits, prefix) = match verb {
        'x' => (format!("{amount:x}"), "0x"),
        'X' => (format!("{amount:X}"), "0X"),
        'o' => (format!("{amount:o}"), "0"),
        'b' => (format!("{amount:b}"), "0b"),
        _ => (amount.to_string(), ""),
    };
    let missing = layout.precision.unwrap_or(0).saturating_sub(digits.len());
    let prefix = if layout.alternate { prefix } else { "" };
    let zeros = "0".repeat(missing);
    Some(format!(
        "{}{prefix}{zeros}{digits}",
        sign(layout, number < 0)
    ))
}

fn real(layout: Layout, verb: char, value: &Value) -> Option<String> {
    // A whole number has no such verb in Go.
    let number = value.as_f64().filter(|_| value.is_f64())?;
    let amount = number.abs();
    let digits = match (verb, layout.precision) {
        ('f' | 'F', precision) => format!("{amount:.*}", precision.unwrap_or(6)),
        ('e', precision) => exponent(&format!("{amount:.*e}", precision.unwrap_or(6))),
        (_, precision) => shortest(amount, precision),
    };
    Some(format!("{}{digits}", sign(layout, number < 0.0)))
}

/// `%g`: with an exponent where the number is very small or very large.
fn shortest(amount: f64, precision: Option<usize>) -> String {
    let scientific = match precision {
        Some(digits) => format!("{amount:.*e}", digits.max(1) - 1),
        None => format!("{amount:e}"),
    };
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    let power: i32 = power.parse().unwrap_or(0);
    let limit = precision.map_or(21, |digits| {
        i32::try_from(digits.max(1)).unwrap_or(i32::MAX)
    });
    if power < -4 || power >= limit {
        return exponent(&format!("{digits}e{power}"));
    }
    let rounded: f64 = scientific.parse().unwrap_or(amount);
    rounded.to_string()
}

/// Go's exponents have a sign and two digits.
fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.unsigned_abs())
}

fn sign(layout: Layout, is_negative: bool) -> &'static str {
    match (is_negative, layout.plus, layout.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

/// Zeros go between a sign and the digits of a number.
fn padded(layout: Layout, text: &str, is_number: bool) -> String {
    let missing = layout.width.saturating_sub(text.chars().count());
    if layout.left {
        return format!("{text}{}", " ".repeat(missing));
    }
    if !layout.zeros {
        return format!("{}{text}", " ".repeat(missing));
    }
    let signed = is_number && text.starts_with(['-', '+', ' ']);
    let (sign, digits) = text.split_at(usize::from(signed));
    format!("{sign}{}{digits}", "0".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verbs_are_gos() {
        for (format, values, expected) in [
            ("%s-%d %q%%", json!(["a", 7, "x"]), "a-7 \"x\"%"),
            (
                "%-5s|%5s|%.2s|",
                json!(["ab", "cd", "efg"]),
                "ab   |   cd|ef|",
            ),
            (
                "%05d|%+d|%-4d|% d",
                json!([-42, 7, 1, 3]),
                "-0042|+7|1   | 3",
            ),
            (
                "%x %X %#x %x",
                json!([255, 255, 255, "hi"]),
                "ff FF 0xff 6869",
            ),
            ("%t %c", json!([true, 65]), "true A"),
            (
                "%f %.2f %8.1f|",
                json!([1.5, 2.345_1, 9.96]),
                "1.500000 2.35     10.0|",
            ),
            ("%g %g %v", json!([1.5, 1e21, 0.5]), "1.5 1e+21 0.5"),
            ("%v %v", json!([["a", "b"], { "k": 1 }]), "[a b] map[k:1]"),
            ("%s", json!([["a", "b"]]), "[a b]"),
            ("%s %d", json!(["a"]), "a %!d(MISSING)"),
            ("%d", json!(["a"]), "%!d(string=a)"),
            ("%s", json!([5]), "%!s(int=5)"),
            ("%f", json!([5]), "%!f(int=5)"),
            ("%z", json!([5]), "%!z(int=5)"),
            ("%s", json!(["a", "b"]), "a%!(EXTRA string=b)"),
            ("a%", json!([]), "a%!(NOVERB)"),
            ("%v %s", json!([null, null]), "<nil> %!s(<nil>)"),
            ("%.3d|%6.3d|%06.3d", json!([7, 7, 7]), "007|   007|   007"),
        ] {
            let values = values.as_array().unwrap();
            let found = printf(format, values);
            assert_eq!(found, expected, "{format}");
        }
    }

    #[test]
    fn no_width_fills_the_memory() {
        let text = printf("%99999999999999999999d", &[json!(1)]);
        assert_eq!(text.len(), MAX_WIDTH);
    }
}
