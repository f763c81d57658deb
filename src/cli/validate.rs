//! `soopervisor validate`: every finding about a folder's files, in the form asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::args::{self, FindingFormat};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::run;
use super::seam;
use super::seam::looked::{self, Looked};
use crate::diag::{Diagnostic, has_errors, render};
use crate::run::figures::{count, duration};
use crate::spec::Spanned;
use crate::spec::environment::Dependency;
use crate::validate::Project;

pub(super) fn execute(args: &args::Validate, console: Console) -> Result<Exit, Failure> {
    if args.list_rules {
        for (code, about) in seam::rules() {
            Console::answer(&format!("{code:<40} {about}\n"));
        }
        return Ok(Exit::Ok);
    }
    run::check_path(&args.path)?;
    let began = Instant::now();
    let looked = looked::validate(&args.path, &args.files)?;
    let took = began.elapsed();
    let findings = &looked.findings;
    if console.is_verbose() && args.format == FindingFormat::Human {
        Console::note(&seen(&looked, seam::rules().len(), took));
    }
    match args.format {
        FindingFormat::Human if findings.is_empty() => Console::answer("everything is fine\n"),
        FindingFormat::Human => Console::answer(&draw(findings, console, console.stdout().color)),
        FindingFormat::Json => Console::answer(&format!("{}\n", render::json(findings))),
        FindingFormat::Github => Console::answer(&render::github(findings)),
    }
    if let (Some(none), FindingFormat::Human) = (&looked.no_commit, args.format) {
        let help = none.help.iter().map(|help| format!("help: {help}\n"));
        Console::note(&format!("note: {}\n{}", none.what, help.collect::<String>()));
    }
    Ok(if has_errors(findings) { Exit::InvalidSpec } else { Exit::Ok })
}

/// What was read, what it comes to, and what it was held against.
fn seen(looked: &Looked, rules: usize, took: Duration) -> String {
    let read: Vec<String> = looked.read.iter().map(ToString::to_string).collect();
    let mut text = match &read[..] {
        [] => "read         nothing\n".to_owned(),
        files => format!("read         {}\n", files.join(", ")),
    };
    if let Some(project) = &looked.project {
        text += &of_project(project);
    }
    let rules = count(rules as u64, "rule");
    let findings = count(looked.findings.len() as u64, "finding");
    text += &format!("checked      {rules} in {}: {findings}\n", duration(took));
    text
}

/// The environment and the pipeline in a line or two each.
fn of_project(project: &Project) -> String {
    let environment = &project.environment;
    let channels = environment.channels.as_deref().unwrap_or_default();
    let channels: Vec<&str> = channels.iter().map(Spanned::as_str).collect();
    let from = if channels.is_empty() { "no channel of its own".to_owned() } else { channels.join(", ") };
    let conda = environment.dependencies.iter().filter(|one| matches!(one, Dependency::Conda(_))).count();
    let pip = project.pip.remote.len() + project.pip.local.len();
    let mut text = format!(
        "environment  {}: {} of conda (from {from}), {} of pip\n",
        project.environment_path,
        count(conda as u64, "package"),
        count(pip as u64, "requirement"),
    );
    text += &of_pipeline(project);
    if let Some(env) = &project.env {
        let keys = env.root.as_map().unwrap_or_default().iter().filter_map(|(key, _)| key.scalar_text());
        text += &format!("values       {}: {}\n", env.source.name, keys.collect::<Vec<_>>().join(", "));
    }
    text
}

