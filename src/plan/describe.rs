//! A plan in words, for `--dry-run`.

use super::{Mode, Network, OnConflict, Packages, PlannedProduct, RunPlan};
use crate::id::is_unsightly;
use crate::spec::amount::{count, show_duration, show_size};

/// As many products as one line shows.
const SHOWN: usize = 6;

impl RunPlan {
    /// One line a decision, in the order in which things would happen; `word` quotes a word for the shell. `serde` gives
    /// the same as data.
    pub fn describe(&self, word: &dyn Fn(&str) -> String) -> Vec<String> {
        let mut lines = vec![
            format!("project   {}", self.project),
            format!("commit    {}", self.revision),
            format!("mode      {}", self.mode_in_words()),
        ];
        if !self.pipeline_dir.is_root() {
            lines.push(format!("folder    {}", self.pipeline_dir));
        }
        lines.push(format!("pipeline  {}, {}", as_written(&self.entry_point), self.tasks_in_words()));
        match &self.packages {
            Packages::AsKept => {}
            Packages::Anew => lines.push("packages  solved anew, also for later runs".to_owned()),
            Packages::AsOf(commit) => {
                lines.push(format!("packages  exactly those that `{}` ran with", as_written(commit)));
            }
        }
        lines.push(format!("image     {}", self.image.as_deref().unwrap_or("the runner image")));
        lines.push(format!("limits    {}", self.limits_in_words()));
        if !self.env.is_empty() {
            let names: Vec<&str> = self.env.keys().map(String::as_str).collect();
            lines.push(format!("variables {}", names.join(", ")));
        }
        if !self.secret_names.is_empty() {
            lines.push(format!("secrets   {}", self.secret_names.join(", ")));
        }
        for line in &self.local_installs {
            lines.push(format!("install   {}", as_written(line)));
        }
        lines.push(format!("reuse     {}", self.reuse_in_words()));
        lines.push(format!("build     {}", self.command_in_words(word)));
        lines.extend(self.tasks.iter().map(|task| {
            let products: Vec<String> = task.products.iter().map(product_in_words).collect();
            let more = products.len().saturating_sub(SHOWN);
            let shown = products[..products.len() - more].join(", ");
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!(
                "collect   {}: {}",
                as_written(&task.name),
                if shown.is_empty() { "no files".to_owned() } else { shown + &more }
            )
        }));
        if self.factory.is_some() {
            lines
                .push("collect   what the tasks make, found by the metadata that Ploomber leaves beside it".to_owned());
        }
        lines.push("collect   what lies in /output".to_owned());
        lines.extend(self.outputs.include.iter().map(|glob| format!("collect   {}", as_written(glob))));
        lines.extend(self.outputs.exclude.iter().map(|glob| format!("leave out {}", as_written(glob))));
        let place = if self.storage.is_empty() { "a storage that is still to be given" } else { self.storage.as_str() };
        let conflict = self.conflict_in_words();
        lines.push(format!("publish   {}/{} in {place}, {conflict}", self.project, self.revision));
        lines
    }

    /// How many tasks there are, or that only the run knows.
    pub fn tasks_in_words(&self) -> String {
        match &self.factory {
            None => count(self.tasks.len() as u64, "task"),
            Some(factory) => format!("tasks that `{}` makes when it is run", as_written(factory)),
        }
    }

    fn mode_in_words(&self) -> &'static str {
        match (self.mode, self.sample_flag) {
            (Mode::Full, _) => "full",
            (Mode::Sample, true) => "sample",
            (Mode::Sample, false) => "sample (env.yaml has no key `sample`: all data is used)",
        }
    }

    fn limits_in_words(&self) -> String {
        let limits = &self.limits;
        let mut words = Vec::new();
        words.extend(limits.memory_bytes.map(|bytes| format!("memory {}", show_size(bytes))));
        words.extend(limits.cpus.map(|cpus| {
            format!("{cpus} {}", if (cpus - 1.0).abs() < f64::EPSILON { "processor" } else { "processors" })
        }));
        words.push(if limits.pids == 1 { "1 process".to_owned() } else { format!("{} processes", limits.pids) });
        words.extend(limits.timeout.map(|span| format!("timeout {}", show_duration(span))));
        words.extend(limits.idle_timeout.map(|span| format!("idle timeout {}", show_duration(span))));
        words.extend(limits.disk_bytes.map(|bytes| {
            format!("disk {} (looked at every second where the engine cannot limit it)", show_size(bytes))
        }));
        words.extend(limits.log_bytes.map(|bytes| format!("log {}", show_size(bytes))));
        words.extend((self.network == Network::None).then(|| "no network".to_owned()));
        words.join(", ")
    }

    fn command_in_words(&self, word: &dyn Fn(&str) -> String) -> String {
        let mut words = vec!["ploomber build --entry-point".to_owned(), word(&self.entry_point)];
        words.extend(self.sample_flag.then(|| "--env--sample true".to_owned()));
        words.extend(self.build_args.iter().map(|arg| word(arg)));
        words.join(" ")
    }

    fn reuse_in_words(&self) -> String {
        match self.executes_anew() {
            _ if !self.reuse => "nothing: every task is executed".to_owned(),
            _ if self.revision.dirty_tree.is_some() => "nothing: there are uncommitted changes".to_owned(),
            _ if self.factory.is_some() => "nothing: the pipeline is made while it runs".to_owned(),
            Some(argument) => format!("nothing: `{}` is given to Ploomber", as_written(argument)),
            None => {
                "tasks that nothing changed for; the nearest published ancestor is looked up when it is run".to_owned()
            }
        }
    }

    fn conflict_in_words(&self) -> &'static str {
        match self.on_conflict {
            OnConflict::Fail => "failing when other content is there",
            OnConflict::Keep => "keeping what is there",
            OnConflict::NewRun => "beside what is there",
        }
    }
}

fn product_in_words(product: &PlannedProduct) -> String {
    let declared = as_written(&product.declared);
    match &product.path {
        Some(_) => declared,
        None if product.declared.contains("{{") || product.declared.contains("[[") => {
            format!("{declared} (found after the run)")
        }
        None => format!("{declared} (outside the project)"),
    }
}

/// The text as the user wrote it, what no terminal may get excepted.
fn as_written(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsightly(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}
