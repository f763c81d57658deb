//! Sizes and durations as people write them: `2g`, `512MiB`, `90s`, `1h30m`.

use std::time::Duration;

/// Why a size or duration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// Not a size.
    #[error("`{0}` is not a size: write a number and a unit, such as `512m`, `2g` or `1.5GiB`")]
    Size(String),
    /// Not a duration.
    #[error("`{0}` is not a duration: write numbers and units, such as `90s`, `15m`, `2h` or `1h30m`")]
    Duration(String),
    /// Nothing at all, where something is needed.
    #[error("`{0}` is zero, which would allow nothing; leave it out for no limit")]
    Zero(String),
    /// More than fits.
    #[error("`{0}` is too large")]
    TooLarge(String),
    /// A number alone, where it decides what is deleted.
    #[error("`{number}` has no unit: write `{number}{}`, `{number}{}` or `{number}{}`", .units[0], .units[1], .units[2])]
    NoUnit {
        /// The number.
        number: String,
        /// Units to choose from.
        units: [&'static str; 3],
    },
    /// Not a number of processors.
    #[error("`{0}` is not a number of processors: write a number above 0, such as `2` or `0.5`")]
    Cpus(String),
}

/// Bytes. Units count in steps of 1024, as Docker's do: `k`, `kb` and `KiB` are the same; a bare number is bytes.
///
/// # Errors
/// When the text is no size, zero, or too large.
pub fn parse_size(text: &str) -> Result<u64, AmountError> {
    let refuse = || AmountError::Size(text.to_owned());
    let trimmed = text.trim();
    let cut = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..cut], trimmed[cut..].trim_start().to_ascii_lowercase());
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(refuse()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && (!digits(part) || power == 0)) {
        return Err(refuse());
    }
    let unit = 1_u128 << (10 * power);
    let too_large = || AmountError::TooLarge(text.to_owned());
    let mut bytes = whole.parse::<u128>().map_err(|_| too_large())?.checked_mul(unit).ok_or_else(too_large)?;
    if !part.is_empty() {
        let part = &part[..part.len().min(18)];
        let scale = 10_u128.pow(u32::try_from(part.len()).map_err(|_| refuse())?);
        bytes += part.parse::<u128>().map_err(|_| refuse())? * unit / scale;
    }
    match u64::try_from(bytes) {
        Ok(0) => Err(AmountError::Zero(text.to_owned())),
        Ok(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes), // engines take signed numbers
        _ => Err(too_large()),
    }
}

/// A time span of `d`, `h`, `m`, `s` and `ms` parts, largest first; a bare number is seconds.
///
/// # Errors
/// When the text is no duration, zero, or too large.
pub fn parse_duration(text: &str) -> Result<Duration, AmountError> {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let refuse = || AmountError::Duration(text.to_owned());
    let too_large = || AmountError::TooLarge(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse());
    }
    let (mut total, mut last) = (0_u64, None);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let letters = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - digits);
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        rest = rest[digits + letters..].trim_start();
        let alone = unit.is_empty() && last.is_none() && rest.is_empty();
        let unit = if alone { "s" } else { unit };
        let rank = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(refuse)?;
        if number.is_empty() || last.is_some_and(|last| rank <= last) {
            return Err(refuse());
        }
        let number = number.parse::<u64>().map_err(|_| too_large())?;
        total = number.checked_mul(UNITS[rank].1).and_then(|ms| total.checked_add(ms)).ok_or_else(too_large)?;
        last = Some(rank);
    }
    if total == 0 { Err(AmountError::Zero(text.to_owned())) } else { Ok(Duration::from_millis(total)) }
}

/// A duration that decides what is deleted: a number other than 0 needs its unit, for whoever leaves it out means days
/// or hours, and seconds would delete nearly everything.
///
/// # Errors
/// As [`parse_duration`], and for a number alone.
pub fn parse_age(text: &str) -> Result<Duration, AmountError> {
    with_unit(text, ["d", "h", "m"])?;
    parse_duration(text)
}

/// A size that decides what is deleted: a number other than 0 needs its unit, as in [`parse_age`].
///
/// # Errors
/// As [`parse_size`], and for a number alone.
pub fn parse_room(text: &str) -> Result<u64, AmountError> {
    with_unit(text, ["GB", "MB", "TB"])?;
    parse_size(text)
}

fn with_unit(text: &str, units: [&'static str; 3]) -> Result<(), AmountError> {
    let number = text.trim();
    let alone = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if alone && number.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        return Err(AmountError::NoUnit { number: number.to_owned(), units });
    }
    Ok(())
}

