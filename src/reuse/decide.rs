//! The decision: which tasks nothing changed for, between two commits of a project. Pure: trees in, reasons out.

use std::collections::{BTreeMap, BTreeSet};

use super::corpus::Corpus;
use super::frame::{env_path, products, same, same_frame, specs_of, unfit, values};
use super::naming::Naming;
use super::words::{leaves_elsewhere, listing_in_words, lists_folders};
use super::{graph, module};
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::spec::Task;
use crate::validate::{Origin, Project, has_word, origins, outline};

/// One commit of a project.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Its files.
    pub tree: &'a dyn Tree,
    /// What they declare.
    pub project: &'a Project,
}

/// What is compared.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The commit whose products are there.
    pub before: Side<'a>,
    /// The commit that is run.
    pub after: Side<'a>,
    /// Every path that differs between them.
    pub changed: &'a [RelPath],
    /// Tasks whose products cannot be had, and why.
    pub unavailable: &'a BTreeMap<String, String>,
    /// Why tasks of the earlier run may have handed each other more than products, where they may.
    pub entangled: Option<&'a str>,
}

/// What is to be done with each task, in the order of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Names, and why a task is executed; without a reason it is taken over.
    pub tasks: Vec<(String, Option<String>)>,
}

impl Decision {
    /// Everything is executed for one reason.
    pub fn nothing<'a>(names: impl IntoIterator<Item = &'a str>, reason: &str) -> Self {
        Self { tasks: names.into_iter().map(|name| (name.to_owned(), Some(reason.to_owned()))).collect() }
    }

    /// Names of the tasks that are taken over.
    pub fn reused(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter(|(_, reason)| reason.is_none()).map(|(name, _)| name.as_str())
    }
}

/// Decides.
pub fn decide(case: &Case<'_>) -> Decision {
    let names = case.after.project.pipeline.tasks.iter().map(|task| task.name.as_str());
    match Comparison::of(case).and_then(Comparison::settle) {
        Ok(decision) => decision,
        Err(reason) => Decision::nothing(names, &reason),
    }
}

/// Everything that is known while a decision is made. An `Err` is why everything is executed.
struct Comparison<'a> {
    case: &'a Case<'a>,
    tasks: &'a [Task],
    old: BTreeMap<&'a str, &'a Task>,
    origins: Vec<Origin>,
    old_origins: BTreeMap<&'a str, Origin>,
    needs: Vec<Option<BTreeSet<usize>>>,
    corpus: Option<Corpus>,
    /// The code of each task, in all versions; functions with what their module does for all of them.
    codes: Vec<Vec<String>>,
    reasons: Vec<Option<String>>,
}

impl<'a> Comparison<'a> {
    fn of(case: &'a Case<'a>) -> Result<Self, String> {
        let (before, after) = (case.before.project, case.after.project);
        same_frame(before, after)?;
        let old_origins = origins(case.before.tree, before);
        let old = &before.pipeline.tasks;
        let tasks = &after.pipeline.tasks;
        let mut comparison = Self {
            case,
            tasks,
            old: old.iter().map(|task| (task.name.as_str(), task)).collect(),
            origins: origins(case.after.tree, after),
            old_origins: old.iter().map(|task| task.name.as_str()).zip(old_origins).collect(),
            needs: graph::needs(tasks),
            corpus: None,
            codes: vec![Vec::new(); tasks.len()],
            reasons: vec![None; tasks.len()],
        };
        comparison.judge_tasks();
        if !case.changed.is_empty() || comparison.reasons.iter().any(Option::is_some) {
            let corpus = comparison.read()?;
            comparison.codes = (0..tasks.len()).map(|at| comparison.code(&corpus, at)).collect();
            comparison.judge_changes(&corpus)?;
            comparison.corpus = Some(corpus);
        }
        Ok(comparison)
    }

