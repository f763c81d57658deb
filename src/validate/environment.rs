//! The rules of environment.yml: slips that conda and pip report badly, late or not at all.

use super::requirement::{self, package};
use super::rule;
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::spec::pip::{self, PipError, PipLines, Refused, Split};
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
    let told = out.iter().any(|finding| finding.code == "environment/channels");
    if environment.channels.is_none() && !told {
        out.push(
            Diagnostic::note("environment/channels", "no `channels` are named")
                .at(source, crate::diag::Span::default())
                .help(
                    "conda-forge is used, or what `default-channels` of config.yaml says; name the channels to be sure",
                ),
        );
    }
}

/// The `pip:` lines, with the requirement files they name. `root` is the folder that is run, `file` the environment.yml.
pub(super) fn pip(
    tree: &dyn Tree,
    root: &RelPath,
    file: &RelPath,
    environment: &Environment,
    out: &mut Vec<Diagnostic>,
) -> Split {
    let lists = environment.dependencies.iter().filter_map(|dependency| match dependency {
        Dependency::Pip(lines) => Some(lines),
        Dependency::Conda(_) => None,
    });
    let written: Vec<&Spanned<String>> = lists.flatten().collect();
    let texts: Vec<&str> = written.iter().map(|line| line.as_str()).collect();
    let folder = file.parent().unwrap_or_default();
    let shown = folder.to_string();
    // As it is, not as it is shown: a name may hold what no line of a terminal should.
    let split = pip::split(&texts, folder.as_str().unwrap_or(&shown), &mut |path| requirements(tree, path));
    // What a requirements file says is told where that file is named.
    let mut tell = |at: usize, (message, help): (String, String)| {
        let problem = Diagnostic::error("environment/pip-line", message).help(help);
        out.push(match written.get(at) {
            Some(line) => problem.at(&environment.source, line.span),
            None => problem,
        });
    };
    for Refused { at, error } in &split.refused {
        let help = match error {
            PipError::Unreadable { file, .. } => unreadable_help(tree, file),
            other => shown_error(other).help(),
        };
        tell(*at, (shown_error(error).to_string(), help));
    }
    for (at, line) in &split.from {
        if let Some(found) = slip(tree, root, &split.lines, line) {
            tell(*at, found);
        }
    }
    split
}

/// The text of a requirements file.
fn requirements(tree: &dyn Tree, path: &str) -> Result<String, String> {
    let path = RelPath::normalise(path).map_err(|error| error.to_string())?;
    match tree.read(&path, MAX_REQUIREMENTS) {
        Ok(Some(bytes)) => String::from_utf8(bytes.to_vec()).map_err(|_| "it is not UTF-8 text".to_owned()),
        Ok(None) => Err("there is no such file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn unreadable_help(tree: &dyn Tree, file: &str) -> String {
    match RelPath::normalise(file) {
        Ok(path) if tree.entry(&path).is_none() => rule::nearest(tree, &path),
        _ => "save it as a text in UTF-8, one requirement a line".to_owned(),
    }
}

/// The error with its file as paths are shown.
fn shown_error(error: &PipError) -> PipError {
    let shown = |file: &str| RelPath::normalise(file).map_or_else(|_| file.to_owned(), |path| path.to_string());
    match error {
        PipError::Unreadable { file, line, reason } => {
            PipError::Unreadable { file: shown(file), line: line.clone(), reason: reason.clone() }
        }
        PipError::Circle { file } => PipError::Circle { file: shown(file) },
        other => other.clone(),
    }
}

/// What is to be said of a line, wherever it stands.
fn slip(tree: &dyn Tree, root: &RelPath, lines: &PipLines, line: &str) -> Option<(String, String)> {
    if let Some((option, value)) = line.split_once(' ').filter(|_| line.starts_with("--")) {
        return option.ends_with("-url").then(|| requirement::address(value)).flatten();
    }
    let address = requirement::address(line.strip_prefix("-e ").unwrap_or(line));
    let is_local = || lines.local.iter().any(|local| local == line);
    address.or_else(|| if is_local() { missing(tree, root, line) } else { requirement::pip(line) })
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
