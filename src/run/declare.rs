//! The checked project in the words of the plan. Translation only: nothing is decided here.

use crate::diag::Span;
use crate::id::RelPath;
use crate::plan::{Declared, DeclaredTask, Network, OnConflict, OutputRules, Request};
use crate::spec::{Dependency, Environment, ProductKind, Settings, Spanned, Task};
use crate::validate::Project;

/// What the project declares.
pub(super) fn declared(project: &Project) -> Declared {
    let settings = &project.settings;
    let texts = |list: &[Spanned<String>]| list.iter().map(|entry| entry.value.clone()).collect();
    Declared {
        entry_point: project.entry_point.clone(),
        declares_sample: project.env.as_ref().is_some_and(|env| env.declares("sample")),
        tasks: project.pipeline.tasks.iter().map(|task| declared_task(project, task)).collect(),
        factory: project.pipeline.location.as_ref().map(|location| location.value.clone()),
        local_installs: local_installs(project),
        settings: requested(settings),
        outputs: OutputRules { include: texts(&settings.outputs), exclude: texts(&settings.exclude) },
    }
}

/// The environment file's own lines; a package that no line installs is installed as users expect.
fn local_installs(project: &Project) -> Vec<String> {
    let mut installs = project.pip.local.clone();
    let itself = |line: &String| {
        let path = line.trim_start_matches("-e").trim_start_matches("--editable").trim();
        let path = path.split('[').next().unwrap_or_default().trim_end_matches('/');
        path == "." || path.is_empty()
    };
    if project.package && !installs.iter().any(itself) {
        installs.insert(0, ".".to_owned());
    }
    installs
}

fn declared_task(project: &Project, task: &Task) -> DeclaredTask {
    let files = task.products.iter().filter(|product| product.kind == ProductKind::File);
    let root = project.pipeline.root.strip_prefix(&project.dir).unwrap_or_default();
    let folder = if project.pipeline.meta.product_relative_to_source { task.source_folder() } else { "" };
    let from = RelPath::normalise(folder).map_or_else(|_| root.clone(), |folder| root.join(&folder));
    let grid = task.node.get("grid").is_some();
    let shown = |text: &String| if grid { numbered(text) } else { text.clone() };
    DeclaredTask {
        name: task.name.value.clone(),
        source: task.source.as_ref().map(|source| source.value.clone()).unwrap_or_default(),
        products: files.map(|product| (product.key.clone(), shown(&product.text.value))).collect(),
        products_from: from.to_string(),
        upstream: task.upstream.iter().map(|name| name.value.clone()).collect(),
    }
}

/// A grid's product: Ploomber puts the number of each of its tasks behind the stem, before all suffixes.
fn numbered(path: &str) -> String {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let stem = path[name..].bytes().take_while(|byte| *byte == b'.').count();
    let end = path[name + stem..].find('.').map_or(path.len(), |dot| name + stem + dot);
    format!("{}-[[number]]{}", &path[..end], &path[end..])
}

/// soopervisor.yaml as a request that anything on the command line overrides.
fn requested(settings: &Settings) -> Request {
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.value.clone());
    Request {
        mode: None,
        project: text(&settings.project),
        image: text(&settings.image),
        env: settings.env.clone(),
        secret_names: settings.secrets.iter().map(|secret| secret.name.value.clone()).collect(),
        memory_bytes: settings.limits.memory,
        cpus: settings.limits.cpus,
        pids: settings.limits.pids,
        timeout: settings.limits.timeout,
        idle_timeout: settings.limits.idle_timeout,
        disk_bytes: settings.limits.disk,
        log_bytes: settings.limits.log_limit,
        // `validate` refused every other word.
        network: text(&settings.network).map(|word| if word == "none" { Network::None } else { Network::Bridge }),
        build_args: settings.args.iter().map(|arg| arg.value.clone()).collect(),
        storage: text(&settings.storage),
        on_conflict: text(&settings.on_conflict).map(|word| match word.as_str() {
            "keep" => OnConflict::Keep,
            "new-run" => OnConflict::NewRun,
            _ => OnConflict::Fail,
        }),
        split_streams: settings.split_streams.unwrap_or(false),
        refresh: false,
        frozen_as: None,
        no_reuse: settings.reuse == Some(false),
    }
}

/// Every entry of environment.yml with its place.
pub(super) fn environment_entries(file: &Environment) -> impl Iterator<Item = (&str, Span)> {
    let channels = file.channels.iter().flatten();
    let dependencies = file.dependencies.iter().flat_map(|dependency| match dependency {
        Dependency::Conda(entry) => std::slice::from_ref(entry),
        Dependency::Pip(entries) => entries.as_slice(),
    });
    channels.chain(dependencies).map(|entry| (entry.value.as_str(), entry.span))
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn a_grids_products_get_a_number_where_ploomber_puts_it() {
        for (written, seen) in [
            ("out/fit.ipynb", "out/fit-[[number]].ipynb"),
            ("out.d/a.tar.gz", "out.d/a-[[number]].tar.gz"),
            ("out/plain", "out/plain-[[number]]"),
            (".hidden", ".hidden-[[number]]"),
            ("out/[[x]].csv", "out/[[x]]-[[number]].csv"),
        ] {
            assert_eq!(numbered(written), seen);
        }
    }
}
