//! The description of the API in OpenAPI 3.1, made of the table of routes and the schemas below.

use serde_json::{Map, Value, json};

use super::admin::LONGEST_DAYS;
use super::repos::MOST;
use super::table::{ROUTES, Route};
use super::token::{LONGEST_NAME, Scope};
use crate::store::database::RunState;

/// The whole document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            path.insert(route.method.to_owned(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "soopervisor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Watches repositories and runs their pipelines. Times are milliseconds since 1970. Names of a query that \
                            are not listed are ignored.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "soop_…"}},
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".into(), route.id.into());
    operation.insert("summary".into(), route.about.into());
    let security = route.scope.map_or_else(|| json!([]), |scope| json!([{"token": [scope.word()]}]));
    operation.insert("security".into(), security);
    let inside = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = inside.map(|name| json!({"name": name, "in": "path", "required": true, "schema": form(name)}));
    let of_query = route.query.iter().map(|(name, kind, about)| {
        json!({"name": name, "in": "query", "required": false, "description": about, "schema": form(kind)})
    });
    let parameters: Vec<Value> = of_path.chain(of_query).collect();
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = route.body {
        let content = json!({"application/json": {"schema": named(body)}});
        operation.insert("requestBody".into(), json!({"required": true, "content": content}));
    }
    operation.insert("responses".into(), responses(route));
    Value::Object(operation)
}

fn responses(route: &Route) -> Value {
    let (status, answer) = route.answer;
    let mut responses = Map::new();
    let well = match answer {
        "" => json!({"description": "done"}),
        media if media.contains('/') => {
            let content: Map<String, Value> = media.split(", ").map(|media| (media.to_owned(), json!({}))).collect();
            json!({"description": "done", "content": content})
        }
        schema => json!({"description": "done", "content": {"application/json": {"schema": named(schema)}}}),
    };
    responses.insert(status.to_string(), well);
    let mut problems: Vec<(&str, &str)> = vec![];
    if route.body.is_some() || route.path.contains('{') || !route.query.is_empty() {
        problems.push(("400", "the request makes no sense"));
    }
    problems.push(("405", "the path is asked by another method"));
    if route.body.is_some() {
        problems.extend([
            ("408", "the body did not come to its end"),
            ("413", "the body is too long"),
            ("415", "the body is no JSON"),
            ("422", "the JSON is another one"),
        ]);
    }
    if route.scope.is_some() || route.id == "setUp" {
        problems.push(("401", "no token, or none that is good"));
    }
    if route.scope.is_some() {
        problems.push(("403", "the token allows too little"));
    }
    if route.path.contains('{') || route.id == "trigger" || route.id == "listRuns" {
        problems.push(("404", "not there"));
    }
    if route.id == "deleteHandler" {
        problems.push(("409", "it is in the server's file, where it is to be taken out"));
    }
    if route.id == "getLog" {
        problems.push(("503", "too many follow logs now"));
    }
    if route.id == "trigger" {
        problems.push(("502", "the repository cannot be read"));
        problems.push(("503", "the server is told to stop"));
    }
    for (status, about) in problems {
        // What a framework refuses by itself is plain text.
        let content = match status {
            "400" | "413" | "415" | "422" => {
                json!({"application/json": {"schema": named("Problem")}, "text/plain": {}})
            }
            _ => json!({"application/json": {"schema": named("Problem")}}),
        };
        responses.insert(status.to_owned(), json!({"description": about, "content": content}));
    }
    if route.id == "ready" {
        let content = json!({"application/json": {"schema": named("Ready")}});
        responses.insert("503".to_owned(), json!({"description": "not there", "content": content}));
    }
    Value::Object(responses)
}

fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// A value of a kind: a type of JSON, or a word for what we take and nothing else.
fn form(kind: &str) -> Value {
    match kind {
        "id" => json!({"type": "integer", "minimum": 1, "maximum": i64::MAX}),
        "int64" => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": MOST}),
        "days" => json!({"type": "integer", "minimum": 1, "maximum": LONGEST_DAYS}),
        "state" => json!({"type": "string", "enum": RunState::ALL.map(RunState::word)}),
        "source" => json!({"type": "string", "enum": ["file", "api"]}),
        "mode" => json!({"type": "string", "enum": ["sample", "full"]}),
        "scope" => json!({"type": "string", "enum": Scope::ALL.map(Scope::word)}),
        // Begins with something that is seen, and is printable. Written out, because `\s` means something else to each reader.
        "name" => json!({
            "type": "string", "minLength": 1, "maxLength": LONGEST_NAME,
            "pattern": "^[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]\
                        [^\\u0000-\\u001f\\u007f-\\u009f]*$",
        }),
        kind => json!({"type": kind}),
    }
}

/// An object of which every field is there: `name?` may be null, `[x]` is a list of x, a capital is another schema.
fn object(fields: &[(&str, &str)]) -> Value {
    let plain = |kind: &str| match kind {
        kind if kind.starts_with(char::is_uppercase) => named(kind),
        "any" => json!({}),
        kind => form(kind),
    };
    let typed = |kind: &str| match (kind.strip_suffix('?'), kind.strip_prefix('[')) {
        (Some(bare), _) => json!({"type": [bare, "null"]}),
        (None, Some("scope]")) => json!({"type": "array", "items": form("scope"), "minItems": 1}),
        (None, Some(list)) => json!({"type": "array", "items": plain(list.trim_end_matches(']'))}),
        (None, None) => plain(kind),
    };
    let properties: Map<String, Value> = fields.iter().map(|(name, kind)| ((*name).to_owned(), typed(kind))).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// An object that is sent to us: what may be left out, or be null, stands in `optional`.
fn ask(fields: &[(&str, &str)], optional: &[&str]) -> Value {
    let mut schema = object(fields);
    for name in optional {
        let form = schema["properties"][name].take();
        schema["properties"][name] = json!({"anyOf": [form, {"type": "null"}]});
    }
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).filter(|name| !optional.contains(name)).collect();
    schema["required"] = json!(required);
    schema["additionalProperties"] = json!(false);
    schema
}

