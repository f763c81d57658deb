//! GitHub's description of its API, as far as it was vendored (`scripts/github.py`): shapes to answer with, and a judge.

use std::path::Path;

use serde_json::Value;

use super::schema::Schema;

pub struct Described {
    document: Value,
}

/// A document that was vendored from GitHub.
pub fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/github").join(name);
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

impl Described {
    pub fn vendored() -> Self {
        Self { document: fixture("openapi.json") }
    }

    fn operation(&self, path: &str, method: &str) -> &Value {
        let found = &self.document["paths"][path][method];
        assert!(found.is_object(), "{method} {path} is not described: add it to scripts/github.py");
        found
    }

    /// GitHub's own example of an answer; of a list, its first entry.
    pub fn example(&self, path: &str, method: &str, status: u16) -> Value {
        let found = self.operation(path, method)["responses"][status.to_string()]["example"].clone();
        assert!(!found.is_null(), "{method} {path} {status} has no example");
        match found {
            Value::Array(mut entries) => entries.remove(0),
            found => found,
        }
    }

    /// What is wrong with an answer.
    pub fn judge_answer(&self, path: &str, method: &str, status: u16, body: &Value) -> Result<(), String> {
        let answers = &self.operation(path, method)["responses"][status.to_string()];
        if answers.is_null() {
            return Err(format!("{method} {path}: {status} is not described"));
        }
        self.judge(&format!("{method} {path} {status}"), &answers["schema"], body)
    }

    /// What is wrong with a refusal at a place of this path; where none is described, with one of GitHub's usual ones.
    pub fn judge_refusal(&self, parts: &[&str], method: &str, status: u16, body: &Value) -> Result<(), String> {
        let fits = |path: &str| {
            let known: Vec<&str> = path.trim_matches('/').split('/').collect();
            known.len() == parts.len()
                && known.iter().zip(parts).all(|(known, part)| known == part || known.starts_with('{'))
        };
        let paths = self.document["paths"].as_object().unwrap();
        let operations = paths.iter().filter(|(path, _)| fits(path)).map(|(path, methods)| (path, &methods[method]));
        for (path, operation) in operations {
            let schema = &operation["responses"][status.to_string()]["schema"];
            if !schema.is_null() {
                return self.judge(&format!("{method} {path} {status}"), schema, body);
            }
        }
        self.judge_error(body)
    }

    /// What is wrong with a refusal as GitHub has them anywhere.
    pub fn judge_error(&self, body: &Value) -> Result<(), String> {
        let usual = &self.document["components"]["schemas"]["basic-error"];
        assert!(usual.is_object(), "GitHub's errors are not described: run scripts/github.py");
        self.judge("an error", usual, body)
    }

    /// What is wrong with a request's body.
    pub fn judge_request(&self, path: &str, method: &str, body: &Value) -> Result<(), String> {
        self.judge(&format!("{method} {path}, asked"), &self.operation(path, method)["request"], body)
    }

    fn judge(&self, name: &str, schema: &Value, body: &Value) -> Result<(), String> {
        if schema.is_null() {
            return if body.is_null() { Ok(()) } else { Err(format!("{name}: no body is described")) };
        }
        let wrong = Schema { components: &self.document["components"] }.judge(schema, body, "");
        if wrong.is_empty() { Ok(()) } else { Err(format!("{name}: {}", wrong.join("; "))) }
    }
}

/// What is wrong with a webhook's payload.
pub fn judge_webhook(name: &str, payload: &Value) -> Vec<String> {
    let document = fixture("webhooks.json");
    let schema = &document["webhooks"][name];
    assert!(schema.is_object(), "{name} is not described: add it to scripts/github.py");
    Schema { components: &document["components"] }.judge(schema, payload, "")
}
