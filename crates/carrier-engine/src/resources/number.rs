//! Sizes, processors and lists of them, as Docker's command line has them.

use super::BadResource;

const SIZES: &str = "sizes are numbers with b, k, m or g behind, such as 512m or 1.5g";

/// Bytes: `64m`, `1.5g`, `1048576`; units are powers of 1024.
///
/// # Errors
/// When it is no size.
pub fn size(text: &str) -> Result<u64, BadResource> {
    let invalid = || BadResource::new(format!("invalid size: {text:?}"), SIZES);
    let number_end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(invalid()),
    };
    let scaled = decimal(number, 1 << (10 * power)).ok_or_else(invalid)?;
    // The kernel counts in numbers of 63 bits.
    if i64::try_from(scaled).is_err() {
        return Err(invalid());
    }
    Ok(scaled)
}

/// Memory and swap together; −1 is without an end.
///
/// # Errors
/// When it is neither a size nor −1.
pub fn swap(text: &str) -> Result<i64, BadResource> {
    if text == "-1" {
        return Ok(-1);
    }
    let bytes = size(text)?;
    i64::try_from(bytes).map_err(|_| BadResource::new(format!("invalid size: {text:?}"), SIZES))
}

/// Processors in thousand-millionths: `1.5` is one and a half.
///
/// # Errors
/// When it is no number.
pub fn cpus(text: &str) -> Result<u64, BadResource> {
    decimal(text, 1_000_000_000).ok_or_else(|| {
        BadResource::new(
            format!("invalid number of processors: {text:?}"),
            "numbers look like 2 or 0.5",
        )
    })
}

/// A decimal number times `unit`, without the error of a floating one.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    // More digits than that make no difference to any unit.
    let digits = fraction.get(..fraction.len().min(18)).unwrap_or_default();
    let parts = if digits.is_empty() {
        0
    } else {
        digits.parse::<u128>().ok()?
    };
    let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let below = u64::try_from(parts * u128::from(unit) / scale).ok()?;
    whole.checked_mul(unit)?.checked_add(below)
}

/// More processors or nodes than any kernel can be built for.
const MOST: u32 = 8192;

/// The numbers of a list such as `0-2,5`.
///
/// # Errors
/// When it is none.
pub fn processor_list(text: &str) -> Result<Vec<u32>, BadResource> {
    let invalid = || BadResource::new(format!("invalid list: {text:?}"), "lists look like 0-2,5");
    let mut numbers = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| invalid());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= MOST {
            return Err(invalid());
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("64m", 64 << 20),
            ("64M", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("512", 512),
            ("512b", 512),
            ("10 k", 10 << 10),
            ("0", 0),
            ("1t", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "", "m", "-1", "1x", "1.2.3", "1e3", "0x10", "9999p", "1mm", ".", " 1", "١m",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn swap_may_be_without_an_end() {
        assert_eq!((swap("-1"), swap("1g")), (Ok(-1), Ok(1 << 30)));
        assert!(swap("-2").is_err() && swap("").is_err());
    }

    #[test]
    fn processors_are_counted_in_parts() {
        for (text, nano) in [
            ("0.5", 500_000_000),
            (".5", 500_000_000),
            ("2", 2_000_000_000),
            ("2.", 2_000_000_000),
            ("0.000000001", 1),
            ("1.333333333333333333333", 1_333_333_333),
        ] {
            assert_eq!(cpus(text), Ok(nano), "{text}");
        }
        for bad in ["", "-1", "1/2", "one", "99999999999999"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_of_numbers_and_ranges() {
        assert_eq!(processor_list("0-2,5"), Ok(vec![0, 1, 2, 5]));
        assert_eq!(processor_list("3,1,1"), Ok(vec![1, 3]));
        for bad in ["", "2-1", "a", "0-", "0-999999999", "1,,2", "-1"] {
            assert!(processor_list(bad).is_err(), "{bad}");
        }
    }
}
