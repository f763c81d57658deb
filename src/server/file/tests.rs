//! The server's file: what it means, what is refused and where, and that schema and reader agree.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Commits, File, FirstSight, Poll, Reference, parse, schema};
use crate::diag::{Diagnostic, render};
use crate::server::event::Kind;

fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server/server.yaml")).unwrap()
}

fn read(text: &str) -> File {
    let (file, found) = parse("server.yaml", text.as_bytes());
    file.unwrap_or_else(|| panic!("{text}\n{}", shown(&found)))
}

fn shown(found: &[Diagnostic]) -> String {
    render::human(found, render::Style { color: false, unicode: true, width: 100 })
}

#[test]
fn the_example_is_read_whole() {
    let file = read(&example());
    let churn = file.repo("acme/churn").unwrap();
    assert!(churn.watches_branch("feat/x") && churn.watches_branch("main") && !churn.watches_branch("dev"));
    assert!(churn.watches_tag("v1") && !churn.watches_tag("x"));
    assert_eq!(churn.poll, Poll::Every(Duration::from_mins(1)));
    assert_eq!((churn.commits, churn.on_first_seen, churn.concurrency), (Commits::Latest, FirstSight::Record, 1));
    assert_eq!(
        file.dependents("acme/churn").iter().map(|repo| repo.name.as_str()).collect::<Vec<_>>(),
        ["acme/report"]
    );
    assert_eq!(file.secrets["DEPLOY_TOKEN"], Reference::Env("DEPLOY_TOKEN".to_owned()));
    assert_eq!(file.notify["team"].mail, ["team@acme.example"]);
    assert_eq!(file.notify["team"].chats["slack"], Reference::Env("SLACK_WEBHOOK".to_owned()));
    assert_eq!(file.handlers.len(), 5);
    assert_eq!(file.handlers[0].on, [Kind::Push]);
    assert_eq!(file.server.public_url.as_deref(), Some("https://ci.acme.example"));
}

#[test]
fn an_empty_file_is_none_and_one_without_repositories_says_so() {
    for text in ["", "\n", "# later\n", "---\n", "~\n"] {
        let (file, found) = parse("server.yaml", text.as_bytes());
        assert!(file.is_none() && found.iter().any(|one| one.code == "server/empty"), "{text:?}");
    }
    assert_eq!(read("repos:\nhandlers: []\n"), File::default());
}

/// The lines and columns of what is wrong, with its code and its help.
fn wrong(text: &str) -> Vec<String> {
    let found = parse("server.yaml", text.as_bytes()).1;
    let line = |one: &Diagnostic| {
        let (line, column) = one.line_column().unwrap();
        format!("{line}:{column} {} {}", one.code, one.help.as_deref().unwrap_or_default())
    };
    found.iter().map(line).collect()
}

#[test]
fn names_of_repositories_that_are_not_there_are_told_with_those_that_are() {
    let two = "repos:\n  - url: https://h/acme/one\n  - url: https://h/acme/two\n    dependents: [acme/oen, acme/*]\n";
    assert_eq!(wrong(two), ["4:18 server/reference did you mean `acme/one`?"]);
    let handler =
        |body: &str| format!("repos: [{{url: 'https://h/acme/one'}}]\nhandlers:\n  - name: x\n    on: push\n{body}");
    for body in ["    repos: [acme/oen]\n    do: [{log: {text: x}}]\n", "    do: [{trigger: {repos: acme/oen}}]\n"] {
        let found = wrong(&handler(body));
        assert!(found.len() == 1 && found[0].ends_with("server/reference did you mean `acme/one`?"), "{found:?}");
    }
    assert!(wrong(&handler("    repos: [acme/one, later/*]\n    do: [{trigger: {repos: dependents}}]\n")).is_empty());
}

#[test]
fn a_name_of_a_section_that_has_none_is_told_where_to_write_it() {
    let repo = |more: &str| format!("repos: [{{url: 'https://h/a/b', {more}}}]\n");
    for (text, section) in [(repo("credential: c"), "credentials"), (repo("secrets: [S]"), "secrets")] {
        let said = wrong(&text);
        assert!(said.len() == 1 && said[0].contains(&format!("add it to `{section}`")), "{said:?}");
    }
    let said = wrong(&format!("credentials: {{d: {{token: env:D}}}}\n{}", repo("credential: x")));
    assert!(said.len() == 1 && said[0].ends_with("known here: `d`"), "{said:?}");
}

#[test]
fn a_repository_is_not_read_more_often_than_every_second() {
    let repo = |poll: &str| format!("repos: [{{url: 'https://h/a/b', poll: {poll}}}]\n");
    for poll in ["1ms", "999ms"] {
        let said = wrong(&repo(poll));
        assert!(said.len() == 1 && said[0].starts_with("1:38 server/value write `poll: 1s`"), "{said:?}");
    }
    for poll in ["1s", "1000ms", "off"] {
        assert_eq!(wrong(&repo(poll)), [""; 0], "{poll}");
    }
}

