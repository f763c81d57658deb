//! `soopervisor diff` as a user calls it, over folders that were really published.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fixture_run::{Run, SHA};
use serde_json::{Value, json};
use soopervisor::compare::{Comparison, Limits, Stored};
use soopervisor::outputs::manifest::{EnvironmentNote, TaskNote};
use soopervisor::plan::OnConflict;
use soopervisor::storage::Storage;
use soopervisor::storage::local::Local;
use soopervisor::storage::remote::Remote;

mod fixture_run;
#[path = "diff/html.rs"]
mod html;
#[path = "diff/pairing.rs"]
mod pairing;
#[expect(dead_code, reason = "this program uses a part of it")]
#[path = "conformance/shelf.rs"]
mod shelf;

const NEXT: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// A storage with two commits of one project.
struct Place {
    dir: tempfile::TempDir,
}

/// Files of a commit: name and content.
type Files<'a> = &'a [(&'a [u8], &'a [u8])];

impl Place {
    fn new(before: Files<'_>, after: Files<'_>) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.publish(SHA, "main", before);
        place.publish(NEXT, "more-data", after);
        place
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn publish(&self, commit: &str, branch: &str, files: Files<'_>) {
        publish(&Local::new(self.store()), commit, branch, files);
    }

    fn diff(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.arg("diff").args(["--storage", "local:store", "--project", "demo"]).args(more);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("SOOPERVISOR_HOME", self.dir.path().join("home")).env("LANG", "C.UTF-8");
        command.current_dir(self.dir.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// The page that a diff of both commits writes.
    fn page(&self) -> (Output, String) {
        let output = self.diff(&[SHA, NEXT, "--html", "page.html"]);
        (output, fs_err::read_to_string(self.dir.path().join("page.html")).unwrap())
    }
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// Publishes a commit with these files.
fn publish(storage: &dyn Storage, commit: &str, branch: &str, files: Files<'_>) {
    let run = Run::new();
    for (name, bytes) in files {
        run.product(name, bytes);
    }
    let mut publication = run.publication("20261121-093000-4f1c2d9a-x7k2", OnConflict::Fail);
    let next = commit == NEXT;
    let about = &mut publication.about;
    (about.revision, about.commit) = (commit.parse().unwrap(), commit.parse().unwrap());
    about.branch = Some(branch.to_owned());
    about.ended = if next { "2026-11-21T10:30:00Z" } else { "2026-11-20T09:00:00Z" }.parse().unwrap();
    let version = if next { "2.0.1" } else { "1.26.4" };
    let lock = json!({"conda": [{"name": "numpy", "version": version, "build": "py311_0"}], "pip": []});
    about.environment = Some(EnvironmentNote { key: about.script_sha256, lock });
    about.tasks = ["load", "fit"]
        .map(|name| TaskNote {
            name: name.to_owned(),
            declared: None,
            outcome: if next && name == "load" { "reused" } else { "executed" }.to_owned(),
            elapsed_ms: Some(if next { 61_000 } else { 2_000 }),
            reason: if next && name == "fit" { "`fit.py` changed".to_owned() } else { String::new() },
            from: None,
        })
        .to_vec();
    block(storage.publish(publication, Arc::new(()))).unwrap();
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A picture of 640 × 480 pixels, as far as headers go.
fn png(text: &str, content: u8) -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &[0; 4]].concat()
    };
    let head = [0, 0, 2, 0x80, 0, 0, 1, 0xe0, 8, 2, 0, 0, 0];
    let parts =
        [chunk(b"IHDR", &head), chunk(b"tEXt", text.as_bytes()), chunk(b"IDAT", &[content]), chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), parts.concat()].concat()
}

/// What a data scientist's two commits look like.
fn usual() -> Place {
    with_usual(Place::new)
}

