//! What the doctor says of this machine and of its settings.

use crate::{Place, code, stdout};

#[test]
fn doctor_says_each_check_in_words_and_in_json() {
    let place = Place::new();
    let words = ["doctor", "--offline", "--storage", "local:artifacts"];
    let output = place.command(&words).env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap();
    let text = stdout(&output);
    for check in ["git", "container engine", "folders", "disk for runs", "settings", "storage", "clock"] {
        assert!(text.contains(check), "{check} in {text}");
    }
    assert!(text.contains("skipped clock") && text.contains("fail    container engine"), "{text}");
    assert_ne!(code(&output), 0, "an engine that is not there must not look fine");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&place.run(&["doctor", "--offline", "--json"]))).unwrap();
    assert!(json["checks"].as_array().unwrap().len() >= 9);
    let more = stdout(
        &place.command(&[&words[..], &["-v"]].concat()).env("DOCKER_HOST", "unix:///nowhere/x").output().unwrap(),
    );
    for looked_at in ["; 2.25 or newer is needed", "DOCKER_HOST is set", "looked for at "] {
        assert!(more.contains(looked_at) && !text.contains(looked_at), "{looked_at} in {more}");
    }
    let broken = place.run(&["doctor", "--offline", "--storage", "local:/proc/nowhere"]);
    assert!(stdout(&broken).contains("fail    storage"), "{}", stdout(&broken));
}

#[test]
fn doctor_blames_nothing_else_for_settings_that_it_cannot_read() {
    let place = Place::new();
    fs_err::create_dir_all(place.path().join("home")).unwrap();
    fs_err::write(place.path().join("home/config.yaml"), "storage: [1\n").unwrap();
    let text = stdout(&place.run(&["doctor", "--offline", "--storage", "local:artifacts"]));
    for check in ["fail    settings", "skipped container engine", "skipped storage"] {
        assert!(text.contains(check), "{check} in {text}");
    }
    assert!(text.contains("config.yaml") && !text.contains("install Docker"), "{text}");
    let nowhere =
        place.command(&["doctor", "--offline"]).env_remove("SOOPERVISOR_HOME").env("HOME", "/dev/null").output();
    let text = stdout(&nowhere.unwrap());
    assert!(text.contains("ok      settings") && text.contains("fail    folders"), "{text}");
    assert!(text.contains("export SOOPERVISOR_HOME=DIR"), "{text}");
}

#[test]
fn settings_that_cannot_be_read_are_named_with_their_line() {
    let place = Place::new();
    fs_err::create_dir_all(place.path().join("home")).unwrap();
    fs_err::write(place.path().join("home/config.yaml"), "image: debian\nimaeg: x\n").unwrap();
    let output = place.run(&["doctor", "--offline"]);
    assert_ne!(code(&output), 0);
    let said = stdout(&output);
    assert!(said.lines().any(|line| line.starts_with("fail") && line.contains("config.yaml")), "{said}");
    let rest =
        said.lines().filter(|line| line.starts_with("skipped") && line.contains("the settings are not understood"));
    assert!(rest.count() >= 2, "what cannot be looked at is not called broken: {said}");
}
