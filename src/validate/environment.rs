//! The rules of environment.yml: slips that conda and pip report badly, late or not at all.

use super::requirement::{self, package};
use super::rule;
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::spec::pip::{self, PipLines};
use crate::spec::{Dependency, Environment, Spanned};

/// Longer requirement files are refused.
const MAX_REQUIREMENTS: u64 = 1 << 20;

/// Checks what is written; whether packages exist is for the solver.
pub(super) fn check(environment: &Environment, out: &mut Vec<Diagnostic>) {
    let source = &environment.source;
    let mut error = |code, message: String, place: &Spanned<String>, help: String| {
        out.push(Diagnostic::error(code, message).at(source, place.span).help(help));
    };
    if let Some(name) = &environment.name {
        let text = name.as_str();
        if matches!(text, "base" | "root") || text.contains(['/', ' ', ':', '#']) {
            error(
                "environment/name",
                format!("an environment cannot be called `{text}`"),
                name,
                "use letters, digits, `-` and `_`".to_owned(),
            );
        }
    }
    let mut conda = Vec::new();
    for dependency in &environment.dependencies {
        if let Dependency::Conda(line) = dependency {
            if let Some((message, help)) = requirement::conda(line.as_str()) {
                error("environment/dependency", message, line, help);
            }
            conda.push(package(line.as_str()).to_lowercase());
        }
    }
    let pip = environment.dependencies.iter().find_map(|dependency| match dependency {
        Dependency::Pip(lines) => lines.first(),
        Dependency::Conda(_) => None,
    });
    if let Some(first) = pip.filter(|_| !conda.iter().any(|name| name == "pip")) {
        let warning =
            Diagnostic::warning("environment/no-pip", "there is a `pip:` section, but `pip` is no dependency");
        out.push(warning.at(source, first.span).help("add `- pip` above it; until then conda adds it by itself"));
    }
    // That there is no list, or that it holds what is none, was told already.
    let told = out.iter().any(|finding| finding.code.starts_with("environment/dep"));
    if environment.dependencies.is_empty() && !told {
        out.push(
            Diagnostic::error("environment/dependencies", "environment.yml asks for nothing")
                .at(source, crate::diag::Span::default())
                .help("list at least `- python=3.11` below `dependencies:`"),
        );
    }
    if environment.channels.is_none() {
        out.push(
            Diagnostic::note("environment/channels", "no `channels` are named")
                .at(source, crate::diag::Span::default())
                .help(
                    "conda-forge is used, or what `default-channels` of config.yaml says; name the channels to be sure",
                ),
        );
    }
}

/// The `pip:` lines, with the requirement files they name; nothing where one of them cannot be used. `root` is the
/// folder that is run, `file` the environment.yml.
pub(super) fn pip(
    tree: &dyn Tree,
    root: &RelPath,
    file: &RelPath,
    environment: &Environment,
    out: &mut Vec<Diagnostic>,
) -> PipLines {
    let lists = environment.dependencies.iter().filter_map(|dependency| match dependency {
        Dependency::Pip(lines) => Some(lines),
        Dependency::Conda(_) => None,
    });
    let written: Vec<&Spanned<String>> = lists.flatten().collect();
    let folder = file.parent().unwrap_or_default();
    let mut read = |path: &str| -> Result<String, String> {
        let path = RelPath::normalise(path).map_err(|error| error.to_string())?;
        match tree.read(&path, MAX_REQUIREMENTS) {
            Ok(Some(bytes)) => String::from_utf8(bytes.to_vec()).map_err(|_| "it is not UTF-8 text".to_owned()),
            Ok(None) => Err("there is no such file in the commit".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    let problem = |message: String, at: Option<&&Spanned<String>>| {
        let problem = Diagnostic::error("environment/pip-line", message);
        at.map_or(problem.clone(), |line| problem.at(&environment.source, line.span))
    };
    let texts: Vec<&str> = written.iter().map(|line| line.value.as_str()).collect();
    let lines = pip::split(&texts, &folder.to_string(), &mut read).unwrap_or_else(|error| {
        let message = error.to_string();
        let at = written.iter().find(|line| message.contains(line.value.as_str())).or(written.first());
        out.push(problem(message, at));
        PipLines::default()
    });
    // What a requirements file says is told where that file is named.
    let place = |line: &str| {
        let named = written
            .iter()
            .find(|one| ["-r", "--requirement"].iter().any(|option| one.value.trim_start().starts_with(option)));
        written.iter().find(|one| one.value.contains(line.trim_start_matches("-e "))).or(named).or(written.first())
    };
    for line in &lines.remote {
        if let Some((message, help)) = requirement::pip(line) {
            out.push(problem(message, place(line)).help(help));
        }
    }
    for line in &lines.local {
        if let Some((message, help)) = missing(tree, root, line) {
            out.push(problem(message, place(line)).help(help));
        }
    }
    lines
}

/// What is to be said of a line that installs what is not in the repository; pip is started in `root`.
fn missing(tree: &dyn Tree, root: &RelPath, line: &str) -> Option<(String, String)> {
    let path = requirement::path(line)?;
    let prefix = root.as_str()?;
    let Ok(inside) = RelPath::normalise(format!("{prefix}/{path}").trim_start_matches('/')) else {
        let message = format!("`{line}` installs something outside of the repository");
        return Some((message, "the container has only what is in the repository; move it there".to_owned()));
    };
    // What a link or another repository leads to is not looked at.
    let unclear = std::iter::successors(Some(inside.clone()), RelPath::parent)
        .any(|at| matches!(tree.entry(&at), Some(EntryKind::Link | EntryKind::Submodule)));
    if inside.is_root() || unclear || tree.entry(&inside).is_some() {
        return None;
    }
    let what = if path.to_ascii_lowercase().ends_with(".whl") { "file" } else { "file or folder" };
    Some((format!("`{line}` installs `{inside}`, and there is no such {what}"), rule::nearest(tree, &inside)))
}
