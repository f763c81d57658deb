//! soopervisor.yaml, old keys and new, and the slips people make in it.

use super::*;
use crate::diag::Severity;
use crate::spec::yaml;

fn read_text(text: &str) -> (Settings, Vec<Diagnostic>) {
    let source = Arc::new(SourceText { name: "soopervisor.yaml".to_owned(), text: text.to_owned() });
    read(&yaml::parse(&source).0.unwrap(), &source)
}

fn said(text: &str) -> Vec<(Severity, String)> {
    read_text(text).1.into_iter().map(|found| (found.severity, found.message)).collect()
}

#[test]
fn reads_every_key() {
    let (settings, found) = read_text(
        "project: demo\nimage: x:1\nenvironment: env/e.yml\npipeline: p.yaml\nargs: --force -p 'a'\n\
         secrets: [TOKEN, {name: A, env: B}, {name: C, file: /run/c}]\noutputs: reports/**\nexclude: ['*.tmp']\n\
         limits: {memory: 1.5GiB, cpus: 0.5, pids: 100, timeout: 1h30m, idle-timeout: 90, disk: 10G, log-limit: 3g}\n\
         network: none\nenv: {N: 1, T: text}\nstorage: local:/data\non-conflict: new-run\nsplit-streams: yes\n",
    );
    assert_eq!(found, []);
    assert_eq!(settings.args.iter().map(Spanned::as_str).collect::<Vec<_>>(), ["--force", "-p", "'a'"]);
    assert_eq!(settings.secrets[0].source, SecretSource::Env("TOKEN".to_owned()));
    assert_eq!(settings.secrets[1].source, SecretSource::Env("B".to_owned()));
    assert_eq!(settings.secrets[2].source, SecretSource::File("/run/c".to_owned()));
    let limits = settings.limits;
    assert_eq!((limits.memory, limits.cpus, limits.pids), (Some(1_610_612_736), Some(0.5), Some(100)));
    assert_eq!((limits.timeout, limits.idle_timeout), (Some(Duration::from_mins(90)), Some(Duration::from_secs(90))));
    assert_eq!((limits.disk, settings.split_streams), (Some(10 << 30), Some(true)));
    assert_eq!(limits.log_limit, Some(3 << 30));
    assert_eq!(settings.env["N"], "1");
    assert_eq!(settings.outputs[0].as_str(), "reports/**");
}

#[test]
fn an_empty_file_is_the_same_as_none() {
    assert_eq!(read_text(""), (Settings::default(), Vec::new()));
}

#[test]
fn says_every_wrong_key_and_value_at_once() {
    let text = "projct: a\nlimits: {memory: plenty, cpus: -1, timeout: soon}\nnetwork: host\nenv: {1a: x, B: no}\nsecrets: [3, {env: X}]\n";
    let found = said(text);
    assert_eq!(found.len(), 9, "{found:#?}");
    assert!(found.iter().all(|(severity, _)| *severity == Severity::Error));
}

#[test]
fn everything_about_a_secret_is_told_at_once_and_once() {
    let found = said("secrets: [{name: 5, env: [a]}, {name: 'a b', env: X, file: Y}, {env: X}]\n");
    let messages: Vec<&str> = found.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`name` must be a text, but is a number",
            "`env` must be a text, but is a list",
            "a secret comes from `env` or from `file`, not from both",
            "a secret's name must be a variable name",
            "a secret needs a `name`",
        ]
    );
}

#[test]
fn a_secret_written_as_its_value_is_refused_without_showing_it() {
    let (settings, found) = read_text("secrets: ['ghp_0123456789=']\n");
    assert!(settings.secrets.is_empty());
    assert!(!found[0].message.contains("ghp_"), "{}", found[0].message);
}

#[test]
fn reads_the_keys_of_0_3_with_their_meaning_and_a_warning_each() {
    let text = "executor: docker\ncache_env: true\nallow_incremental: false\npaths: {products: out/, environment: e.yml}\n\
                storage: {provider: local, path: 'runs/{{git}}'}\n";
    let (settings, found) = read_text(text);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found.iter().all(|d| d.severity == Severity::Warning && d.code == "settings/legacy" && d.help.is_some()));
    assert_eq!(settings.storage.unwrap().as_str(), "local:runs");
    assert_eq!(settings.outputs[0].as_str(), "out/**");
    assert_eq!(settings.environment.unwrap().as_str(), "e.yml");
}

#[test]
fn box_storage_of_0_3_is_the_drive_and_its_credentials_are_a_login_now() {
    for (path, place) in [("'a b/{{git}}'", "box:a b"), ("'{{now}}'", "box"), ("null", "box:runs")] {
        let text = format!("storage: {{provider: box, path: {path}, credentials: ~/box.txt}}\n");
        let (settings, found) = read_text(&text);
        assert_eq!(settings.storage.unwrap().as_str(), place);
        assert!(found.iter().all(|d| d.severity == Severity::Warning), "{found:#?}");
        assert!(found.iter().any(|d| d.help.as_deref().unwrap_or_default().contains("auth login box")), "{found:#?}");
    }
    let found = said("storage: {provider: ftp, path: x}\n");
    assert!(found.iter().any(|(severity, message)| *severity == Severity::Error && message.contains("`ftp`")));
}

#[test]
fn targets_of_later_soopervisors_are_passed_over_with_a_warning_each_and_slips_are_none() {
    let text = "project: demo\naws:\n  backend: aws-batch\n  job_queue: q\nkube: {backend: argo-workflows, \
                mounted_volumes: [{name: nfs}], code_pod: {args: [x]}}\nlimts: {memory: 1G}\n";
    let (settings, found) = read_text(text);
    assert_eq!(settings.project.unwrap().as_str(), "demo");
    let (warnings, errors): (Vec<_>, Vec<_>) = found.iter().partition(|d| d.severity == Severity::Warning);
    let named = |name: &str| warnings.iter().any(|d| d.message.contains(name) && d.code == "settings/legacy");
    assert!(warnings.len() == 2 && named("`aws`") && named("`kube`"), "{found:#?}");
    assert!(errors.len() == 1 && errors[0].message.contains("`limts`"), "{found:#?}");
}
