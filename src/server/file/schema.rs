//! The JSON Schema of the server's file, for editors; made from the tables that the reader uses.

use serde_json::{Map, Value, json};

use super::form::{Form, Table};
use super::table::FILE;
use crate::server::action::Verb;
use crate::server::handler::table::{HANDLER, STEP};

/// The schema (draft 2020-12).
pub fn document() -> Value {
    let mut schema = table(&FILE);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    // A name and no address: nobody serves it, and editors are told of the file beside the example.
    schema["$id"] = "urn:soopervisor:server".into();
    schema["title"] = "soopervisor's server".into();
    schema["properties"]["handlers"]["items"] = json!({"$ref": "#/$defs/handler"});
    schema["properties"]["handlers"]["type"] = "array".into();
    let mut handler = table(&HANDLER);
    for key in ["do", "on_success", "on_failure", "always"] {
        handler["properties"][key] = steps("step", &handler["properties"][key]["description"].take());
    }
    schema["$defs"] = json!({"handler": handler, "step": step(Level::Step), "member": step(Level::Member), "callback": step(Level::Callback)});
    for verb in Verb::ALL {
        schema["$defs"][verb.name()] = table(verb.arguments());
    }
    schema
}

fn steps(definition: &str, about: &Value) -> Value {
    let item = json!({"$ref": format!("#/$defs/{definition}")});
    json!({"description": about, "anyOf": [item, {"type": "array", "items": item}]})
}

/// Where a step stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// In `do`: it may be a group, and has callbacks.
    Step,
    /// In a group: it has callbacks.
    Member,
    /// It is a callback.
    Callback,
}

/// A step is one action, or several at once, and what goes with it.
fn step(level: Level) -> Value {
    let mut schema = table(&STEP);
    let mut words = Vec::new();
    for verb in Verb::ALL {
        schema["properties"][verb.name()] = json!({"$ref": format!("#/$defs/{}", verb.name())});
        words.push(json!({"required": [verb.name()]}));
    }
    if level == Level::Step {
        schema["properties"]["parallel"]["items"] = json!({"$ref": "#/$defs/member"});
        schema["properties"]["parallel"]["type"] = "array".into();
        words.push(json!({"required": ["parallel"]}));
    }
    for key in ["before", "on_success", "on_failure", "always"] {
        schema["properties"][key] = steps("callback", &schema["properties"][key]["description"].take());
    }
    let gone: &[&str] = match level {
        Level::Step => &[],
        Level::Member => &["parallel"],
        Level::Callback => &["parallel", "before", "on_success", "on_failure", "always"],
    };
    if let Some(properties) = schema["properties"].as_object_mut() {
        for key in gone {
            properties.shift_remove(*key);
        }
    }
    schema["oneOf"] = words.into();
    schema
}

fn table(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        let mut schema = form(&key.form);
        schema["description"] = key.about.into();
        properties.insert(key.name.to_owned(), schema);
    }
    let required: Vec<&str> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn form(form: &Form) -> Value {
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern});
    match form {
        Form::Text | Form::Script | Form::Glob | Form::Cron | Form::Zone => json!({"type": "string", "minLength": 1}),
        Form::Template | Form::Markdown | Form::Message | Form::Address => {
            json!({"type": ["string", "number", "boolean"]})
        }
        Form::Name => text("^[A-Za-z0-9._/-]+$"),
        Form::Flag => json!({"type": "boolean"}),
        Form::Count(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Form::Duration => json!({"anyOf": [text("^ *([0-9]+ *(d|h|m|s|ms) *)+$"), {"type": "integer", "minimum": 1}]}),
        Form::Size => {
            json!({"anyOf": [text("^ *[0-9]+(\\.[0-9]+)? *([kKmMgGtT]?(i?[bB])?) *$"), {"type": "integer", "minimum": 1}]})
        }
        Form::Choice(words) => json!({"enum": words}),
        Form::Secret => text("^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"),
        Form::Url(schemes) => text(&format!("^({})://", schemes.join("|"))),
        Form::Repository => text("^((https?|ssh|file)://|[^@/]+@[^:]+:)"),
        Form::Bind => text(":[0-9]+$"),
        Form::Mail => text("^[^@ ]+@[^@ ]+$"),
        Form::Json => json!({}),
        Form::List(item) => {
            let item = self::form(item);
            json!({"anyOf": [item, {"type": "array", "items": item}]})
        }
        Form::Map(item) => json!({"type": "object", "additionalProperties": self::form(item)}),
        Form::Object(inner) => table(inner),
        Form::WordOr(word, other) => json!({"anyOf": [{"const": word}, self::form(other)]}),
    }
}
