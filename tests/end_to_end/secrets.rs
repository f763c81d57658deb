//! No secret in a log, a record, a script, an error or an event, however it is spelled.

use base64::Engine as _;

use crate::publishing::{PIPELINE, TASKS};
use crate::support::{Said, User};

const SECRET: &str = "s3cr3t/Tok+en ä\"quoted\" & 'more' 4711";

fn user(code: &str) -> User {
    let tasks = TASKS.replace("    print('writing the first')", code);
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)])
}

/// The pipeline's output in one piece: as JSON it comes in as many events as it was written in.
fn told(text: &str) -> String {
    let part = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(event["text"].as_str().unwrap_or_default().to_owned())
    };
    text.lines().map(|line| part(line).unwrap_or_else(|| format!("{line}\n"))).collect()
}

/// The secret in forms that programs print.
fn forms() -> Vec<String> {
    let mut forms = vec![SECRET.to_owned(), hex::encode(SECRET)];
    forms.push(base64::engine::general_purpose::STANDARD.encode(SECRET));
    forms.push(base64::engine::general_purpose::STANDARD.encode(format!("x{SECRET}"))[4..30].to_owned());
    forms.push(serde_json::to_string(SECRET).unwrap().trim_matches('"').to_owned());
    forms.push(url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect());
    forms
}

#[test]
fn a_secret_reaches_the_pipeline_and_nothing_else() {
    let code = "    import base64, json, os, sys, time, urllib.parse\n    value = os.environ['DB_PASSWORD']\n    print('length', len(value))\n    print('raw', value)\n    print('json', json.dumps(value))\n    print('url', urllib.parse.quote(value), urllib.parse.quote_plus(value))\n    print('base64', base64.b64encode(value.encode()).decode(), base64.b64encode(b'x' + value.encode()).decode())\n    print('hex', value.encode().hex(), repr(value))\n    for letter in value: sys.stdout.write(letter); sys.stdout.flush(); time.sleep(0.01)\n    print()\n    sys.stderr.write('x' * 16380 + value + '\\n')";
    for format in ["plain", "json", "github"] {
        let user = user(code);
        let mut command = user.run_command(&["--secret", "DB_PASSWORD", "--format", format]);
        let said = Said::from(command.env("DB_PASSWORD", SECRET).output().unwrap()).exits(0);
        assert!(told(&said.text).contains("length 37"), "the pipeline got it whole: {}", said.text);
        assert!(said.text.contains("***"), "{}", said.text);
        for form in forms() {
            assert!(!said.text.contains(&form), "`{form}` is in the {format} output");
            for (path, bytes) in user.written() {
                assert!(memchr::memmem::find(&bytes, form.as_bytes()).is_none(), "`{form}` is in {path:?}");
            }
        }
    }
}

#[test]
fn an_output_that_holds_a_secret_is_published_and_named() {
    let user = user("    import os; open('/output/seen.txt', 'w').write(os.environ['DB_PASSWORD'])");
    let mut command = user.run_command(&["--secret", "DB_PASSWORD"]);
    let said = Said::from(command.env("DB_PASSWORD", SECRET).output().unwrap()).exits(0).hides(SECRET);
    said.says("`output/seen.txt` holds `DB_PASSWORD`, and is published as it is");
}

#[test]
fn a_secret_in_a_traceback_stays_out_of_the_card_and_the_record() {
    let user = user("    import os; raise RuntimeError('cannot log in with ' + os.environ['DB_PASSWORD'])");
    std::fs::write(user.repo().join("../secret.txt"), format!("{SECRET}\n")).unwrap();
    user.run(&["--secret", "DB_PASSWORD=file:secret.txt"]).exits(4).says("cannot log in with ***").hides(SECRET);
    user.say(&["show", "latest"]).exits(0).hides(SECRET);
    user.say(&["logs", "latest"]).exits(0).says("cannot log in with ***").hides(SECRET);
    for (path, bytes) in user.written() {
        assert!(memchr::memmem::find(&bytes, SECRET.as_bytes()).is_none(), "it is in {path:?}");
    }
}

#[test]
fn a_secret_is_not_visible_from_outside_while_the_pipeline_runs() {
    let user = user("    print('writing the first', flush=True)\n    import time; time.sleep(20)");
    let mut command = user.run_command(&["--secret", "DB_PASSWORD"]);
    let child = command.env("DB_PASSWORD", SECRET).stdout(std::process::Stdio::piped()).spawn().unwrap();
    crate::support::eventually(180, "the container runs", || !user.containers().is_empty());
    let inspected = std::process::Command::new("docker").arg("inspect").args(user.containers()).output().unwrap();
    assert!(!String::from_utf8_lossy(&inspected.stdout).contains("s3cr3t"));
    crate::support::signal(&child, "TERM");
    Said::from(child.wait_with_output().unwrap()).exits(130);
}

#[test]
fn a_secret_that_is_not_there_or_too_short_is_refused_before_the_run() {
    let user = crate::publishing::user();
    user.run(&["--secret", "NOT_SET_ANYWHERE"]).says("NOT_SET_ANYWHERE").hides("writing the first");
    let mut command = user.run_command(&["--secret", "PIN"]);
    let said = Said::from(command.env("PIN", "123").output().unwrap());
    assert_ne!(said.code, 0);
    said.says("PIN").hides("123 ");
}