fn with_usual<T>(publish: impl FnOnce(Files<'_>, Files<'_>) -> T) -> T {
    let metrics =
        |accuracy: f64, loss: &str| format!("{{\"accuracy\": {accuracy}, \"loss\": {loss}, \"rows\": 120}}\n");
    let (old_png, new_png, noted) = (png("a", 1), png("a", 2), png("b", 9));
    let unnoted = png("a", 9);
    let (old_metrics, new_metrics) = (metrics(0.912, "0.31"), metrics(0.934, "NaN"));
    let old: Files<'_> = &[
        (b"output/.fit.metadata", b"{\"stored_source_code\": \"a\", \"params\": {}}"),
        (b"output/best.csv", b"id,mass,island\na1,10,Biscoe\na2,20,Dream\na3,30,Dream\n"),
        (b"output/config.json", b"{\"deep\": {\"list\": [1, 2, 3]}, \"name\": \"forest\", \"b\": \"c\", \"d\": \"e\"}"),
        (b"output/metrics.json", old_metrics.as_bytes()),
        (b"output/model.bin", b"\x00\x01"),
        (b"output/raw.csv", b"same\n"),
        (b"plots/before.svg", b"<svg/>"),
        (b"plots/noted.png", &unnoted),
        (b"plots/roc.png", &old_png),
    ];
    let new: Files<'_> = &[
        (b"output/.fit.metadata", b"{\"stored_source_code\": \"b\", \"params\": {}}"),
        (b"output/best.csv", b"id,mass,island\na1,10,Biscoe\na3,33.5,Dream\na4,40,Torgersen\n"),
        (
            b"output/config.json",
            b"{\"deep\": {\"list\": [1, 2, 4, 5]}, \"name\": \"boosting\", \"b\": \"c\", \"d\": \"e\"}",
        ),
        (b"output/metrics.json", new_metrics.as_bytes()),
        (b"output/raw.csv", b"same\n"),
        (b"plots/after.svg", b"<svg/>"),
        (b"plots/new.png", &new_png),
        (b"plots/noted.png", &noted),
        (b"plots/roc.png", &new_png),
    ];
    publish(old, new)
}

