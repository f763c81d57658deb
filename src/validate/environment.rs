//! The rules of environment.yml: slips that conda reports badly or not at all.

use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::Tree;
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
            if let Some((message, help)) = slip(line.as_str()) {
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
    if environment.dependencies.is_empty() {
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

/// The `pip:` lines, with the requirement files they name; nothing where one of them cannot be used.
pub(super) fn pip(tree: &dyn Tree, file: &RelPath, environment: &Environment, out: &mut Vec<Diagnostic>) -> PipLines {
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
    let texts: Vec<&str> = written.iter().map(|line| line.value.as_str()).collect();
    pip::split(&texts, &folder.to_string(), &mut read).unwrap_or_else(|error| {
        let message = error.to_string();
        let at = written.iter().find(|line| message.contains(line.value.as_str())).or(written.first());
        let problem = Diagnostic::error("environment/pip-line", message);
        out.push(at.map_or(problem.clone(), |line| problem.at(&environment.source, line.span)));
        PipLines::default()
    })
}

/// The name in `channel::name[…]>=1`.
fn package(line: &str) -> &str {
    let line = line.rsplit("::").next().unwrap_or(line).trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(line.len());
    &line[..end]
}

/// Slips that are seen in real files, with what was meant.
fn slip(line: &str) -> Option<(String, String)> {
    let text = line.trim();
    let name = package(text);
    if text.starts_with('-') {
        return Some((format!("`{text}` is for pip, not for conda"), "move it into the `pip:` section".to_owned()));
    }
    if let Some((before, after)) = text.split_once("=>").or_else(|| text.split_once("=<")) {
        let sign = if text.contains("=>") { ">=" } else { "<=" };
        return Some((format!("`{text}` is not a version range"), format!("did you mean `{before}{sign}{after}`?")));
    }
    let bare = text.trim_end_matches(['=', '<', '>', '!', '~']);
    if bare.len() < text.len() && !name.is_empty() {
        let message = format!("`{text}` ends where the version should stand");
        return Some((message, format!("write `{}`, or add the version", bare.trim_end())));
    }
    if text.contains("git+") || text.contains(" @ ") {
        return Some((format!("`{text}` is for pip, not for conda"), "move it into the `pip:` section".to_owned()));
    }
    let bracket = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('['));
    if bracket.is_some_and(|inside| !inside.contains('=')) {
        let help = format!("move `{text}` into the `pip:` section, or write `{name}`");
        return Some((format!("conda has no extras: `{text}`"), help));
    }
    if name.is_empty() && !text.starts_with(['*', '.', '/']) || text.ends_with(';') {
        return Some((
            format!("`{text}` names no package"),
            "write `- name`, `- name=version` or `- name>=version`".to_owned(),
        ));
    }
    None
}