#[test]
fn what_would_fail_at_each_run_is_told_when_the_file_is_read() {
    let step = |step: &str| format!("handlers:\n  - name: x\n    on: push\n    do: {step}\n");
    for text in [
        step("[]"),
        step("[{http: {url: 'ftp://x'}}]"),
        step("[{http: {url: not a url}}]"),
        step("[{http: {url: 'https://h', headers: {'a b': c}}}]"),
        step("[{http: {url: 'https://h', headers: {A: \"b\\nc\"}}}]"),
        "repos: [{url: 'https://h/a/b', name: ../../x}]".to_owned(),
        "repos: [{url: 'https://h/a/b', name: a/b/c/../d}]".to_owned(),
        "repos: [{url: 'https://h/a/b', storage: 's3://k:hunter2secret@b'}]".to_owned(),
        "repos: []\nhandlers: []\nrepos: []\n".to_owned(),
    ] {
        let (file, found) = parse("server.yaml", text.as_bytes());
        assert!(file.is_none() && found.len() == 1, "{text}\n{}", shown(&found));
        assert!(found[0].line_column().is_some() && !shown(&found).contains("hunter2secret"), "{}", shown(&found));
    }
    for text in [
        step("[{http: {url: 'https://h/{{ event.branch }}', headers: {A: '{{ event.branch }}', X-Y: z}}}]"),
        step("[{http: {url: '{{ event.branch }}'}}]"),
    ] {
        assert_eq!(wrong(&text), [""; 0], "{text}");
    }
    assert!(wrong("repos: [{url: 'https://h/a/b', storage: 'loca:/x'}]")[0].contains("did you mean `local`?"));
    let said = wrong("repos: [{url: 'https://h/a/b', storage: 'onedrive:CON'}]");
    assert!(said.len() == 1 && said[0].ends_with("name another folder, as in `onedrive:FOLDER`"), "{said:?}");
    let with = |more: &str, run: &str| {
        format!(
            "repos: [{{url: 'https://h/a/b'{more}}}]\nhandlers:\n  - name: x\n    on: push\n    do: [{{run: {run}}}]\n"
        )
    };
    let said = wrong(&with("", "{}"));
    assert!(said.len() == 1 && said[0].starts_with("5:11 server/storage "), "{said:?}");
    assert_eq!(wrong(&with(", storage: 'local:/x'", "{}")), [""; 0]);
    assert_eq!(wrong(&with("", "{storage: 'local:/x'}")), [""; 0]);
}

#[test]
fn words_that_yaml_takes_for_booleans_mean_what_is_written() {
    let file = read(
        "repos: {url: https://h/a/b.git, poll: off}\nhandlers:\n  - name: x\n    on: push\n    do: {log: {text: no}}\n",
    );
    assert!(matches!(file.repos[0].poll, Poll::Off(_)));
    assert_eq!(file.handlers[0].on, [Kind::Push]);
    assert_eq!(file.handlers[0].steps[0].singles()[0].action.render(&Value::Null).unwrap()["text"], "no");
}

#[test]
fn names_of_repositories_come_from_their_addresses() {
    for (url, name) in [
        ("https://github.com/acme/churn.git", "acme/churn"),
        ("https://gitlab.example.com/group/sub/churn/", "sub/churn"),
        ("git@github.com:acme/churn.git", "acme/churn"),
        ("ssh://git@host:2222/acme/churn", "acme/churn"),
        ("file:///srv/git/churn.git", "git/churn"),
        ("http://10.0.0.7:8099/churn.git", "churn"),
        ("https://[::1]:8443/acme/churn/", "acme/churn"),
        ("https://host/churn.git", "churn"),
    ] {
        assert_eq!(read(&format!("repos:\n  - url: {url}\n")).repos[0].name, name, "{url}");
    }
}

#[test]
fn a_repository_gets_secrets_that_the_file_has_and_that_a_variable_can_be_called() {
    let with = |name: &str| {
        format!(
            "secrets: {{TOKEN: env:T, mail-password: file:/p}}\nrepos:\n  - {{url: 'https://h/a/b', secrets: {name}}}\n"
        )
    };
    assert_eq!(read(&with("[TOKEN]")).repos[0].secrets, ["TOKEN"]);
    for (name, code) in [("TOKN", "server/reference"), ("mail-password", "server/value")] {
        let (file, found) = parse("server.yaml", with(name).as_bytes());
        assert!(file.is_none() && found.iter().any(|one| one.code == code), "{name}: {}", shown(&found));
    }
}