const RUN: &[(&str, &str)] = &[
    ("id", "integer"),
    ("repo", "string"),
    ("state", "string"),
    ("mode", "string"),
    ("sha", "string"),
    ("ref", "string?"),
    ("event", "integer?"),
    ("priority", "integer"),
    ("epoch", "integer"),
    ("worker", "string?"),
    ("cancel", "boolean"),
    ("failures", "integer"),
    ("created_at", "integer"),
    ("started_at", "integer?"),
    ("ended_at", "integer?"),
    ("exit_code", "integer?"),
    ("summary", "string?"),
    ("superseded_by", "integer?"),
];

const TOKEN: &[(&str, &str)] = &[
    ("id", "integer"),
    ("name", "string"),
    ("scopes", "string"),
    ("created_at", "integer"),
    ("expires_at", "integer"),
    ("used_at", "integer?"),
    ("revoked_at", "integer?"),
];

const REPO: &[(&str, &str)] = &[
    ("id", "integer"),
    ("name", "string"),
    ("url", "string"),
    ("first_seen", "integer?"),
    ("read_at", "integer?"),
    ("changed_at", "integer?"),
    ("hook_at", "integer?"),
    ("failures", "integer"),
    ("fault", "string?"),
];

const EVENT: &[(&str, &str)] = &[
    ("id", "integer"),
    ("kind", "string"),
    ("source", "string"),
    ("repo", "string?"),
    ("ref", "string?"),
    ("before", "string?"),
    ("after", "string?"),
    ("state", "string"),
    ("fault", "string?"),
    ("created_at", "integer"),
];

/// `step` is its place: `0`, `1.2` in a group, `0/on_failure.0`, `always.0`. What it printed is masked, and the end of it.
const EVENT_STEP: &[(&str, &str)] = &[
    ("handler", "string"),
    ("step", "string"),
    ("name", "string?"),
    ("action", "string?"),
    ("status", "string"),
    ("error", "string?"),
    ("output", "string?"),
    ("began_at", "integer"),
    ("ended_at", "integer?"),
    ("elapsed_ms", "integer?"),
];

const STEP: &[(&str, &str)] =
    &[("name", "string"), ("outcome", "string"), ("elapsed_ms", "integer"), ("detail", "string")];

const ATTEMPT: &[(&str, &str)] = &[
    ("epoch", "integer"),
    ("worker", "string"),
    ("started_at", "integer"),
    ("ended_at", "integer?"),
    ("outcome", "string?"),
];

const VERSION: &[(&str, &str)] =
    &[("name", "string"), ("version", "integer"), ("text", "string?"), ("author", "string"), ("created_at", "integer")];

const HANDLER: &[(&str, &str)] = &[
    ("name", "string"),
    ("source", "source"),
    ("version", "integer?"),
    ("text", "string?"),
    ("author", "string?"),
    ("created_at", "integer?"),
];

fn schemas() -> Value {
    let detail: Vec<(&str, &str)> =
        RUN.iter().copied().chain([("steps", "[Step]"), ("attempts", "[Attempt]")]).collect();
    let told: Vec<(&str, &str)> = EVENT.iter().copied().chain([("steps", "[EventStep]")]).collect();
    json!({
        "Problem": object(&[("error", "string"), ("help", "string")]),
        "Ready": object(&[("database", "boolean"), ("disk", "boolean"), ("engine", "boolean?"), ("settings", "[string]"), ("down", "[string]"), ("stopping", "boolean")]),
        "SetUp": ask(&[("token", "string"), ("name", "name")], &["name"]),
        "Repo": object(REPO),
        "RepoList": object(&[("repos", "[Repo]"), ("help", "string?")]),
        "Trigger": ask(&[("repo", "string"), ("ref", "string"), ("mode", "mode")], &["ref", "mode"]),
        "Triggered": object(&[("event", "integer"), ("sha", "string")]),
        "Run": object(RUN),
        "RunList": object(&[("runs", "[Run]")]),
        "RunDetail": object(&detail),
        "Step": object(STEP),
        "Attempt": object(ATTEMPT),
        "Cancelled": object(&[("id", "integer"), ("state", "string")]),
        "Event": object(EVENT),
        "EventList": object(&[("events", "[Event]")]),
        "EventDetail": object(&told),
        "EventStep": object(EVENT_STEP),
        "Token": object(TOKEN),
        "TokenList": object(&[("tokens", "[Token]")]),
        "TokenAsk": ask(&[("name", "name"), ("scopes", "[scope]"), ("days", "days")], &["days"]),
        "NewToken": object(&[("id", "integer"), ("name", "string"), ("token", "string"), ("expires_in_days", "integer")]),
        "AuditEntry": object(&[("at", "integer"), ("actor", "string"), ("verb", "string"), ("target", "string"), ("detail", "string")]),
        "AuditList": object(&[("entries", "[AuditEntry]")]),
        "HandlerAsk": ask(&[("text", "string")], &[]),
        "HandlerVersion": object(VERSION),
        "HandlerVersionList": object(&[("handlers", "[HandlerVersion]")]),
        "Handler": object(HANDLER),
        "HandlerList": object(&[("handlers", "[Handler]")]),
    })
}