    /// What a task is by itself, and whether its entry is what it was.
    fn judge_tasks(&mut self) {
        let old_needs = graph::needs(&self.case.before.project.pipeline.tasks);
        let old_names: Vec<&str> =
            self.case.before.project.pipeline.tasks.iter().map(|task| task.name.as_str()).collect();
        for (at, task) in self.tasks.iter().enumerate() {
            let named = |needs: &BTreeSet<usize>, names: &[&str]| -> BTreeSet<String> {
                needs.iter().map(|at| names[*at].to_owned()).collect()
            };
            let now = self.needs[at].as_ref().map(|needs| {
                let names: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
                named(needs, &names)
            });
            let then = old_names.iter().position(|name| *name == task.name.as_str());
            let then = then.and_then(|at| old_needs[at].as_ref()).map(|needs| named(needs, &old_names));
            let reason = match self.old.get(task.name.as_str()) {
                None => Some("it is new".to_owned()),
                Some(old) if !same(&old.node, &task.node) => Some("its entry in the pipeline changed".to_owned()),
                Some(old) if products(old) != products(task) => Some("its products changed".to_owned()),
                Some(_) if now.is_none() => Some("it needs a task that cannot be found".to_owned()),
                Some(_) if now != then => Some("it needs other tasks than before".to_owned()),
                Some(_) => None,
            };
            let unavailable = || self.case.unavailable.get(task.name.as_str()).cloned();
            self.reasons[at] = reason.or_else(|| unfit(&self.case.after.project.pipeline, task)).or_else(unavailable);
        }
    }

    fn read(&self) -> Result<Corpus, String> {
        let changed: BTreeSet<RelPath> = self.case.changed.iter().cloned().collect();
        let mut specs: BTreeMap<RelPath, Vec<String>> = BTreeMap::new();
        for side in [self.case.before, self.case.after] {
            for (path, texts) in specs_of(side.project) {
                specs.entry(path).or_default().extend(texts);
            }
        }
        let sources = self.origins.iter().chain(self.old_origins.values());
        let sources = sources.filter_map(|origin| match origin {
            Origin::File(path) | Origin::Function { module: path, .. } => Some(path.clone()),
            Origin::Unknown => None,
        });
        Corpus::read(self.case.before.tree, self.case.after.tree, &changed, &specs, sources.collect())
    }

    /// What each changed path is, and whose.
    fn judge_changes(&mut self, corpus: &Corpus) -> Result<(), String> {
        let specs: BTreeSet<RelPath> = [self.case.before, self.case.after]
            .into_iter()
            .flat_map(|side| specs_of(side.project).into_keys().chain(env_path(side.project)))
            .collect();
        for path in self.case.changed {
            let any = |why: &str| Err(format!("`{path}` changed, {why}"));
            let (files, functions) = self.owners(path);
            if specs.contains(path) {
                let name = String::from_utf8_lossy(path.file_name()).into_owned();
                if let Some(reader) = corpus.program_mention(&name) {
                    return any(&format!("and `{reader}` speaks of it"));
                }
            } else if corpus.is_inert(path) {
                // Nobody who runs looks at it.
            } else if !self.is_plain(path) {
                return any("and it is no plain file");
            } else if let Some(reader) =
                (!files.is_empty() || !functions.is_empty()).then(|| corpus.mention(path)).flatten()
            {
                return any(&format!("which `{reader}` may use"));
            } else if !files.is_empty() && functions.is_empty() {
                for at in files {
                    self.execute(at, || format!("`{path}` changed"));
                }
            } else if !functions.is_empty() && files.is_empty() {
                self.judge_module(path, &functions)?;
            } else {
                return any("which any task may use");
            }
        }
        Ok(())
    }

    /// The code that a task runs.
    fn code(&self, corpus: &Corpus, at: usize) -> Vec<String> {
        let Some(text) = file_of(&self.origins[at]).and_then(|path| corpus.get(path)) else { return Vec::new() };
        let Origin::Function { module, name } = &self.origins[at] else { return text.versions.clone() };
        let tasks = self.owners(module).1;
        let others = |block: &str| tasks.contains(block) && block != name;
        let own = |version: &String| match outline(version) {
            Some(blocks) => {
                let own = blocks.iter().filter(|block| !block.name.as_deref().is_some_and(others));
                own.flat_map(|block| [block.head.as_str(), block.body.as_str()]).collect()
            }
            None => version.clone(),
        };
        text.versions.iter().map(own).collect()
    }

