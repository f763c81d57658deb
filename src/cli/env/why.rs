//! `soopervisor env why`: the inputs behind a key, or what the environment of a project would be.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::{args, seam, validate};
use super::short;
use crate::environment::{Difference, Verdict, rows};
use crate::run::request::RunRequest;
use crate::run::stop::Stop;
use crate::store::Home;

/// Shorter beginnings of keys are more likely a folder's name.
const SHORTEST: usize = 4;

pub(super) fn execute(args: &args::EnvWhy, home: &Home, console: Console) -> Result<Exit, Failure> {
    match key(&args.what) {
        Some(key) => of_key(&key, home),
        None => of_project(args, home, console),
    }
}

/// What can only be meant as a key: hexadecimal digits, and nothing of that name is here.
fn key(what: &Path) -> Option<String> {
    let text = what.to_str().filter(|text| text.len() >= SHORTEST && text.len() <= 64)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (digits && !what.exists()).then(|| text.to_ascii_lowercase())
}

fn of_key(key: &str, home: &Home) -> Result<Exit, Failure> {
    let found = match seam::environments(home)? {
        Some(store) => store.inputs_of(key).map_err(Stop::from)?,
        None => Vec::new(),
    };
    match found.as_slice() {
        [(key, inputs)] => {
            Console::answer(&format!("{} was made from\n{}", short(key), describe(inputs)));
            Ok(Exit::Ok)
        }
        [] => Err(Failure::new(Exit::Usage, format!("no environment has a key that begins with `{key}`"))
            .help("soopervisor env list")),
        many => Err(Failure::new(Exit::Usage, format!("`{key}` fits {} environments", many.len()))
            .why(many.iter().map(|(key, _)| short(key)).collect::<Vec<_>>().join(", "))
            .help("type more of the key")),
    }
}

fn of_project(args: &args::EnvWhy, home: &Home, console: Console) -> Result<Exit, Failure> {
    if !args.what.is_dir() {
        let failure = Failure::new(Exit::Usage, format!("there is no folder `{}`", args.what.display()));
        return Err(failure.help("a project's folder, or a key of `soopervisor env list`"));
    }
    let request = RunRequest {
        path: args.what.clone(),
        pipeline: args.files.pipeline.clone(),
        environment: args.files.environment.clone(),
        // No line of the environment depends on where outputs go, or on whether the changes are committed.
        storage: Some("local:artifacts".to_owned()),
        allow_dirty: true,
        ..RunRequest::default()
    };
    let decided = seam::environment_of(&request, home)?;
    let Some(verdict) = decided.value else {
        validate::show_findings(&decided.findings, console);
        return Ok(Exit::InvalidSpec);
    };
    Console::answer(&tell(&verdict));
    Ok(Exit::Ok)
}

fn tell(verdict: &Verdict) -> String {
    let key = short(&verdict.key);
    let mut text = match (&verdict.nearest, verdict.exists) {
        (_, true) => format!("{key} is built: a run reuses it\n"),
        (None, false) => format!("{key} is not built, and neither is any other\n"),
        (Some((nearest, differences)), false) => {
            let list: String = differences.iter().map(difference).collect();
            format!("{key} is not built; the nearest is {}, which differs in\n{list}", short(nearest))
        }
    };
    let _ = write!(text, "\nthe inputs of {key}\n{}", describe(&verdict.inputs));
    text
}

fn difference(one: &Difference) -> String {
    let lines = |sign: &str, rows: &[String]| {
        rows.iter().fold(String::new(), |text, row| text + "    " + sign + " " + row + "\n")
    };
    format!("  {}\n{}{}", one.input, lines("+", &one.added), lines("-", &one.removed))
}

fn describe(inputs: &Value) -> String {
    let mut text = String::new();
    for (name, value) in inputs.as_object().into_iter().flatten() {
        let rows = rows(value);
        // Writing to a string does not fail.
        let _ = match rows.as_slice() {
            [] => writeln!(text, "  {name}: none"),
            [one] => writeln!(text, "  {name}: {one}"),
            many => writeln!(text, "  {name}:\n    {}", many.join("\n    ")),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_project_that_would_be_built_anew_is_told_what_differs() {
        let inputs =
            json!({"layout": 1, "specs": ["python 3.11.*", "pip"], "pip": ["ploomber==0.23.3"], "variables": {}});
        let difference = Difference {
            input: "pip".to_owned(),
            added: vec!["ploomber==0.23.3".to_owned()],
            removed: vec!["ploomber".to_owned()],
        };
        let verdict =
            Verdict { key: "a".repeat(64), inputs, exists: false, nearest: Some(("b".repeat(64), vec![difference])) };
        insta::assert_snapshot!("env_why", tell(&verdict));
        assert!(tell(&Verdict { exists: true, ..verdict }).starts_with("aaaaaaaaaaaaaaaa is built: a run reuses it\n"));
    }

    #[test]
    fn a_folder_that_is_there_is_never_taken_for_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cafe");
        assert_eq!(key(Path::new("no-such-folder-cafe")), None);
        assert_eq!(key(Path::new("CAFE0123")).as_deref(), Some("cafe0123"));
        assert_eq!(key(Path::new("abc")), None);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(key(&path), None);
    }
}