#[test]
fn people_see_metrics_first_then_files_and_what_is_in_them() {
    let place = usual();
    let output = place.diff(&[SHA, NEXT]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    insta::assert_snapshot!("text", stdout(&output));
    insta::assert_snapshot!("verbose", stdout(&place.diff(&["-v", SHA, NEXT])));
    insta::assert_snapshot!("quiet", stdout(&place.diff(&["-q", SHA, NEXT])));
    let coloured = stdout(&place.diff(&["--color", "always", SHA, NEXT]));
    assert!(coloured.contains("\u{1b}[32m+  plots/new.png"), "{coloured}");
}

#[test]
fn commits_are_named_as_everywhere() {
    let place = usual();
    let whole = stdout(&place.diff(&[SHA, NEXT]));
    for words in [["0123", "fedc"], ["main", "latest"], ["0123456789ab", "more-data"]] {
        assert_eq!(stdout(&place.diff(&words)), whole, "{words:?}");
    }
    let unknown = place.diff(&["0123", "abcd"]);
    assert_eq!((code(&unknown), stdout(&unknown).as_str()), (7, ""));
    assert_eq!(code(&place.diff(&["0123"])), 2);
    assert_eq!(code(&place.diff(&["0123", "fedc", "["])), 2);
}

#[test]
fn programs_get_one_document() {
    let place = usual();
    let document: Value = serde_json::from_str(&stdout(&place.diff(&[SHA, NEXT, "--format", "json"]))).unwrap();
    insta::assert_snapshot!("json", format!("{document:#}"));
    let error = place.diff(&["0123", "abcd", "--format", "json"]);
    let error: Value = serde_json::from_str(&stdout(&error)).unwrap();
    assert_eq!((&error["event"], &error["exit_code"]), (&json!("error"), &json!(7)));
}

#[test]
fn only_what_is_asked_for_is_compared_and_the_exit_code_can_tell() {
    let place = usual();
    let some = stdout(&place.diff(&[SHA, NEXT, "*.csv"]));
    assert!(some.contains("output/best.csv") && !some.contains("roc.png") && !some.contains("accuracy"), "{some}");
    for (words, expected) in [
        (&[SHA, NEXT, "--exit-code"][..], 12),
        (&[SHA, SHA, "--exit-code"], 0),
        (&[SHA, NEXT, "raw.csv", "--exit-code"], 0),
        (&[SHA, NEXT], 0),
    ] {
        assert_eq!(code(&place.diff(words)), expected, "{words:?}");
    }
    let counted = stdout(&place.diff(&[SHA, NEXT, "plots/new.png", "--format", "json"]));
    let counted: Value = serde_json::from_str(&counted).unwrap();
    assert_eq!((&counted["before"]["files"], &counted["before"]["bytes"]), (&json!(0), &json!(0)));
    assert_eq!(counted["after"]["files"], json!(1));
    assert_eq!(counted["after"]["bytes"], counted["files"][0]["after"]["size"]);
    let nothing = place.diff(&[SHA, NEXT, "*.csb", "*.tsb"]);
    assert_eq!((code(&nothing), stdout(&nothing).as_str()), (7, ""));
    assert!(stderr(&nothing).contains("no published file matches `*.csb`, `*.tsb`"), "{}", stderr(&nothing));
    // What could not be compared is no difference.
    let unknown = code(&place.diff(&["0000000", NEXT, "--exit-code"]));
    assert!(![0, 1, 12].contains(&unknown), "{unknown}");
}

#[test]
fn only_what_is_needed_is_read_and_damage_is_told() {
    let place = usual();
    let folder = |commit: &str| place.store().join("demo").join(commit);
    for name in ["plots/roc.png", "output/raw.csv", "output/.fit.metadata"] {
        fs_err::remove_file(folder(SHA).join(name)).unwrap();
    }
    let text = place.diff(&[SHA, NEXT]);
    assert_eq!((code(&text), stderr(&text).as_str()), (0, ""), "pictures and what is the same are not read");
    let (output, page) = place.page();
    assert_eq!(code(&output), 7);
    assert!(stderr(&output).contains("plots/roc.png"), "{}", stderr(&output));
    assert!(page.contains("damaged in the storage: it is not there"), "{page}");
    fs_err::write(folder(NEXT).join("output/metrics.json"), "{\"accuracy\": 99.0, \"loss\": 1}\n").unwrap();
    let text = place.diff(&[SHA, NEXT]);
    assert_eq!(code(&text), 7);
    assert!(!stdout(&text).contains("99") && stdout(&text).contains("not what its manifest says"), "{}", stdout(&text));
}

#[test]
fn a_service_in_the_network_gives_the_same_and_is_asked_for_no_more_than_is_compared() {
    let shelf = shelf::plain();
    let remote = Remote::new(Arc::clone(&shelf) as Arc<_>, None);
    let place = with_usual(|old, new| {
        publish(&remote, SHA, "main", old);
        publish(&remote, NEXT, "more-data", new);
        Place::new(old, new)
    });
    let (before, after) = (SHA.parse().unwrap(), NEXT.parse().unwrap());
    let compare = |storage: &dyn Storage| {
        let project = fixture_run::project();
        let manifest = |folder| block(storage.manifest(&project, folder)).unwrap();
        let (old, new) = (manifest(&before), manifest(&after));
        let asked = shelf.requests.load(Ordering::SeqCst);
        let files = Stored { storage, former: &project, project: &project, before: &before, after: &after };
        let comparison = block(Comparison::of(&old, &new, &files, Limits::default())).unwrap();
        (comparison, shelf.requests.load(Ordering::SeqCst) - asked)
    };
    let (near, (far, requests)) = (compare(&Local::new(place.store())).0, compare(&remote));
    // As text: among the values is one that is not equal to itself.
    let contents = |comparison: &Comparison| format!("{:#?}", comparison.files);
    assert_eq!(contents(&near), contents(&far));
    assert_eq!(requests, 6, "three files of two commits each");
}

#[test]
fn a_folder_beside_a_commit_is_called_by_its_own_name() {
    let place = Place::new(&[(b"a.csv", b"x\n1\n")], &[]);
    let run = Run::new();
    run.product("a.csv", "x\n2\n");
    let storage = Local::new(place.store());
    let published = block(storage.publish(run.publication("run-2", OnConflict::NewRun), Arc::new(()))).unwrap();
    let beside = format!("{SHA}-run-run-2");
    assert_eq!(published.folder.to_string(), beside);
    let told: Value = serde_json::from_slice(&place.diff(&[SHA, &beside, "--format", "json"]).stdout).unwrap();
    assert_eq!((&told["before"]["folder"], &told["after"]["folder"]), (&json!(SHA), &json!(beside)));
    let text = stdout(&place.diff(&[&beside, SHA]));
    assert!(text.contains(&format!("{}-run-run-2", &SHA[..10])), "{text}");
}

#[test]
fn the_page_needs_nothing_else_and_shows_pictures_side_by_side() {
    let (output, page) = usual().page();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, "page: page.html\n"));
    let tags = html::tags(&page);
    html::assert_harmless(&page, &tags);
    let pictures: Vec<&str> = tags.iter().filter(|tag| tag.name == "img").map(|tag| tag.attribute("alt")).collect();
    let expected = [
        "plots/new.png, after",
        "plots/noted.png, before",
        "plots/noted.png, after",
        "plots/roc.png, before",
        "plots/roc.png, after",
    ];
    assert_eq!(pictures, expected);
    for text in ["accuracy", "+0.022 (+2.41 %)", "NaN", "numpy", "fit.py", "the same picture", "a3", "33.5"] {
        assert!(page.contains(text), "{text}");
    }
}

