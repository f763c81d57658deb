//! Numbers as services write them: as numbers, with a fraction that says nothing, or as text.

use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// A number that is not below zero, however it is written; `None` where it is none.
pub fn number(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not below zero, and cut at the most")]
    let whole = |number: f64| (number >= 0.0).then_some(number as u64);
    let text = || value.as_str().map(str::trim);
    let read = || text()?.parse().ok().or_else(|| whole(text()?.parse().ok()?));
    value.as_u64().or_else(|| value.as_f64().and_then(whole)).or_else(read)
}

/// For fields that hold such a number, or nothing that is one.
///
/// # Errors
/// When it is no JSON.
pub fn number_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(number(&Value::deserialize(deserializer)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_however_they_are_written() {
        for value in [json!(3600), json!(3600.0), json!("3600"), json!(" 3600 "), json!("3600.0")] {
            assert_eq!(number(&value), Some(3600), "{value}");
        }
        for value in [json!(null), json!(-1), json!("soon"), json!(""), json!([1]), json!("NaN")] {
            assert_eq!(number(&value), None, "{value}");
        }
    }
}
