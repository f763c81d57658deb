//! The files that tasks name: there, readable, and with a parameters cell.

use super::{Facts, Rule, at};
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::Tree;
use crate::spec::{class, suggest};
use crate::validate::source::{Callable, Found, UpstreamTrouble, is_in_percent};

pub(super) const RULE: Rule = Rule {
    code: "source/file",
    about: "the files that tasks name exist, can be read, and declare `upstream` in a parameters cell",
    check: |facts, out| {
        for (task, found) in facts.tasks() {
            let span = task.span();
            let mut error = |message: String, help: String| out.push(at(RULE.code, message, &task.file, span, help));
            match found {
                Found::Missing(path) => error(format!("there is no file `{path}`"), nearest(facts.tree, path)),
                Found::Folder(path) => error(format!("`{path}` is a folder"), "name a file in it".to_owned()),
                Found::Outside => {
                    let problem = Diagnostic::warning(RULE.code, "this source lies outside of the repository")
                        .at(&task.file, span);
                    out.push(problem.help("the container has only what is in the repository; move it there"));
                }
                Found::Unreadable(why) => {
                    error(format!("the source cannot be read: {why}"), "save it as UTF-8".to_owned());
                }
                Found::Notebook { parameters, broken, trouble, path, .. } => {
                    if let Some(why) = broken {
                        error(format!("`{path}` cannot be run: {why}"), broken_help(why, path).to_owned());
                    }
                    if let Some(trouble) = trouble {
                        error(trouble_message(*trouble, path), trouble_help(*trouble));
                    }
                    if *parameters || broken.is_some() {
                        continue;
                    }
                    let message = format!("`{path}` has no cell tagged `parameters`");
                    if facts.pipeline.meta.source_loader.is_some() {
                        // Ploomber mends only files that it did not load by other ways.
                        error(message, tagging(facts.tree, path).to_owned());
                        continue;
                    }
                    let problem = Diagnostic::warning(RULE.code, message).at(&task.file, span);
                    let tagging = tagging(facts.tree, path);
                    let help = format!("Ploomber writes one into the file when it loads the pipeline; {tagging}");
                    out.push(problem.help(help));
                }
                _ => {}
            }
        }
    },
};

/// How a cell is tagged in this kind of file.
fn tagging(tree: &dyn Tree, path: &RelPath) -> &'static str {
    match ending(path) {
        ".ipynb" => {
            "add a cell with `upstream = None`, and give it the tag `parameters`: in Jupyter, click the gear at the top \
             right, then Cell Tags"
        }
        ".Rmd" => "add a chunk that starts with ```` ```{r, tags=[\"parameters\"]} ````, and `upstream = NULL` in it",
        ".py" if is_in_percent(tree, path) => {
            "add `# %% tags=[\"parameters\"]` and `upstream = None`: where a cell begins with `# %%` or `# In[1]:`, a `# +` \
             begins none"
        }
        ".R" | ".r" if is_in_percent(tree, path) => {
            "add `# %% tags=[\"parameters\"]` and `upstream = NULL`: where a cell begins with `# %%` or `# In[1]:`, a `# +` \
             begins none"
        }
        ".R" | ".r" => "add `# + tags=[\"parameters\"]` and `upstream = NULL`",
        _ => "add `# + tags=[\"parameters\"]` and `upstream = None`",
    }
}

fn ending(path: &RelPath) -> &str {
    class::suffix(std::str::from_utf8(path.file_name()).unwrap_or_default())
}

fn broken_help(why: &str, path: &RelPath) -> &'static str {
    let lacks_code = why.contains("parameters") || why.contains("empty");
    if why.contains("names no kernel") {
        "write `kernelspec_name: python3` in the task, or save the file in Jupyter with a kernel"
    } else if lacks_code && ending(path) == ".ipynb" {
        "add a cell with the task's code below it, in Jupyter"
    } else if lacks_code {
        "add a cell with the task's code: `# +` on a line of its own, and the code below it"
    } else {
        "restore it, or save it again in Jupyter"
    }
}

fn trouble_message(trouble: UpstreamTrouble, path: &RelPath) -> String {
    match trouble {
        UpstreamTrouble::Missing => format!("the parameters cell of `{path}` does not say `upstream`"),
        UpstreamTrouble::WrongKind(kind) => format!("`upstream` of `{path}` is {kind}"),
        UpstreamTrouble::NotLiteral => format!("`upstream` of `{path}` is no literal"),
        UpstreamTrouble::RList => format!("`upstream` of `{path}` is neither a list nor NULL"),
    }
}

fn trouble_help(trouble: UpstreamTrouble) -> String {
    match trouble {
        UpstreamTrouble::Missing => "add `upstream = None`, or a list with the names of the tasks it needs",
        UpstreamTrouble::RList => "write `upstream = list('task')`, or `upstream = NULL`",
        _ => "write `upstream = ['task']`, or `upstream = None`",
    }
    .to_owned()
}

/// A file of a similar name nearby.
pub(crate) fn nearest(tree: &dyn Tree, path: &RelPath) -> String {
    if let Some(meant) = slashed(path) {
        let known = if tree.entry(&meant).is_some() { "" } else { ", and create and commit it" };
        return format!("write `{meant}`: `/` stands between folders{known}");
    }
    match near(tree, path) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "create it and commit it, or correct the path".to_owned(),
    }
}

fn near(tree: &dyn Tree, path: &RelPath) -> Option<RelPath> {
    let folder = path.parent().unwrap_or_default();
    let names = tree.list(&folder);
    let wanted = String::from_utf8_lossy(path.file_name()).into_owned();
    let near = suggest::closest(&wanted, names.iter().filter_map(RelPath::as_str))?;
    RelPath::normalise(near).ok().map(|name| folder.join(&name))
}

/// Written on Windows: to Linux a backslash is a letter of the name.
fn slashed(path: &RelPath) -> Option<RelPath> {
    let text = path.as_str().filter(|text| text.contains('\\'))?;
    RelPath::normalise(&text.replace('\\', "/")).ok()
}

/// The file that was meant by a source which is taken for a function only because of its ending: `load.ipnyb`.
pub(super) fn misspelt(facts: &Facts<'_>, source: &str, callable: &Callable) -> Option<RelPath> {
    let is_function = match callable {
        Callable::NoName { functions, .. } => {
            let name = source.rsplit('.').next().unwrap_or_default();
            suggest::closest(name, functions.iter().map(String::as_str)).is_some()
        }
        Callable::Elsewhere(_) => facts.provided.offers(source.split('.').next().unwrap_or_default()),
        _ => true,
    };
    let ending = class::suffix(source);
    // One letter is more of a function than of an ending.
    if is_function || ending.len() < 3 {
        return None;
    }
    let known = suggest::closest(ending, class::SUFFIXES.map(|(known, _)| known))?;
    let near = near(facts.tree, &facts.pipeline.inside(source)?)?;
    let is_meant = near.file_name() == format!("{}{known}", source.strip_suffix(ending)?).as_bytes();
    is_meant.then_some(near)
}

/// The file that [`nearest`] tells of.
pub(super) fn meant(tree: &dyn Tree, path: &RelPath) -> Option<RelPath> {
    slashed(path).or_else(|| near(tree, path))
}
