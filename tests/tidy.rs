//! The house rules that no compiler checks: who may import whom, who may name which crate, how long files get.
//!
//! Every message says how to mend what it found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod tidy_imports;

use std::path::{Path, PathBuf};
use std::process::Command;

use syn::spanned::Spanned;
use syn::visit::Visit;
use tidy_imports::{Edge, edges, room_of};

const LONGEST_FILE: usize = 800;
const LONGEST_MEDIAN: usize = 200;
const LONGEST_FUNCTION: usize = 60;

/// Cargo says it again when it runs tests: the built test then fits every work tree.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}

/// All files below a folder with this ending, sorted, relative to the repository.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut waiting = vec![root.join(folder)];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => waiting.push(entry.path()),
                false if entry.path().to_string_lossy().ends_with(ending) => found.push(entry.path()),
                false => {}
            }
        }
    }
    found.sort();
    found.into_iter().map(|path| path.strip_prefix(&root).unwrap().to_path_buf()).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn sources() -> Vec<(PathBuf, String)> {
    let found: Vec<_> = files("src", ".rs").into_iter().map(|path| (path.clone(), read(&path))).collect();
    assert!(found.len() > 10, "src/ was not found");
    found
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    matches!(&*stem, "tests" | "samples") || path.components().any(|part| part.as_os_str() == "tests")
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// The table in ARCHITECTURE.md: each room with what it may use.
fn table() -> Vec<(String, Vec<String>)> {
    let text = read(Path::new("ARCHITECTURE.md"));
    let header = text.lines().position(|line| line.contains("| may use |")).expect("a table with a column `may use`");
    let mut rooms: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().skip(header + 2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].trim_matches('`').to_owned();
        let above = || rooms.iter().map(|(room, _)| room.clone()).collect();
        let may = match *cells.last().unwrap() {
            "everything above" | "everything" => above(),
            "–" | "-" => Vec::new(),
            list => list.split(',').map(|room| room.trim().trim_matches('`').to_owned()).collect(),
        };
        rooms.push((name, may));
    }
    assert!(rooms.len() > 10, "the table of rooms in ARCHITECTURE.md was not understood");
    rooms
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let table = table();
    let mut problems = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let Some(room) = room_of(&path) else { continue };
        let Some((_, may)) = table.iter().find(|(name, _)| *name == room) else {
            problems
                .push(format!("{}: room `{room}` is missing in the table of ARCHITECTURE.md: add it", path.display()));
            continue;
        };
        for Edge { to, line } in edges(&path, &text) {
            let room_exists = table.iter().any(|(name, _)| *name == to);
            if room_exists && to != room && !may.contains(&to) {
                let place = format!("{}:{line}", path.display());
                problems.push(format!(
                    "{place}: `{room}` may not use `{to}`: hand the value in, or move the code down the line"
                ));
            }
        }
    }
    report(&problems);
}

#[test]
fn the_table_points_up_only_and_names_every_room() {
    let table = table();
    let mut problems = Vec::new();
    for (place, (room, may)) in table.iter().enumerate() {
        for used in may {
            let above = table[..place].iter().any(|(name, _)| name == used);
            if !above {
                problems.push(format!(
                    "ARCHITECTURE.md: `{room}` may use `{used}`, which does not stand above it: move one"
                ));
            }
        }
    }
    let library = read(Path::new("src/lib.rs"));
    let rooms = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in rooms.filter(|room| !table.iter().any(|(name, _)| name == room)) {
        problems.push(format!("ARCHITECTURE.md: room `{room}` of src/lib.rs is missing in the table: add it"));
    }
    report(&problems);
}

/// Outside crates, and the only places that may name them.
const DOORS: [(&str, &[&str]); 17] = [
    ("askama", &["src/comment", "src/compare", "src/script", "src/server/http/page"]),
    ("axum", &["src/server/http"]),
    ("bollard", &["src/engine/docker"]),
    ("clap", &["src/cli"]),
    ("clap_complete", &["src/cli"]),
    ("clap_mangen", &["src/cli"]),
    ("csv", &["src/compare"]),
    ("indicatif", &["src/report"]),
    ("lettre", &["src/server/action/mail.rs"]),
    ("miette", &["src/diag/render.rs", "src/diag/render"]),
    ("minijinja", &["src/spec", "src/validate", "src/server/template"]),
    ("opendal", &["src/storage"]),
    ("rattler", &["src/environment"]),
    ("serde_yaml", &["src/spec/yaml.rs", "src/spec/yaml"]),
    ("secrecy", &["src/secret"]),
    ("sqlx", &["src/store/database"]),
    ("rattler_", &["src/environment"]),
];

#[test]
fn outside_crates_have_one_door() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        for (name, line) in tidy_imports::outside(&text) {
            let fits = |door: &str| name == door || (door.ends_with('_') && name.starts_with(door));
            let Some((door, places)) = DOORS.iter().find(|(door, _)| fits(door)) else { continue };
            if !places.iter().any(|place| path.starts_with(place)) {
                let place = format!("{}:{line}", path.display());
                problems.push(format!("{place}: only {} may name `{door}`: add a function there", places.join(", ")));
            }
        }
    }
    report(&problems);
}

