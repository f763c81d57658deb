//! Numbers as files write them, and how far one is from another.

use std::fmt;

use serde::{Serialize, Serializer};

/// As a part of the number; below it nobody wants to hear of a difference between two floats.
const ROUNDING: f64 = 1e-9;

/// A number. Whole ones keep every digit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i128),
    /// Any other, `NaN` and the infinities included.
    Real(f64),
}

impl Number {
    /// A number as text; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Whole).ok().or_else(|| text.parse().map(Self::Real).ok());
        }
        // `inf`, `nan` and `infinity` are what numpy and pandas write; other words that Rust knows there are none.
        text.parse().map(Self::Real).ok()
    }

    /// As far as a float has it.
    #[expect(clippy::cast_precision_loss, reason = "only for differences, which people read to four digits")]
    pub fn value(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }

    /// Whether both are the same number; `NaN` is itself here.
    pub fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a == b,
            (a, b) => {
                let (a, b) = (a.value(), b.value());
                a.total_cmp(&b).is_eq() || (a.is_nan() && b.is_nan()) || (a - b == 0.0)
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) if number.is_nan() => f.write_str("NaN"),
            Self::Real(number) if number.is_infinite() => {
                f.write_str(if *number > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Self::Real(number) if *number != 0.0 && !(1e-5..1e16).contains(&number.abs()) => write!(f, "{number:e}"),
            Self::Real(number) => write!(f, "{number:?}"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(number) => match i64::try_from(*number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_str(&number.to_string()),
            },
            Self::Real(number) if number.is_finite() => serializer.serialize_f64(*number),
            // JSON has no word for these.
            other @ Self::Real(_) => serializer.collect_str(other),
        }
    }
}

/// How far a number moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Move {
    /// New less old; `None` where a side is not finite.
    pub delta: Option<f64>,
    /// That as a part of the old one; `None` also where the old one is 0.
    pub relative: Option<f64>,
}

impl Move {
    /// From one number to another.
    pub fn between(before: Number, after: Number) -> Self {
        let (old, new) = (before.value(), after.value());
        let delta = Some(new - old).filter(|delta| delta.is_finite());
        let relative = delta.filter(|_| old != 0.0).map(|delta| delta / old.abs()).filter(|part| part.is_finite());
        Self { delta, relative }
    }

    /// Whether it is no more than what another order of additions, or another processor, leaves: what Python's
    /// `math.isclose` takes for equal.
    pub fn is_rounding(self) -> bool {
        self.relative.is_some_and(|part| part != 0.0 && part.abs() <= ROUNDING)
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(delta) = self.delta else { return Ok(()) };
        let sign = if delta < 0.0 { "-" } else { "+" };
        write!(f, "{sign}{}", short(delta.abs()))?;
        if self.is_rounding() {
            return f.write_str(" (rounding)");
        }
        match self.relative.map(|part| part * 100.0) {
            Some(percent) if percent.abs() >= 10_000.0 => write!(f, " (×{})", short(1.0 + percent / 100.0)),
            Some(percent) if percent.abs() >= 0.005 => {
                let digits = if percent.abs() < 10.0 { 2 } else { 1 };
                write!(f, " ({percent:+.digits$} %)")
            }
            _ => Ok(()),
        }
    }
}

/// A number to four significant digits, without an end of zeros.
pub fn short(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return Number::Real(number).to_string().trim_end_matches(".0").to_owned();
    }
    let magnitude = number.abs().log10().floor();
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{number:.3e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8")]
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_pandas_and_json_write_them() {
        for (text, number) in [
            ("3", Some(Number::Whole(3))),
            ("-3", Some(Number::Whole(-3))),
            ("3.5", Some(Number::Real(3.5))),
            (" 1e-3 ", Some(Number::Real(0.001))),
            ("inf", Some(Number::Real(f64::INFINITY))),
            ("-Infinity", Some(Number::Real(f64::NEG_INFINITY))),
            ("", None),
            ("-", None),
            ("3 kg", None),
            ("0x10", None),
        ] {
            assert_eq!(Number::parse(text), number, "{text:?}");
        }
        assert!(Number::parse("nan").unwrap().same(Number::parse("NaN").unwrap()));
    }

    #[test]
    fn numbers_of_one_value_are_the_same_and_long_ones_are_not_confused() {
        let same = |a: &str, b: &str| Number::parse(a).unwrap().same(Number::parse(b).unwrap());
        assert!(same("1", "1.0") && same("1e2", "100.0") && same("0.0", "-0.0"));
        assert!(!same("9007199254740993", "9007199254740992"), "both are one float");
        assert!(!same("1", "2"));
    }

    #[test]
    fn a_move_says_how_far_and_which_part() {
        let told = |a: &str, b: &str| Move::between(Number::parse(a).unwrap(), Number::parse(b).unwrap()).to_string();
        assert_eq!(told("0.912", "0.934"), "+0.022 (+2.41 %)");
        assert_eq!(told("120", "60"), "-60 (-50.0 %)");
        assert_eq!(told("0", "3"), "+3");
        assert_eq!(told("-2", "-1"), "+1 (+50.0 %)");
        assert_eq!(told("1", "NaN"), "");
        assert_eq!(told("inf", "1"), "");
        assert_eq!(told("1", "1001"), "+1000 (×1001)");
        assert_eq!(told("1000000", "1000001"), "+1");
        assert_eq!(told("0.3", "0.30000000000000004"), "+5.551e-17 (rounding)");
        assert_eq!(told("0", "1e-17"), "+1.000e-17");
    }

    #[test]
    fn short_numbers_keep_four_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.022_000_01, "0.022"),
            (1234.567, "1235"),
            (1_234_567.0, "1234567"),
            (0.000_001_234_5, "1.234e-6"),
            (2e20, "2.000e20"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(short(number), text);
        }
    }
}
