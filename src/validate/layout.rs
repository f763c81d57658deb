//! Which file is the pipeline, and which folder its paths are relative to: Ploomber's own search, on a tree.

use super::{absent, below, is_file};
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};

/// Where the pipeline is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The file.
    pub file: RelPath,
    /// The folder that sources and products are relative to.
    pub root: RelPath,
}

/// How deep other pipelines are looked for, and how many are named.
const SEARCH_LEVELS: usize = 3;
const SHOWN: usize = 5;

/// How many folders upwards Ploomber looks.
const LEVELS: usize = 6;

/// Finds the pipeline of the project in `base`; `named` is the user's own choice.
pub(super) fn find(
    tree: &dyn Tree,
    base: &RelPath,
    named: Option<&str>,
    typed: Option<&str>,
) -> Result<Layout, Box<Diagnostic>> {
    if let Some(named) = named {
        let path = below_checked(base, named)?;
        return if is_file(tree, &path) {
            layout(tree, path)
        } else {
            Err(Box::new(
                missing(&path, format!("the pipeline `{named}` does not exist"))
                    .help("correct the path; it is relative to the folder that is run"),
            ))
        };
    }
    if let Some(entry) = setup_cfg(tree, base) {
        let path = below_checked(base, &entry)?;
        if is_file(tree, &path) {
            return layout(tree, path);
        }
        let problem = missing(&path, format!("setup.cfg names the entry point `{entry}`, which does not exist"));
        return Err(Box::new(problem.help("correct `entry-point` below `[ploomber]` in setup.cfg")));
    }
    let top = below(base, "pipeline.yaml");
    let packaged = package_pipeline(tree, base);
    let setup = is_file(tree, &below(base, "setup.py"));
    match (is_file(tree, &top), packaged, setup) {
        (true, Some(other), true) => {
            let problem = missing(&top, format!("there are two pipelines: `{top}` and `{other}`"));
            Err(Box::new(problem.help(format!("keep one of them, or rename one, such as `{}`", renamed(&other)))))
        }
        (true, _, _) => layout(tree, top),
        (false, Some(file), true) => layout(tree, file),
        (false, Some(file), false) => Err(Box::new(no_setup(&file))),
        (false, None, _) => Err(Box::new(nothing(tree, base, &top, typed))),
    }
}

fn nothing(tree: &dyn Tree, base: &RelPath, top: &RelPath, typed: Option<&str>) -> Diagnostic {
    if matches!(tree.entry(top), Some(EntryKind::Folder)) {
        let problem = missing(top, format!("`{top}` is a folder"));
        return problem.help("rename the folder, and write the pipeline to a file of that name");
    }
    let problem = missing(top, "there is no pipeline.yaml".to_owned());
    let near =
        ["pipeline.yml", "pipelines.yaml", "ploomber.yaml"].into_iter().find(|name| is_file(tree, &below(base, name)));
    match near {
        Some(name) => {
            problem.help(format!("rename `{name}` to `pipeline.yaml`, or write `pipeline: {name}` in soopervisor.yaml"))
        }
        None => problem.help(choice(&candidates(tree, base), below_command(tree, base, typed).as_deref())),
    }
}

/// Which of the files to run, and how.
fn choice(candidates: &[RelPath], command: Option<&str>) -> String {
    let named = |path: &RelPath| format!("`--pipeline {}`", word(&path.to_string()));
    match (candidates, command) {
        ([], _) => "add a pipeline.yaml, or name yours with `pipeline:` in soopervisor.yaml".to_owned(),
        ([only], Some(command)) => format!("there is `{only}`: {command}"),
        ([only], None) => format!("there is `{only}`: run it with {}", named(only)),
        ([first, rest @ ..], _) => {
            let rest = rest.iter().fold(String::new(), |text, path| text + &format!(", `{path}`"));
            let how = command.map_or_else(|| format!("choose one with {}", named(first)), str::to_owned);
            format!("there are `{first}`{rest}: {how}")
        }
    }
}

/// What runs the project in a folder below `base`, where `base` has none and the folder has an environment.yml of its
/// own beside its pipeline.
pub(super) fn below_command(tree: &dyn Tree, base: &RelPath, typed: Option<&str>) -> Option<String> {
    let has = |folder: &RelPath, name: &str| is_file(tree, &below(folder, name));
    let whole = |folder: &RelPath| has(folder, "environment.yml") || has(folder, "environment.yaml");
    if whole(base) || has(base, "pipeline.yaml") {
        return None;
    }
    let found = candidates(tree, base);
    let own = |path: &&RelPath| path.parent().is_some_and(|folder| !folder.is_root() && whole(&base.join(&folder)));
    let usual = |path: &&RelPath| path.file_name() == b"pipeline.yaml";
    let path = found.iter().filter(own).find(usual).or_else(|| found.iter().find(own))?;
    let folder = path.parent()?;
    let option = match String::from_utf8_lossy(path.file_name()) {
        name if name == "pipeline.yaml" => String::new(),
        name => format!(" --pipeline {}", word(&name)),
    };
    Some(match typed.map(|typed| typed.trim_end_matches('/')) {
        Some("." | "") => format!("run `soopervisor {}{option}`", word(&folder.to_string())),
        Some(typed) => format!("run `soopervisor {}{option}`", word(&format!("{typed}/{folder}"))),
        None => format!("run the folder `{folder}` in its place"),
    })
}

