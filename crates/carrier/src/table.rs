//! Tables as Docker prints them: columns padded to their widest cell, three spaces apart.

use crate::report::printable;

const GAP: usize = 3;

/// Lays out rows of cells below a header.
pub(crate) fn layout<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let printable_row = |row: &[String; N]| row.iter().map(|cell| printable(cell)).collect();
    let mut lines: Vec<Vec<String>> = vec![header.map(ToOwned::to_owned).to_vec()];
    lines.extend(rows.iter().map(printable_row));
    lay_out(&lines)
}

/// Lays out lines of cells that have no power over a terminal.
pub(crate) fn lay_out(lines: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for cells in lines {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(cell);
            let padding = width - cell.chars().count() + GAP;
            line.extend(std::iter::repeat_n(' ', padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes in decimal units with three digits, Docker's `HumanSizeWithPrecision(3)`.
pub(crate) fn size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

/// Bytes in decimal units with four digits, Docker's `HumanSize`.
pub(crate) fn reclaimed(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 4)
}

/// Bytes in binary units with four digits, Docker's `BytesSize`.
pub(crate) fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

/// A number as Go's `%.4g` prints it, with a unit that makes it small.
fn scaled(bytes: u64, base: f64, units: &[&str; 6], digits: usize) -> String {
    let mut unit = 0;
    #[allow(clippy::cast_precision_loss, reason = "few digits are shown")]
    let mut value = bytes as f64;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    // Digits before the point, after rounding to as many as are shown.
    let mut whole = 1;
    let mut bound = 10.0 - 0.5 / 10f64.powi(i32::try_from(digits).unwrap_or(0) - 1);
    while value >= bound && whole < digits {
        bound *= 10.0;
        whole += 1;
    }
    let decimals = if unit == 0 { 0 } else { digits - whole };
    let number = format!("{value:.decimals$}");
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number}{}", units.get(unit).unwrap_or(&"B"))
}

/// How long ago something was, Docker's `HumanDuration`.
pub(crate) fn ago(seconds: u64) -> String {
    const HOUR: u64 = 3600;
    const DAY: u64 = 24;
    // Hours are rounded, all others are cut.
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        _ if seconds < 60 => format!("{seconds} seconds"),
        _ if seconds < 120 => "About a minute".to_owned(),
        _ if seconds < HOUR => format!("{} minutes", seconds / 60),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 2 * DAY => format!("{hours} hours"),
        _ if hours < 14 * DAY => format!("{} days", hours / DAY),
        _ if hours < 60 * DAY => format!("{} weeks", hours / DAY / 7),
        _ if hours < 730 * DAY => format!("{} months", hours / DAY / 30),
        _ => format!("{} years", seconds / HOUR / DAY / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            ["a".to_owned(), "long cell".to_owned()],
            ["bb".to_owned(), "\u{1b}".to_owned()],
        ];
        let table = layout(["ID", "NAME"], &rows);
        assert_eq!(table, "ID   NAME\na    long cell\nbb   \\u{1b}\n");
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, shown) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1_234_567, "1.23MB"),
            (12_345_678, "12.3MB"),
            (199_900_000, "200MB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        for (bytes, shown) in [(1_234_567, "1.235MB"), (999_960, "1000kB"), (0, "0B")] {
            assert_eq!(reclaimed(bytes), shown);
        }
        for (bytes, shown) in [
            (1023, "1023B"),
            (1_572_864, "1.5MiB"),
            (99_999_999, "95.37MiB"),
        ] {
            assert_eq!(binary_size(bytes), shown);
        }
    }

    #[test]
    fn durations_are_dockers() {
        for (seconds, shown) in [
            (0, "Less than a second"),
            (2, "2 seconds"),
            (90, "About a minute"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (7200, "2 hours"),
            (47 * 3600 + 1800, "2 days"),
            (3 * 86_400, "3 days"),
        ] {
            assert_eq!(ago(seconds), shown);
        }
    }
}