#[test]
fn two_repositories_have_no_folder_in_common_unless_both_say_so() {
    let with = |one: &str, two: &str| {
        let text =
            format!("repos:\n  - {{url: 'https://h/acme/churn.git'{one}}}\n  - {{url: 'git@h:other/Churn'{two}}}\n");
        let (file, found) = parse("server.yaml", text.as_bytes());
        assert_eq!(file.is_none(), !found.is_empty(), "{}", shown(&found));
        found.iter().map(|one| format!("{:?} {}", one.line_column().unwrap(), one.code)).collect::<Vec<_>>()
    };
    let (at_url, at_project) = (["(3, 11) server/duplicate"], ["(3, 41) server/duplicate"]);
    assert_eq!(with("", ""), at_url);
    assert_eq!(with("", ", project: churn"), at_project);
    assert_eq!(with("", ", project: churn-forks"), at_project, "what strangers may fill");
    assert_eq!(with(", storage: box", ""), at_url, "the other may have the same by this machine's settings");
    assert!(with(", project: churn", ", project: churn").is_empty());
    assert!(with("", ", project: second").is_empty());
    assert!(with(", storage: box", ", storage: second").is_empty());
    assert_eq!(with("", ", project: a/b"), ["(3, 41) server/value"]);
    let (twice, found) = parse("server.yaml", b"repos: [{url: 'https://h/a/b'}, {url: 'https://h/a/b', name: again}]");
    assert!(twice.is_none() && found[0].message == "this address is watched already, as `a/b`", "{}", shown(&found));
}

/// Every `# code` comment of the file names the code of a finding on its line, and there are no other findings.
#[test]
fn every_finding_is_said_at_once_at_its_line() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handlers/wrong.yaml")).unwrap();
    let (file, found) = parse("wrong.yaml", text.as_bytes());
    assert!(file.is_none());
    let mut wanted: Vec<(usize, String)> = Vec::new();
    for (place, line) in text.lines().enumerate() {
        for code in line.split_once(" # ").map(|(_, codes)| codes.split(' ')).into_iter().flatten() {
            wanted.push((place + 1, format!("server/{code}")));
        }
    }
    let mut said: Vec<(usize, String)> =
        found.iter().map(|one| (one.line_column().unwrap().0, one.code.to_owned())).collect();
    wanted.sort();
    said.sort();
    assert_eq!(said, wanted, "{}", shown(&found));
    insta::assert_snapshot!("wrong_file", shown(&found));
}

#[test]
fn a_secret_that_stands_in_the_file_is_never_shown() {
    for text in [
        "secrets: {A: hunter2secret}\n",
        "notify: {a: {slack: 'https://hooks.slack.com/services/hunter2secret'}}\n",
        "credentials: {a: {token: hunter2secret}}\nrepos: [{url: 'https://me:hunter2secret@h/a/b', branches: 7x, tags: {}}]\n",
        "repos:\n  - url: https://hunter2secret@h/a/b\n",
        "webhooks: {github: {secrets: [hunter2secret]}}\n",
        "mail: {host: h, from: a@b, user: u, password: hunter2secret}\n",
    ] {
        let (file, found) = parse("server.yaml", text.as_bytes());
        assert!(file.is_none(), "{text}");
        let told = shown(&found) + &render::json(&found).to_string() + &render::github(&found);
        assert!(told.contains("server/secret") && !told.contains("hunter2secret"), "{told}");
    }
}

#[test]
fn a_place_inside_of_a_scalar_is_underlined_whatever_its_form() {
    for form in [
        "event.forced and event.brnch == \"x\"",
        "'event.forced and event.brnch == \"x\"'",
        "\"event.forced and event.brnch == \\\"x\\\"\"",
        ">-\n      event.forced\n      and event.brnch == \"x\"",
        "|\n      event.forced and\n        event.brnch == \"x\"",
    ] {
        let text = format!("handlers:\n  - name: x\n    on: push\n    when: {form}\n    do: {{log: {{text: x}}}}\n");
        let (_, found) = parse("server.yaml", text.as_bytes());
        assert_eq!(found.len(), 1, "{}", shown(&found));
        let (_, span) = found[0].place.as_ref().unwrap();
        assert_eq!(&text[span.start..span.start + span.len], "brnch", "{text}");
    }
}

#[test]
fn reading_again_makes_a_new_value_and_the_old_one_stays() {
    let old = read(&example());
    let kept = old.clone();
    let (none, found) = parse("server.yaml", example().replace("on: comment", "on: coment").as_bytes());
    assert!(none.is_none() && found.iter().any(|one| one.help.as_deref() == Some("did you mean `comment`?")));
    assert_eq!(old, kept);
    assert_ne!(read(&example().replace("workers: 2", "workers: 3")), old);
}