    /// Tasks whose source a path is or was, and functions of it that are or were tasks.
    fn owners(&self, path: &RelPath) -> (Vec<usize>, BTreeSet<String>) {
        let (mut files, mut functions) = (Vec::new(), BTreeSet::new());
        let old = self.old_origins.iter().map(|(name, origin)| (*name, origin));
        let new = self.tasks.iter().map(|task| task.name.as_str()).zip(&self.origins);
        for (name, origin) in old.chain(new) {
            let at = self.tasks.iter().position(|task| task.name.as_str() == name);
            match origin {
                // One that is no longer there leaves its number behind, which no task has.
                Origin::File(source) if source == path => files.push(at.unwrap_or(usize::MAX)),
                Origin::Function { module, name } if module == path => drop(functions.insert(name.clone())),
                _ => {}
            }
        }
        (files, functions)
    }

    fn execute(&mut self, at: usize, reason: impl FnOnce() -> String) {
        if let Some(slot) = self.reasons.get_mut(at) {
            slot.get_or_insert_with(reason);
        }
    }

    /// A regular file wherever it is there.
    fn is_plain(&self, path: &RelPath) -> bool {
        let kinds = [self.case.before.tree, self.case.after.tree].map(|tree| tree.entry(path));
        kinds.iter().flatten().all(|kind| matches!(kind, EntryKind::File { .. }))
    }

