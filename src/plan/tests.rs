//! Precedence, refusals and the words of a plan.

use std::time::Duration;

use super::*;
use crate::diag::{Diagnostic, Severity};

fn facts() -> Facts {
    let commit = "4f1c2d9a".repeat(5).parse().unwrap();
    Facts {
        revision: Revision { commit, dirty_tree: None, sample: false, partial: false },
        pipeline_dir: "examples/penguins".parse().unwrap(),
        project_hint: "penguins".into(),
    }
}

fn declared() -> Declared {
    let load = DeclaredTask {
        name: "load".into(),
        source: "scripts/load.py".into(),
        products: vec![
            (Some("nb".into()), "output/load.ipynb".into()),
            (Some("data".into()), "../shared/data.csv".into()),
        ],
        products_from: ".".into(),
        upstream: vec![],
    };
    Declared { entry_point: "pipeline.yaml".into(), tasks: vec![load], declares_sample: true, ..Declared::default() }
}

fn request() -> Request {
    Request { storage: Some("local:./artifacts".into()), ..Request::default() }
}

fn codes(said: &[Diagnostic]) -> Vec<&str> {
    said.iter().map(|d| d.code).collect()
}

#[test]
fn the_command_line_beats_settings_and_settings_beat_defaults() {
    let settings = Request {
        mode: Some(Mode::Sample),
        project: Some("from-settings".into()),
        memory_bytes: Some(1 << 30),
        timeout: Some(Duration::from_mins(1)),
        env: BTreeMap::from([("A".into(), "settings".into()), ("B".into(), "settings".into())]),
        secret_names: vec!["ONE".into(), "TWO".into()],
        build_args: vec!["--force".into()],
        storage: Some("local:elsewhere".into()),
        on_conflict: Some(OnConflict::Keep),
        ..Request::default()
    };
    let asked = Request {
        mode: Some(Mode::Full),
        memory_bytes: Some(2 << 30),
        env: BTreeMap::from([("A".into(), "line".into())]),
        secret_names: vec!["TWO".into(), "THREE".into()],
        build_args: vec!["--partially".into(), "x".into()],
        ..request()
    };
    let (plan, said) = resolve(&asked, &facts(), &Declared { settings, ..declared() }).unwrap();
    assert_eq!(said, []);
    assert_eq!((plan.mode, plan.sample_flag, plan.project.as_str()), (Mode::Full, false, "from-settings"));
    assert_eq!((plan.limits.memory_bytes, plan.limits.timeout), (Some(2 << 30), Some(Duration::from_mins(1))));
    assert_eq!((plan.limits.pids, plan.network, plan.on_conflict), (4096, Network::Bridge, OnConflict::Keep));
    assert_eq!(plan.env, BTreeMap::from([("A".into(), "line".into()), ("B".into(), "settings".into())]));
    assert_eq!(plan.secret_names, ["ONE", "TWO", "THREE"]);
    assert_eq!(plan.build_args, ["--force", "--partially", "x"]);
    assert_eq!(plan.storage, "local:./artifacts");
}

#[test]
fn the_sample_flag_is_passed_only_where_env_yaml_declares_it() {
    let asked = Request { mode: Some(Mode::Sample), ..request() };
    let (plan, said) = resolve(&asked, &facts(), &declared()).unwrap();
    assert!(plan.sample_flag && said.is_empty());
    let without = Declared { declares_sample: false, ..declared() };
    let (plan, said) = resolve(&asked, &facts(), &without).unwrap();
    assert_eq!((plan.mode, plan.sample_flag), (Mode::Sample, false));
    assert_eq!((codes(&said), said[0].severity), (vec!["plan/sample-not-declared"], Severity::Note));
}

#[test]
fn products_keep_their_place_in_the_snapshot() {
    let (plan, _) = resolve(&request(), &facts(), &declared()).unwrap();
    let paths: Vec<_> =
        plan.tasks[0].products.iter().map(|product| product.path.as_ref().unwrap().to_string()).collect();
    assert_eq!(paths, ["examples/penguins/output/load.ipynb", "examples/shared/data.csv"]);
}