/// Where a client for the web may be made: with the machine's proxies and certificates, or for an address that is not ours
/// to choose, or to say whether one answers at all. Stores in memory and in folders ask nobody.
const CLIENTS: [&str; 6] = [
    "src/web/client.rs",
    "src/environment/client.rs",
    "src/environment/channel/probe.rs",
    "src/cli/doctor/network.rs",
    "src/server/action/connect.rs",
    "src/storage/stores/mod.rs",
];

#[test]
fn clients_for_the_web_are_made_where_proxies_and_certificates_are_known() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let made = ["Client::builder()", "Client::new()", "reqwest::get("].iter().find(|made| text.contains(**made));
        if let Some(made) = made.filter(|_| !is_test(&path) && !CLIENTS.iter().any(|place| path == Path::new(place))) {
            problems
                .push(format!("{}: `{made}`: take `web::client`, which knows how this machine is set", path.display()));
        }
    }
    report(&problems);
}

/// Where a program is started that is given all that ours has: ourselves, and what a user's keyring is reached by.
const TRUSTED: [&str; 2] = ["src/auth/keyring.rs", "src/server/work/execute.rs"];

#[test]
fn programs_are_started_without_our_secrets() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let starts = code.contains("process::") && code.contains("Command::new(");
        let is_trusted = is_test(&path) || TRUSTED.iter().any(|place| path == Path::new(place));
        let withheld = ["withhold(", "withhold_clouds("].iter().any(|call| code.contains(call));
        if starts && !is_trusted && !withheld {
            problems.push(format!("{}: `Command::new`: hand it to `secret::withhold` first", path.display()));
        }
    }
    report(&problems);
}

#[test]
fn pure_rooms_hold_no_clock_and_touch_no_files() {
    let impure =
        ["std::fs", "fs_err", "tokio", "std::net", "std::process", "std::env", "SystemTime", "Instant", "jiff"];
    let pure = ["src/spec", "src/plan", "src/script"];
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) || !pure.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(word) = impure.iter().find(|word| contains_word(line, word)) {
                let place = format!("{}:{}", path.display(), number + 1);
                problems.push(format!("{place}: `{word}` in a pure room: take the value as an argument"));
            }
        }
    }
    report(&problems);
}

fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        !line[..start].ends_with(joins) && !line[start + word.len()..].starts_with(joins)
    })
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    let mut problems = Vec::new();
    let mut lengths = Vec::new();
    for (path, text) in sources() {
        let length = text.lines().count();
        lengths.push(length);
        if length > LONGEST_FILE {
            problems
                .push(format!("{}: {length} lines, at most {LONGEST_FILE}: split it by what it does", path.display()));
        }
        if !text.starts_with("//!") {
            problems.push(format!("{}: begin with `//!`: what it does, what it never does", path.display()));
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    if median > LONGEST_MEDIAN {
        problems
            .push(format!("src: the median file has {median} lines, at most {LONGEST_MEDIAN}: split the longest ones"));
    }
    for path in files("tests", ".rs") {
        let text = read(&path);
        if text.lines().count() > LONGEST_FILE || !text.starts_with("//!") {
            problems.push(format!("{}: at most {LONGEST_FILE} lines, beginning with `//!`", path.display()));
        }
    }
    report(&problems);
}

#[derive(Default)]
struct Functions {
    long: Vec<(String, usize, usize)>,
}

impl Functions {
    fn take(&mut self, name: &syn::Ident, block: &syn::Block) {
        let (start, end) = (block.span().start().line, block.span().end().line);
        let length = end.saturating_sub(start + 1);
        if length > LONGEST_FUNCTION {
            self.long.push((name.to_string(), start, length));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.take(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.take(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn functions_stay_short() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let mut functions = Functions::default();
        functions.visit_file(&parse(&path, &text));
        for (name, line, length) in functions.long {
            let place = format!("{}:{line}", path.display());
            problems.push(format!("{place}: `{name}` has {length} lines, at most {LONGEST_FUNCTION}: name its parts"));
        }
    }
    report(&problems);
}

fn parse(path: &Path, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fields that an error both shows and hands on as what lies behind it: whoever prints the chain says it twice.
#[derive(Default)]
struct ToldTwice {
    found: Vec<(String, usize)>,
}

impl ToldTwice {
    fn take(&mut self, name: &syn::Ident, attributes: &[syn::Attribute], fields: &syn::Fields) {
        let message = attributes.iter().find(|attribute| attribute.path().is_ident("error"));
        let Some(Ok(message)) = message.map(|attribute| attribute.meta.require_list()) else { return };
        let message = message.tokens.to_string();
        for (at, field) in fields.iter().enumerate() {
            let label = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
            let is_marked = |name: &str| field.attrs.iter().any(|attribute| attribute.path().is_ident(name));
            let is_source = label == "source" || is_marked("source") || is_marked("from");
            let spoken = [format!("{{{label}}}"), format!("{{{label}:"), format!(". {label}"), format!(".{label}")];
            if is_source && spoken.iter().any(|spoken| message.contains(spoken.as_str())) {
                self.found.push((name.to_string(), name.span().start().line));
            }
        }
    }
}

impl<'ast> Visit<'ast> for ToldTwice {
    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.take(&variant.ident, &variant.attrs, &variant.fields);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.take(&item.ident, &item.attrs, &item.fields);
    }
}

fn told_twice(file: &syn::File) -> Vec<(String, usize)> {
    let mut errors = ToldTwice::default();
    errors.visit_file(file);
    errors.found
}

#[test]
fn an_error_shows_what_lies_behind_it_or_hands_it_on_and_never_both() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        for (name, line) in told_twice(&parse(&path, &text)) {
            let place = format!("{}:{line}", path.display());
            problems.push(format!(
                "{place}: `{name}` shows its source, which is printed behind it: leave it out of the message, or call \
                 the field `why`"
            ));
        }
    }
    report(&problems);
    let samples = [
        ("#[error(\"a: {source}\")] A { source: E }", 1),
        ("#[error(\"a: {0}\")] A(#[from] E)", 1),
        ("#[error(\"a: {}\", .why.short())] A { #[source] why: E }", 1),
        ("#[error(\"a: {why}\")] A { why: E }", 0),
        ("#[error(\"a at {path}\")] A { path: P, source: E }", 0),
        ("#[error(transparent)] A(#[from] E)", 0),
        ("#[error(\"a: {0}\")] A(E)", 0),
    ];
    for (sample, expected) in samples {
        let file = syn::parse_file(&format!("enum Sample {{ {sample} }}")).unwrap();
        assert_eq!(told_twice(&file).len(), expected, "{sample}");
    }
}

#[test]
fn modules_are_named_after_what_they_hold() {
    let empty = ["utils", "util", "common", "helpers", "helper", "types", "manager", "service", "misc"];
    let mut problems = Vec::new();
    for path in files("src", ".rs") {
        let parts = path.with_extension("");
        for part in parts.iter().filter(|part| empty.iter().any(|name| part == name)) {
            let part = part.to_string_lossy();
            problems.push(format!("{}: `{part}` says nothing: name what is in it", path.display()));
        }
    }
    report(&problems);
}

#[test]
fn only_the_doors_speak() {
    let speaking = ["println", "eprintln", "print", "eprint", "dbg"];
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) || path.starts_with("src/cli") || path.starts_with("src/report") {
            continue;
        }
        for (name, line) in tidy_imports::macros(&parse(&path, &text)) {
            if speaking.contains(&name.as_str()) {
                let place = format!("{}:{line}", path.display());
                problems
                    .push(format!("{place}: `{name}!` outside cli and report: tell a RunEvent, or return the text"));
            }
        }
    }
    report(&problems);
}

/// A golden belongs to the test whose name, or whose name in quotes, it ends with; goldens named by data belong to
/// files below tests/fixtures.
#[test]
fn every_golden_is_used() {
    let fixtures: Vec<String> =
        files("tests/fixtures", "").iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let mut problems = Vec::new();
    for path in files("src", ".snap").into_iter().chain(files("tests", ".snap")) {
        let text = read(&path);
        let source = text.lines().find_map(|line| line.strip_prefix("source: ")).unwrap_or_default().to_owned();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let name = stem.rsplit("__").next().unwrap();
        let unnumbered = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        let data =
            |text: &str| name.split('-').next().is_some_and(|head| text.contains(&format!("format!(\"{head}-{{")));
        let used = root().join(&source).is_file() && {
            let text = read(Path::new(&source));
            text.contains(name) || text.contains(unnumbered) || data(&text)
        };
        if !used && !fixtures.iter().any(|fixture| fixture.contains(name)) {
            problems.push(format!("{}: no test writes this golden: remove it", path.display()));
        }
    }
    report(&problems);
}

/// What git has, or would take.
fn tracked() -> Vec<PathBuf> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(words).current_dir(root()).output().expect("git lists the files");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let found: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    assert!(found.len() > 10, "git lists no files");
    found
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // Put together here, so that this file does not find itself.
    let places = [
        ["/work", "/wt"],
        ["/work", "/shared"],
        ["/work", "/main"],
        ["../shared/", "reference"],
        ["/root/.", "pyenv"],
        ["/root/.", "cargo"],
    ];
    let places = places.map(|parts| parts.concat());
    let mut problems = Vec::new();
    for path in tracked() {
        let Ok(bytes) = std::fs::read(root().join(&path)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            if let Some(place) = places.iter().find(|place| line.contains(place.as_str())) {
                let at = format!("{}:{}", path.display(), number + 1);
                problems.push(format!("{at}: `{place}` exists on one machine only: use a relative path or a setting"));
            }
        }
    }
    report(&problems);
}