/// Names and contents that want to be obeyed by a page or a terminal.
fn hostile() -> Place {
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&amp;\u{202e}\u{1b}]0;t\u{7}\n";
    let names = ["a.csv", "b.json", "metrics.json", "c.png", "d.svg", "e.txt"].map(|end| {
        let name = evil.replace('/', "∕");
        format!("{name}{end}").into_bytes()
    });
    let broken = b"bad\xff\xfe\x1b[2J.csv".to_vec();
    let files = |n: u8| {
        let text = evil.replace('"', "\"\"");
        let table = format!("\"{text}\",v\n\"{text}\",{n}\nx,\"{text}{n}\"\n").into_bytes();
        let key = serde_json::to_string(evil).unwrap();
        let document = format!("{{{key}: {n}, \"list\": [{key}, \"{n}\", \"a\", \"b\"]}}").into_bytes();
        let svg =
            format!("<svg xmlns='http://www.w3.org/2000/svg' onload='alert({n})'><script>alert({n})</script></svg>");
        vec![
            (names[0].clone(), table.clone()),
            (names[1].clone(), document.clone()),
            (names[2].clone(), document),
            (names[3].clone(), png(evil, n)),
            (names[4].clone(), svg.into_bytes()),
            (names[5].clone(), vec![n]),
            (broken.clone(), table),
        ]
    };
    let (old, new) = (files(1), files(2));
    let refer = |files: &[(Vec<u8>, Vec<u8>)]| -> Vec<(&'static [u8], &'static [u8])> {
        let leak = |bytes: &Vec<u8>| -> &'static [u8] { bytes.clone().leak() };
        files.iter().map(|(name, bytes)| (leak(name), leak(bytes))).collect()
    };
    Place::new(&refer(&old), &refer(&new))
}

#[test]
fn hostile_names_and_contents_are_shown_and_not_obeyed() {
    let place = hostile();
    for words in [&[SHA, NEXT][..], &["-v", SHA, NEXT]] {
        let output = place.diff(words);
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        let text = stdout(&output);
        let control = text.chars().find(|c| *c != '\n' && soopervisor::id::is_unsightly(*c));
        assert_eq!(control, None, "{text}");
        assert!(text.contains("<script>") && text.contains("7 changed"), "{text}");
    }
    let document = place.diff(&[SHA, NEXT, "--format", "json"]);
    serde_json::from_slice::<Value>(&document.stdout).unwrap();
    let (output, page) = place.page();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let tags = html::tags(&page);
    html::assert_harmless(&page, &tags);
    assert_eq!(tags.iter().filter(|tag| tag.name == "img").count(), 4);
    let control = page.chars().find(|c| *c != '\n' && soopervisor::id::is_unsightly(*c));
    assert_eq!(control, None);
}

#[test]
fn what_is_too_large_or_not_understood_is_said() {
    let rows = "1\n".repeat(200_002);
    let wide = vec![b'1'; 5 * 1024 * 1024];
    let large = |byte: u8| [&png("", byte)[..], &vec![byte; 5 * 1024 * 1024]].concat();
    let (old_png, new_png) = (large(1), large(2));
    let place = Place::new(
        &[(b"a.csv", b"x\n"), (b"b.json", b"1"), (b"c.json", b"1"), (b"d.csv", b"x\n"), (b"p.png", &old_png)],
        &[
            (b"a.csv", rows.as_bytes()),
            (b"b.json", &wide),
            (b"c.json", b"{broken"),
            (b"d.csv", b"\xff\xfex\0"),
            (b"p.png", &new_png),
        ],
    );
    let text = stdout(&place.diff(&[SHA, NEXT]));
    for why in ["more than 200000 rows", "too large: 5242880 bytes", "it is not JSON", "it is UTF-16"] {
        assert!(text.contains(why), "{why} in {text}");
    }
    let (_, page) = place.page();
    assert!(page.contains("not shown: too large") && !page.contains("<img"), "{page}");
}