/// A number of processors.
///
/// # Errors
/// When it is no number, or not above 0.
pub fn parse_cpus(text: &str) -> Result<f64, AmountError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(cpus) if plain && (0.01..=1e6).contains(&cpus) => Ok(cpus),
        _ => Err(AmountError::Cpus(text.to_owned())),
    }
}

/// `1.5 GiB`: the largest unit that leaves a number above 1, one decimal. For limits, as they are written.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power = (1..UNITS.len()).rev().find(|power| bytes >= 1 << (10 * power)).unwrap_or(0);
    let unit = 1_u128 << (10 * power);
    let tenths = u128::from(bytes) * 10 / unit;
    match tenths % 10 {
        _ if bytes == 1 => "1 byte".to_owned(),
        0 => format!("{} {}", tenths / 10, UNITS[power]),
        part => format!("{}.{part} {}", tenths / 10, UNITS[power]),
    }
}

/// `17 B`, `3.1 kB`, `2.0 GB`: decimal units, as storage services show them. For all that is measured: what files have, what
/// is free, what is needed.
pub fn decimal(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 file`, `2 files`.
pub fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// `1h30m`.
pub fn show_duration(span: Duration) -> String {
    let mut rest = span.as_millis();
    let mut parts = Vec::new();
    for (name, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= size {
            parts.push(format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_as_docker_does() {
        for (text, bytes) in [
            ("2g", 2 << 30),
            ("512MiB", 512 << 20),
            ("512 mb", 512 << 20),
            ("1.5G", 3 << 29),
            ("1024", 1024),
            ("100b", 100),
            ("0.5k", 512),
            ("1t", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "g", "2x", "-1g", "1..5g", "1.g", ".5g", "1.5", "2 g b", "1e3", "٣g", "2g!"] {
            assert_eq!(parse_size(text), Err(AmountError::Size(text.into())), "{text}");
        }
        assert_eq!(parse_size("0g"), Err(AmountError::Zero("0g".into())));
        for text in ["99999999999999999999999999999999999999999g", "8388608t", "99999999t"] {
            assert_eq!(parse_size(text), Err(AmountError::TooLarge(text.into())), "{text}");
        }
    }

    #[test]
    fn reads_durations_in_parts() {
        for (text, seconds) in
            [("90s", 90), ("2h", 7200), ("1h30m", 5400), ("1h 30m 5s", 5405), ("45", 45), ("1d", 86_400)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("1s500ms"), Ok(Duration::from_millis(1500)));
        for text in ["", " ", "h", "2x", "30m1h", "1h1h", "1h30", "-5s", "1.5h", "5 5", "2H", "1é"] {
            assert_eq!(parse_duration(text), Err(AmountError::Duration(text.into())), "{text}");
        }
        assert_eq!(parse_duration("0s"), Err(AmountError::Zero("0s".into())));
        assert_eq!(parse_duration("999999999999999d"), Err(AmountError::TooLarge("999999999999999d".into())));
    }

    #[test]
    fn what_decides_about_deletion_needs_its_unit() {
        assert_eq!(parse_age("5d"), Ok(Duration::from_hours(120)));
        assert_eq!(parse_room("20GB"), Ok(20 << 30));
        assert_eq!(parse_age(" 5 ").unwrap_err().to_string(), "`5` has no unit: write `5d`, `5h` or `5m`");
        assert_eq!(parse_room("20").unwrap_err().to_string(), "`20` has no unit: write `20GB`, `20MB` or `20TB`");
        assert!(matches!(parse_room("1.5"), Err(AmountError::NoUnit { .. })));
        for zero in ["0", "00"] {
            assert_eq!(parse_age(zero), Err(AmountError::Zero(zero.into())));
            assert_eq!(parse_room(zero), Err(AmountError::Zero(zero.into())));
        }
        for text in ["", "soon", "5x"] {
            assert_eq!(parse_age(text), Err(AmountError::Duration(text.into())));
            assert_eq!(parse_room(text), Err(AmountError::Size(text.into())));
        }
    }

    #[test]
    fn reads_processors() {
        assert_eq!(parse_cpus("0.5"), Ok(0.5));
        for text in ["", "0", "-1", "two", "nan", "inf", "1e3", "+1"] {
            assert_eq!(parse_cpus(text), Err(AmountError::Cpus(text.into())), "{text}");
        }
    }

    #[test]
    fn shows_what_it_reads() {
        assert_eq!(show_size(3 << 29), "1.5 GiB");
        assert_eq!(show_size(1023), "1023 bytes");
        assert_eq!(show_size(2 << 20), "2 MiB");
        assert_eq!(show_duration(Duration::from_secs(5405)), "1h30m5s");
    }
}