    fn judge_module(&mut self, path: &RelPath, functions: &BTreeSet<String>) -> Result<(), String> {
        let text = |tree: &dyn Tree| match tree.read(path, 32 << 20) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()),
            Err(error) => Err(format!("`{path}` cannot be read: {error}")),
        };
        let (before, after) = (text(self.case.before.tree)?, text(self.case.after.tree)?);
        let shared = |why: String| format!("`{path}` changed: {why}");
        let document = &self.case.after.project.pipeline.document;
        if document.get("executor").is_some_and(|executor| executor.as_map().is_some()) {
            return Err(shared("tasks may share a process".to_owned()));
        }
        let differing = module::differing(&before, &after, functions).map_err(shared)?;
        let values = values(&self.case.after.project.pipeline);
        if let Some(name) = differing.iter().find(|name| values.iter().any(|value| has_word(value, name))) {
            return Err(shared(format!("the pipeline names `{name}` in another place too")));
        }
        for at in 0..self.tasks.len() {
            let Origin::Function { module, name } = self.origins[at].clone() else { continue };
            if module == *path && differing.contains(&name) {
                self.execute(at, || format!("`{name}` in `{path}` changed"));
            }
        }
        Ok(())
    }

    /// What follows from what is executed, until nothing more follows.
    fn settle(mut self) -> Result<Decision, String> {
        let corpus = self.corpus.take();
        if let Some(corpus) = &corpus {
            self.spread(corpus)?;
        }
        let executed = self.reasons.iter().filter(|reason| reason.is_some()).count();
        if executed > 0 && executed < self.tasks.len() {
            if let Some(reason) = self.case.entangled {
                return Err(format!("a part of the tasks could not be told apart from the rest: {reason}"));
            }
            for text in corpus.iter().flat_map(|corpus| &corpus.texts).filter(|text| text.program) {
                let place = text.versions.iter().find_map(|version| leaves_elsewhere(version));
                if let Some(place) =
                    place.filter(|_| corpus.as_ref().is_some_and(|corpus| !corpus.is_inert(&text.path)))
                {
                    return Err(format!(
                        "`{}` speaks of `{place}`, where tasks may leave files for each other",
                        text.path
                    ));
                }
            }
        }
        let names = self.tasks.iter().map(|task| task.name.value.clone());
        Ok(Decision { tasks: names.zip(self.reasons).collect() })
    }

    fn spread(&mut self, corpus: &Corpus) -> Result<(), String> {
        if self.moved() {
            self.look_around(corpus)?;
        }
        let gone = |old: &&Task| !self.tasks.iter().any(|task| task.name.as_str() == old.name.as_str());
        let gone: Vec<&Task> = self.old.values().copied().filter(gone).collect();
        for old in gone {
            self.made_anew(corpus, old, None)?;
        }
        let mut told: BTreeSet<usize> = BTreeSet::new();
        while let Some(at) = (0..self.tasks.len()).find(|at| self.reasons[*at].is_some() && !told.contains(at)) {
            told.insert(at);
            if self.reasons.iter().all(Option::is_some) {
                break;
            }
            let name = self.tasks[at].name.value.clone();
            for other in 0..self.tasks.len() {
                if self.needs[other].as_ref().is_some_and(|needs| needs.contains(&at)) {
                    self.execute(other, || format!("`{name}`, which it needs, is executed"));
                }
            }
            let versions = [Some(&self.tasks[at]), self.old.get(name.as_str()).copied()];
            for task in versions.into_iter().flatten() {
                self.made_anew(corpus, task, Some(at))?;
            }
        }
        Ok(())
    }

    /// Whether anything at all is not as it was.
    fn moved(&self) -> bool {
        !self.case.changed.is_empty() || self.reasons.iter().any(Option::is_some)
    }

    /// Tasks that look into folders see every change, and so do those whose code is not known.
    fn look_around(&mut self, corpus: &Corpus) -> Result<(), String> {
        let own = self.sources();
        for text in corpus.texts.iter().filter(|text| text.program && !own.contains(&text.path)) {
            let set_up = matches!(text.path.file_name(), b"setup.py" | b"noxfile.py");
            if !set_up && text.any(|version| lists_folders(version, text.shell)) && !corpus.is_inert(&text.path) {
                return Err(format!("`{}` looks into folders, and not all is as it was", text.path));
            }
        }
        for at in 0..self.tasks.len() {
            let path = file_of(&self.origins[at]).cloned();
            let shell = path.as_ref().and_then(|path| corpus.get(path)).is_some_and(|text| text.shell);
            let lists = self.codes[at].iter().find(|code| lists_folders(code, shell));
            let seen = lists.map(|code| listing_in_words(code, shell));
            match (path, seen) {
                (Some(path), Some(seen)) => {
                    self.execute(at, || format!("`{path}` looks into folders{seen}, and not all is as it was"));
                }
                (Some(_), None) if !self.codes[at].is_empty() => {}
                _ => self.execute(at, || "its code cannot be read, and not all is as it was".to_owned()),
            }
        }
        Ok(())
    }

    /// Files that are the source of a task.
    fn sources(&self) -> BTreeSet<RelPath> {
        self.origins.iter().filter_map(file_of).cloned().collect()
    }

    /// Whoever names a product of a task without needing the task may see the new one, or miss the old one.
    fn made_anew(&mut self, corpus: &Corpus, task: &Task, at: Option<usize>) -> Result<(), String> {
        let (own, specs) = (self.sources(), specs_of(self.case.after.project));
        let naming = Naming::of(self.case.after.project, task);
        let name = &task.name.value;
        for text in corpus.texts.iter().filter(|text| !own.contains(&text.path) && !specs.contains_key(&text.path)) {
            if text.any(|version| naming.fits(version)) && !corpus.is_inert(&text.path) {
                return Err(format!("`{}` names what `{name}` makes, and `{name}` is executed", text.path));
            }
        }
        for other in (0..self.tasks.len()).filter(|other| Some(*other) != at) {
            // What runs behind a task cannot have been seen by it.
            let behind = || at.is_some_and(|at| graph::below(&self.needs, other).contains(&at));
            if self.reasons[other].is_none() && self.codes[other].iter().any(|code| naming.fits(code)) && !behind() {
                self.execute(other, || format!("it names what `{name}` makes, and `{name}` is executed"));
            }
        }
        Ok(())
    }
}

fn file_of(origin: &Origin) -> Option<&RelPath> {
    match origin {
        Origin::File(path) | Origin::Function { module: path, .. } => Some(path),
        Origin::Unknown => None,
    }
}