#[test]
fn the_published_schema_is_the_known_one() {
    insta::assert_snapshot!("schema", serde_json::to_string_pretty(&schema::document()).unwrap());
}

/// As much of JSON Schema as the published one uses.
fn valid(value: &Value, schema: &Value, root: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return valid(value, root.pointer(reference.trim_start_matches('#')).unwrap(), root);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other}"),
    };
    let any = |key: &str| schema[key].as_array().map(|all| all.iter().filter(|one| valid(value, one, root)).count());
    let object = value.as_object().into_iter().flatten().all(|(name, inner)| match &schema["properties"][name] {
        Value::Null => match &schema["additionalProperties"] {
            Value::Bool(allowed) => *allowed,
            Value::Null => true,
            other => valid(inner, other, root),
        },
        known => valid(inner, known, root),
    });
    (types.is_empty() || types.iter().any(is))
        && object
        && value
            .as_array()
            .into_iter()
            .flatten()
            .all(|item| schema["items"].is_null() || valid(item, &schema["items"], root))
        && schema["required"].as_array().into_iter().flatten().all(|name| value.get(name.as_str().unwrap()).is_some())
        && schema["enum"].as_array().is_none_or(|all| all.contains(value))
        && (schema["const"].is_null() || schema["const"] == *value)
        && any("anyOf").is_none_or(|count| count > 0)
        && any("oneOf").is_none_or(|count| count == 1)
        && schema["pattern"]
            .as_str()
            .is_none_or(|pattern| value.as_str().is_none_or(|text| regex::Regex::new(pattern).unwrap().is_match(text)))
        && schema["minimum"].as_u64().is_none_or(|least| value.as_u64().is_none_or(|number| number >= least))
        && schema["maximum"].as_u64().is_none_or(|most| value.as_u64().is_none_or(|number| number <= most))
}

/// A YAML text as a JSON document, keys as written.
fn document(text: &str) -> Value {
    let source = crate::spec::yaml::decode("x", text.as_bytes()).unwrap();
    let tree = crate::spec::yaml::parse(&source).0.unwrap();
    let mut reader = super::read::Reader::new(&source);
    let at = super::read::At { pointer: "", scope: None };
    reader.value(&tree, &super::form::Form::Json, "x", at).unwrap().plain()
}

#[test]
fn schema_and_reader_take_and_refuse_the_same() {
    let root = schema::document();
    assert!(valid(&document(&example()), &root, &root));
    let handler = |body: &str| format!("handlers:\n  - name: x\n    {body}\n");
    let shell = |body: &str| handler(&format!("on: push\n    do: [{{shell: {body}}}]"));
    for (text, good) in [
        ("server: {bind: '127.0.0.1:1'}".to_owned(), true),
        ("server: {bnd: '127.0.0.1:1'}".to_owned(), false),
        ("server: {workers: 2000}".to_owned(), false),
        ("server: {public_url: 'ftp://x'}".to_owned(), false),
        ("secrets: {A: env:B}".to_owned(), true),
        ("secrets: {A: b}".to_owned(), false),
        ("repos: [{url: 'https://h/a/b', poll: 90s, commits: each_push, dependents: all}]".to_owned(), true),
        ("repos: [{url: 'https://h/a/b', commits: each}]".to_owned(), false),
        ("repos: [{branches: main}]".to_owned(), false),
        ("repos: [{url: 'https://h/a/b', poll: often}]".to_owned(), false),
        (handler("on: push\n    do: [{run: {mode: sample}}, {parallel: [{log: {text: a}}, {log: {text: b}}]}]"), true),
        (handler("on: push\n    do: [{run: {mode: half}}]"), false),
        (handler("on: push\n    do: [{rn: {}}]"), false),
        (handler("on: push\n    do: [{run: {}, log: {text: x}}]"), false),
        (handler("on: push"), false),
        (handler("do: [{run: {}}]"), false),
        (handler("on: push\n    do: [{comment: {}}]"), false),
        (
            handler("on: push\n    do: [{log: {text: x}, before: [{log: {text: y}, before: [{log: {text: z}}]}]}]"),
            false,
        ),
        (shell("{script: ls, timeout: 5m, memory: 1G, env: {A: 1}}"), true),
        (shell("{script: ls, workspace: none, retry: true, args: [a, b]}"), true),
        (shell("{script: ls, workspace: other}"), false),
    ] {
        let (file, found) = parse("x", text.as_bytes());
        assert_eq!(file.is_some(), good, "reader: {text}\n{}", shown(&found));
        assert_eq!(valid(&document(&text), &root, &root), good, "schema: {text}");
    }
}