/// One word for a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-+/@,:%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Files below the folder that are named like pipelines, as somebody who has to choose one would see them.
fn candidates(tree: &dyn Tree, base: &RelPath) -> Vec<RelPath> {
    let mut found = Vec::new();
    let mut folders = vec![base.clone()];
    for _ in 0..SEARCH_LEVELS {
        let mut next = Vec::new();
        for path in folders.iter().flat_map(|folder| tree.list(folder).into_iter().map(|name| folder.join(&name))) {
            let name = String::from_utf8_lossy(path.file_name()).into_owned();
            match tree.entry(&path) {
                Some(EntryKind::Folder) if !name.starts_with('.') => next.push(path),
                Some(EntryKind::File { .. })
                    if name.starts_with("pipeline") && name.strip_suffix(".yaml").is_some() =>
                {
                    found.push(path.strip_prefix(base).unwrap_or(path));
                }
                _ => {}
            }
        }
        folders = next;
    }
    if found.is_empty() {
        // Of the folder that is run, also what only reads like a pipeline.
        let named = tree.list(base).into_iter().map(|name| base.join(&name));
        let like = named.filter(|path| path.file_name().ends_with(b".yaml") && has_tasks(tree, path));
        found = like.map(|path| path.strip_prefix(base).unwrap_or(path)).collect();
    }
    found.truncate(SHOWN);
    found
}

/// Whether a line begins with `tasks:`; enough to name a file, not to read it.
fn has_tasks(tree: &dyn Tree, path: &RelPath) -> bool {
    let Some(EntryKind::File { .. }) = tree.entry(path) else { return false };
    let bytes = tree.read(path, 1 << 20).ok().flatten().unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"tasks:"))
}

fn no_setup(file: &RelPath) -> Diagnostic {
    let problem = missing(file, format!("`{file}` is inside a package, but there is no setup.py"));
    problem.help("add a setup.py, or move pipeline.yaml to the top of the repository")
}

fn missing(path: &RelPath, message: String) -> Diagnostic {
    let (source, span) = absent(path);
    Diagnostic::error("layout/pipeline", message).at(&source, span)
}

fn renamed(path: &RelPath) -> String {
    path.to_string().replace("pipeline.yaml", "pipeline.other.yaml")
}

fn below_checked(base: &RelPath, named: &str) -> Result<RelPath, Box<Diagnostic>> {
    let prefix = base.as_str().unwrap_or_default();
    RelPath::normalise(format!("{prefix}/{named}").trim_start_matches('/')).map_err(|_| {
        let problem =
            Diagnostic::error("layout/pipeline", format!("the pipeline `{named}` is outside of the repository"));
        Box::new(problem.help("name a file below the folder that is run"))
    })
}

/// `entry-point` below `[ploomber]`.
fn setup_cfg(tree: &dyn Tree, base: &RelPath) -> Option<String> {
    let bytes = tree.read(&below(base, "setup.cfg"), 1 << 20).ok()??;
    let text = String::from_utf8_lossy(&bytes);
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[ploomber]";
        } else if let (true, Some((key, value))) = (inside, line.split_once(['=', ':']))
            && key.trim() == "entry-point"
            && !value.trim().is_empty()
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// `src/*/pipeline.yaml`, the first by name.
fn package_pipeline(tree: &dyn Tree, base: &RelPath) -> Option<RelPath> {
    let src = below(base, "src");
    let folders = tree.list(&src).into_iter().filter(|name| !name.as_bytes().ends_with(b".egg-info"));
    folders.map(|name| below(&src.join(&name), "pipeline.yaml")).find(|path| is_file(tree, path))
}

/// The folder of the file, or the one of setup.py where the pipeline is part of a package.
fn layout(tree: &dyn Tree, file: RelPath) -> Result<Layout, Box<Diagnostic>> {
    let folder = file.parent().unwrap_or_default();
    let in_src = folder.parent().is_some_and(|parent| parent.file_name() == b"src");
    let mut at = Some(folder.clone());
    for level in 0..LEVELS {
        let Some(current) = at else { break };
        if matches!(tree.entry(&below(&current, "setup.py")), Some(EntryKind::File { .. })) && (level == 0 || in_src) {
            return Ok(Layout { file, root: current });
        }
        at = current.parent();
    }
    if in_src { Err(Box::new(no_setup(&file))) } else { Ok(Layout { file, root: folder }) }
}