/// The tasks of the pipeline, or what makes them.
fn of_pipeline(project: &Project) -> String {
    if let Some(factory) = &project.pipeline.location {
        return format!(
            "pipeline     {}: tasks that `{}` makes when it is run; not looked at\n",
            project.entry_point,
            factory.as_str()
        );
    }
    let tasks = &project.pipeline.tasks;
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for class in tasks.iter().filter_map(|task| task.class) {
        *classes.entry(class.name).or_default() += 1;
    }
    let classes: Vec<String> = classes.iter().map(|(class, number)| format!("{number} {class}")).collect();
    let products: usize = tasks.iter().map(|task| task.products.len()).sum();
    let edges: usize = tasks.iter().map(|task| task.upstream.len()).sum();
    format!(
        "pipeline     {}: {} ({}), {}, {} between tasks\n",
        project.entry_point,
        count(tasks.len() as u64, "task"),
        classes.join(", "),
        count(products as u64, "product"),
        count(edges as u64, "connection"),
    )
}

/// Findings that come beside an answer go to stderr.
pub(super) fn show_findings(findings: &[Diagnostic], console: Console) {
    if !findings.is_empty() {
        Console::note(&draw(findings, console, console.stderr().color));
    }
}

fn draw(findings: &[Diagnostic], console: Console, color: bool) -> String {
    let style = console.stdout();
    render::human(findings, render::Style { color, unicode: style.unicode, width: style.width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RelPath;
    use crate::repo::MemoryTree;
    use crate::validate::Options;

    #[test]
    fn what_was_read_and_what_it_comes_to_is_told_with_what_it_was_held_against() {
        let files = [
            (
                "environment.yml",
                "channels: [conda-forge]\ndependencies: [python=3.11, pip, {pip: [pandas, ploomber]}]\n",
            ),
            ("env.yaml", "out: output\n"),
            (
                "pipeline.yaml",
                "tasks:\n  - {source: a.py, product: '{{out}}/a.ipynb'}\n  - {source: s.sh, product: '{{out}}/b'}\n",
            ),
            ("a.py", "# + tags=[\"parameters\"]\nupstream = None\nproduct = None\n\n# +\nx = 1\n"),
            ("s.sh", "cp {{upstream['a']}} {{product}}\n"),
            ("other.py", "x = 1\n"),
        ];
        let tree = files.into_iter().fold(MemoryTree::new(), |tree, (path, text)| tree.with(path, text));
        let looked = looked::look(&tree, &RelPath::root(), &Options::default());
        let text = seen(&looked, 12, Duration::from_millis(4));
        let read = text.lines().next().unwrap();
        for file in ["environment.yml", "env.yaml", "pipeline.yaml", "a.py", "s.sh"] {
            assert_eq!(read.matches(file).count(), 1, "{text}");
        }
        assert!(read.starts_with("read ") && !read.contains("other.py"), "{text}");
        for line in [
            "environment  environment.yml: 2 packages of conda (from conda-forge), 2 requirements of pip\n",
            "pipeline     pipeline.yaml: 2 tasks (1 NotebookRunner, 1 ShellScript), 2 products, 1 connection between tasks\n",
            "values       env.yaml: out\n",
            "checked      12 rules in 4 ms: 0 findings\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn of_a_pipeline_that_a_function_makes_no_number_of_tasks_is_told() {
        let tree = MemoryTree::new()
            .with("environment.yml", "channels: [conda-forge]\ndependencies: [python=3.11, pip, {pip: [ploomber]}]\n")
            .with("pipeline.yaml", "location: flow.make\n")
            .with("flow.py", "def make():\n    return None\n");
        let text = seen(&looked::look(&tree, &RelPath::root(), &Options::default()), 1, Duration::from_millis(1));
        assert!(text.contains("pipeline.yaml: tasks that `flow.make` makes when it is run"), "{text}");
        assert!(!text.contains("0 tasks"), "{text}");
    }

    #[test]
    fn of_a_folder_without_files_it_is_said_that_nothing_was_read() {
        let looked = looked::look(&MemoryTree::new(), &RelPath::root(), &Options::default());
        let text = seen(&looked, 1, Duration::from_millis(1));
        assert!(text.starts_with("read         nothing\nchecked      1 rule in 1 ms: "), "{text}");
    }
}
