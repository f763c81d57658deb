//! A judge of JSON by schema: exactly the words that GitHub's descriptions use here; any other word is a panic, so that
//! nothing is overlooked. A validator of others agrees with it (`tests/forge/judges.rs`).

use serde_json::Value;

/// Words about a schema that decide nothing.
const SILENT: [&str; 1] = ["components"];

pub struct Schema<'a> {
    pub components: &'a Value,
}

impl Schema<'_> {
    /// Everything that is wrong, with its place.
    pub fn judge(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let members = match schema {
            Value::Bool(true) => return Vec::new(),
            Value::Object(members) => members,
            other => panic!("{at}: {other} is no schema"),
        };
        let mut wrong = Vec::new();
        for (word, with) in members {
            match word.as_str() {
                "$ref" => {
                    let name = with.as_str().unwrap().rsplit('/').next().unwrap();
                    wrong.extend(self.judge(&self.components["schemas"][name], value, at));
                }
                "type" => wrong.extend(kind(with, value, at)),
                "enum" if !with.as_array().unwrap().contains(value) => {
                    wrong.push(format!("{at}: {value} is none of {with}"));
                }
                "properties" | "required" | "additionalProperties" | "maxProperties" => {
                    wrong.extend(self.members(word, with, members, value, at));
                }
                "items" => {
                    for (place, entry) in value.as_array().into_iter().flatten().enumerate() {
                        wrong.extend(self.judge(with, entry, &format!("{at}/{place}")));
                    }
                }
                "allOf" | "anyOf" | "oneOf" => wrong.extend(self.several(word, with, value, at)),
                "maxLength" | "minLength" | "maxItems" | "minItems" => wrong.extend(size(word, with, value, at)),
                "format" => wrong.extend(format(with, value, at)),
                "enum" => {}
                other => assert!(SILENT.contains(&other), "{at}: the word `{other}` is not understood"),
            }
        }
        wrong
    }

    fn members(
        &self,
        word: &str,
        with: &Value,
        schema: &serde_json::Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let Some(object) = value.as_object() else { return Vec::new() };
        let known = |name: &str| schema.get("properties").is_some_and(|known| known.get(name).is_some());
        let mut wrong = Vec::new();
        match (word, with) {
            ("required", Value::Array(names)) => {
                let missing = names.iter().filter_map(Value::as_str).filter(|name| !object.contains_key(*name));
                wrong.extend(missing.map(|name| format!("{at}: `{name}` is missing")));
            }
            ("properties", Value::Object(wanted)) => {
                for (name, schema) in wanted {
                    if let Some(value) = object.get(name) {
                        wrong.extend(self.judge(schema, value, &format!("{at}/{name}")));
                    }
                }
            }
            ("additionalProperties", Value::Bool(true)) => {}
            ("additionalProperties", Value::Bool(false)) => {
                let more = object.keys().filter(|name| !known(name));
                wrong.extend(more.map(|name| format!("{at}: `{name}` is not known")));
            }
            ("additionalProperties", schema) => {
                for (name, value) in object.iter().filter(|(name, _)| !known(name)) {
                    wrong.extend(self.judge(schema, value, &format!("{at}/{name}")));
                }
            }
            ("maxProperties", most) if object.len() as u64 > most.as_u64().unwrap() => {
                wrong.push(format!("{at}: too many members"));
            }
            _ => {}
        }
        wrong
    }

    fn several(&self, word: &str, with: &Value, value: &Value, at: &str) -> Vec<String> {
        let judged: Vec<Vec<String>> =
            with.as_array().unwrap().iter().map(|schema| self.judge(schema, value, at)).collect();
        let fitting = judged.iter().filter(|wrong| wrong.is_empty()).count();
        match word {
            "allOf" => judged.concat(),
            "anyOf" if fitting == 0 => vec![format!("{at}: fits none: {}", judged.concat().join(", "))],
            "oneOf" if fitting != 1 => vec![format!("{at}: fits {fitting} of several: {}", judged.concat().join(", "))],
            _ => Vec::new(),
        }
    }
}

fn kind(with: &Value, value: &Value, at: &str) -> Option<String> {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{at}: no type is called {other}"),
    };
    let fits = match with {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        other => panic!("{at}: {other} names no type"),
    };
    (!fits).then(|| format!("{at}: {} is no {with}", value.to_string().chars().take(80).collect::<String>()))
}

fn size(word: &str, with: &Value, value: &Value, at: &str) -> Option<String> {
    let most = with.as_u64().unwrap();
    let length = match (value, word) {
        (Value::String(text), "maxLength" | "minLength") => text.chars().count() as u64,
        (Value::Array(entries), "maxItems" | "minItems") => entries.len() as u64,
        _ => return None,
    };
    let fits = if word.starts_with("max") { length <= most } else { length >= most };
    (!fits).then(|| format!("{at}: {length} against {word} {most}"))
}

fn format(with: &Value, value: &Value, at: &str) -> Option<String> {
    let text = value.as_str()?;
    let fits = match with.as_str().unwrap() {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        // Some are templates.
        "uri" => text.contains('{') || url::Url::parse(text).is_ok(),
        other => panic!("{at}: no format is called {other}"),
    };
    (!fits).then(|| format!("{at}: `{text}` is no {with}"))
}
