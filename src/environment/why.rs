//! Why an environment has its key: the inputs behind it, and in what two sets of inputs differ.
//!
//! Pure. Knows the inputs as a JSON document, whatever is in it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{Config, EnvironmentError, Inputs, Store};

/// One input that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which: `pip`, `specs`, `variables`.
    pub input: String,
    /// What only the wanted environment has.
    pub added: Vec<String>,
    /// What only the one that exists has.
    pub removed: Vec<String>,
}

/// What is known about the environment of a project.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its key.
    pub key: String,
    /// What the key is made from.
    pub inputs: Value,
    /// Whether it is built.
    pub exists: bool,
    /// Where it is not: the most similar one that is, and what differs.
    pub nearest: Option<(String, Vec<Difference>)>,
}

impl Store {
    /// Whether these inputs have an environment, and if not, in what they differ from the nearest one. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn judge(&self, inputs: &Inputs, config: &Config) -> Result<Verdict, EnvironmentError> {
        let (key, wanted) = (inputs.key(config).to_string(), inputs.material(config));
        let (existing, _) = self.documents()?;
        let exists = existing.iter().any(|(found, _)| found.split('@').next() == Some(&key));
        let compared = existing.into_iter().filter(|_| !exists).map(|(key, document)| {
            let found = differences(&wanted, &document["inputs"]);
            (key, found)
        });
        let weight = |found: &[Difference]| found.iter().map(|one| one.added.len() + one.removed.len()).sum::<usize>();
        let nearest = compared.min_by_key(|(_, found)| weight(found));
        Ok(Verdict { key, inputs: wanted, exists, nearest })
    }

    /// Keys that begin with these letters, and what each was made from.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn inputs_of(&self, beginning: &str) -> Result<Vec<(String, Value)>, EnvironmentError> {
        let fits = self.documents()?.0.into_iter().filter(|(key, _)| key.starts_with(beginning));
        Ok(fits.map(|(key, document)| (key, document["inputs"].clone())).collect())
    }
}

impl Verdict {
    /// Where nothing was ever built.
    pub fn unbuilt(inputs: &Inputs, config: &Config) -> Self {
        let (key, inputs) = (inputs.key(config).to_string(), inputs.material(config));
        Self { key, inputs, exists: false, nearest: None }
    }
}

/// Input by input; the order within a list counts where it counts for the key, and is shown as a change then.
pub(super) fn differences(wanted: &Value, existing: &Value) -> Vec<Difference> {
    let maps = [wanted, existing].into_iter().filter_map(Value::as_object);
    let all: BTreeSet<String> = maps.flat_map(|map| map.keys().cloned()).collect();
    let differing = all.into_iter().filter(|name| wanted[name.as_str()] != existing[name.as_str()]);
    differing
        .map(|input| {
            let (ours, theirs) = (rows(&wanted[input.as_str()]), rows(&existing[input.as_str()]));
            let only = |a: &[String], b: &[String]| a.iter().filter(|row| !b.contains(row)).cloned().collect();
            let (mut added, mut removed): (Vec<String>, Vec<String>) = (only(&ours, &theirs), only(&theirs, &ours));
            if added.is_empty() && removed.is_empty() {
                (added, removed) = (vec![ours.join(", ")], vec![theirs.join(", ")]);
            }
            Difference { input, added, removed }
        })
        .collect()
}

/// A value as lines for people.
pub fn rows(value: &Value) -> Vec<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(pairs) => pairs.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect(),
        other => vec![plain(other)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_was_added_and_what_is_gone_input_by_input() {
        let wanted = json!({"pip": ["a==2", "b"], "specs": ["python 3.11.*"], "variables": {"X": "1"}, "layout": 2});
        let existing = json!({"pip": ["a==1", "b"], "specs": ["python 3.11.*"], "variables": {}, "layout": 1});
        let difference = |input: &str, added: &[&str], removed: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            Difference { input: input.to_owned(), added: owned(added), removed: owned(removed) }
        };
        let expected = [
            difference("layout", &["2"], &["1"]),
            difference("pip", &["a==2"], &["a==1"]),
            difference("variables", &["X=1"], &[]),
        ];
        assert_eq!(differences(&wanted, &existing), expected);
        assert_eq!(differences(&wanted, &wanted), []);
    }

    #[test]
    fn another_order_and_a_new_kind_of_input_are_differences() {
        let found = differences(&json!({"channels": ["a", "b"]}), &json!({"channels": ["b", "a"], "old": 1}));
        assert_eq!((found[0].added[0].as_str(), found[0].removed[0].as_str()), ("a, b", "b, a"));
        assert_eq!((found[1].input.as_str(), found[1].removed.as_slice()), ("old", &["1".to_owned()][..]));
    }
}