#[test]
fn products_without_a_place_in_the_snapshot_are_left_to_validate_which_has_warned_of_them() {
    let mut declared = declared();
    declared.tasks[0].products = vec![(None, "/tmp/x".into()), (None, "out/{{ git }}/y".into())];
    let (plan, said) = resolve(&request(), &facts(), &declared).unwrap();
    assert!(plan.tasks[0].products.iter().all(|product| product.path.is_none()));
    assert_eq!(codes(&said), [""; 0]);
}

#[test]
fn everything_that_cannot_be_is_said_at_once() {
    let asked = Request {
        project: Some("../x".into()),
        env: BTreeMap::from([
            ("1A".into(), String::new()),
            ("IFS".into(), String::new()),
            ("sv_step".into(), String::new()),
            ("KEY".into(), "a\0".into()),
        ]),
        secret_names: vec!["KEY".into(), "a b\n".into()],
        memory_bytes: Some(1000),
        pids: Some(0),
        cpus: Some(f64::NAN),
        image: Some("Not An\nImage".into()),
        build_args: vec!["a\0b".into()],
        ..Request::default()
    };
    let said = resolve(&asked, &facts(), &declared()).unwrap_err();
    let mut expected = vec!["plan/project-name", "plan/variable-name", "plan/reserved-variable", "plan/nul-byte"];
    expected.extend(["plan/reserved-variable", "plan/secret-and-variable", "plan/variable-name", "plan/nul-byte"]);
    expected.extend(["plan/memory-too-small", "plan/no-processes", "plan/no-processors", "plan/no-storage"]);
    expected.push("plan/image");
    assert_eq!(codes(&said), expected);
    assert!(said.iter().all(|d| !d.message.contains(['\0', '\n'])));
}

#[test]
fn a_plan_is_described_in_the_order_of_what_happens() {
    let asked = Request {
        mode: Some(Mode::Sample),
        memory_bytes: Some(3 << 29),
        cpus: Some(1.5),
        timeout: Some(Duration::from_mins(90)),
        disk_bytes: Some(100 << 20),
        network: Some(Network::None),
        secret_names: vec!["API_KEY".into()],
        env: BTreeMap::from([("REGION".into(), "not shown".into())]),
        ..request()
    };
    let declared = Declared { local_installs: vec!["-e .".into()], ..declared() };
    let (plan, _) = resolve(&asked, &facts(), &declared).unwrap();
    insta::assert_snapshot!(plan.describe(&str::to_owned).join("\n"), @"
    project   penguins
    commit    4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a
    mode      sample
    folder    examples/penguins
    pipeline  pipeline.yaml, 1 task
    image     the runner image
    limits    memory 1.5 GiB, 1.5 processors, 4096 processes, timeout 1h30m, disk 100 MiB (looked at every second where the engine cannot limit it), no network
    variables REGION
    secrets   API_KEY
    install   -e .
    reuse     tasks that nothing changed for; the nearest published ancestor is looked up when it is run
    build     ploomber build --entry-point pipeline.yaml --env--sample true
    collect   load: output/load.ipynb, ../shared/data.csv
    collect   what lies in /output
    publish   penguins/4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a in local:./artifacts, failing when other content is there
    ");
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["tasks"][0]["products"][0]["path"], "examples/penguins/output/load.ipynb");
}

#[test]
fn of_tasks_that_a_function_makes_no_number_is_told_but_how_their_products_are_found() {
    let declared = Declared { tasks: Vec::new(), factory: Some("flow.make".into()), ..declared() };
    let (plan, _) = resolve(&request(), &facts(), &declared).unwrap();
    let told = plan.describe(&str::to_owned);
    for line in [
        "pipeline  pipeline.yaml, tasks that `flow.make` makes when it is run",
        "reuse     nothing: the pipeline is made while it runs",
        "collect   what the tasks make, found by the metadata that Ploomber leaves beside it",
        "collect   what lies in /output",
    ] {
        assert!(told.iter().any(|shown| shown == line), "{line}: {told:?}");
    }
    assert!(!told.iter().any(|shown| shown.contains("0 tasks")), "{told:?}");
}

#[test]
fn globs_and_names_are_shown_as_they_were_written() {
    let (mut plan, _) = resolve(&request(), &facts(), &declared()).unwrap();
    plan.outputs.include = vec!["res/*.csv".to_owned(), r"a\*b/**".to_owned(), "it's/[!x]*".to_owned()];
    plan.outputs.exclude = vec![r"x\[1\]".to_owned(), "\u{1b}[2Jq\"uote".to_owned()];
    plan.tasks[0].name = "it's \"the\" task".to_owned();
    let told = plan.describe(&str::to_owned);
    for line in [
        "collect   res/*.csv",
        r"collect   a\*b/**",
        "collect   it's/[!x]*",
        r"leave out x\[1\]",
        r#"leave out \u{1b}[2Jq"uote"#,
    ] {
        assert!(told.iter().any(|shown| shown == line), "{line}: {told:?}");
    }
    assert!(told.iter().any(|shown| shown.starts_with("collect   it's \"the\" task: ")), "{told:?}");
}

#[test]
fn every_form_of_partially_is_seen_and_nothing_else() {
    let leaves = |args: &[&str]| {
        let asked = Request { build_args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..request() };
        resolve(&asked, &facts(), &declared()).unwrap().0.leaves_tasks_out()
    };
    for args in [&["--partially", "x"][..], &["--partially=x"], &["--part", "x"], &["-p", "x"], &["-px"], &["-fp", "x"]]
    {
        assert!(leaves(args), "{args:?}");
    }
    for args in [&[][..], &["--force"], &["-f"], &["--log", "info"], &["--"], &["--env--path", "x"]] {
        assert!(!leaves(args), "{args:?}");
    }
}

#[test]
fn another_entry_point_for_ploomber_is_refused_with_the_option_that_does_it() {
    let said = |args: &[&str]| {
        let asked = Request { build_args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..request() };
        resolve(&asked, &facts(), &declared()).err().unwrap_or_default()
    };
    for args in
        [&["--entry-point", "other.yaml"][..], &["--entry=other.yaml"], &["-e", "other.yaml"], &["-eother.yaml"]]
    {
        let said = said(args);
        assert_eq!((said.len(), said[0].code), (1, "plan/entry-point-argument"), "{args:?}");
    }
    for args in [&["--env--entry", "x"][..], &["--force"], &["--en"]] {
        assert!(said(args).is_empty(), "{args:?}");
    }
}

#[test]
fn packages_are_as_kept_unless_somebody_asks() {
    let of = |refresh, frozen_as: Option<&str>| {
        let asked = Request { refresh, frozen_as: frozen_as.map(str::to_owned), ..request() };
        resolve(&asked, &facts(), &declared()).map(|(plan, _)| plan)
    };
    let kept = of(false, None).unwrap();
    assert_eq!(kept.packages, Packages::AsKept);
    assert!(!kept.describe(&str::to_owned).join("\n").contains("packages"));
    let anew = of(true, None).unwrap();
    assert!(anew.describe(&str::to_owned).contains(&"packages  solved anew, also for later runs".to_owned()));
    let as_of = of(false, Some("v1")).unwrap();
    assert_eq!(as_of.packages, Packages::AsOf("v1".to_owned()));
    assert!(as_of.describe(&str::to_owned).contains(&"packages  exactly those that `v1` ran with".to_owned()));
    assert_eq!(codes(&of(true, Some("v1")).unwrap_err()), ["plan/refresh-and-frozen"]);
    assert_eq!(codes(&of(false, Some(" ")).unwrap_err()), ["plan/frozen-as"]);
}
