//! Decides what goes into a channel, and makes it: which CPythons, which sets of packages for each, in which form.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use rattler_conda_types::{EnvironmentYaml, Version, VersionSpec};
use sha2::{Digest as _, Sha256};

use super::find::{self, Interpreter};
use super::names::{self, Request, Wanted};
use super::package::{self, Built};
use super::pip::{self, Wheel};
use super::{DEFAULT_PACKAGES, DEFAULT_PYTHONS, Error, Options, Source, VERSION, cpython, debian};

/// What every Python of a channel comes with.
const BASE_PACKAGES: &[&str] = &["pip", "setuptools", "wheel"];

/// Packages whose versions are chosen together.
#[derive(Debug)]
struct Set {
    /// The Pythons it is for; `None`: the default ones.
    python: Option<VersionSpec>,
    wanted: Vec<Wanted>,
}

/// What a channel is made from.
pub(super) struct Recipe {
    /// Empty when CPython is to come from the distribution.
    interpreters: Vec<Interpreter>,
    /// Minor versions that were asked for by name.
    named: Vec<String>,
    sets: Vec<Set>,
    notes: Vec<String>,
}

/// One package to make.
enum Job {
    Python(Interpreter),
    Wheel(Wheel, String),
    Alias(String, Wheel, String),
}

/// What was fetched for one interpreter.
struct Fetched {
    wheels: Vec<Wheel>,
    aliases: BTreeSet<(String, String)>,
    notes: Vec<String>,
}

/// The packages with the digests of their inputs, the versions of CPython, and what was left out.
pub(super) type Dish = (Vec<(String, Built)>, Vec<String>, Vec<String>);

impl Recipe {
    /// Reads the texts of environment.yml files and looks for interpreters.
    pub(super) fn new(options: &Options, specs: &[String], packages: &[String]) -> Result<Self, Error> {
        let (mut interpreters, mut notes) = match options.source {
            Source::Distribution => (Vec::new(), Vec::new()),
            Source::Any | Source::Installed => find::interpreters(),
        };
        if interpreters.is_empty() && options.source == Source::Installed {
            return Err(missing("3.8 to 3.13", &interpreters));
        }
        if !interpreters.is_empty() && !options.pythons.is_empty() {
            if let Some(wanted) =
                options.pythons.iter().find(|minor| interpreters.iter().all(|one| one.minor != **minor))
            {
                return Err(missing(wanted, &interpreters));
            }
            interpreters.retain(|one| options.pythons.contains(&one.minor));
        }
        let mut sets = vec![set(DEFAULT_PACKAGES.iter().copied(), &mut notes)?];
        if !packages.is_empty() {
            sets.push(set(packages.iter().map(String::as_str), &mut notes)?);
        }
        sets.extend(specs.iter().map(|text| set_of_text(text, &mut notes)));
        Ok(Self { interpreters, named: options.pythons.clone(), sets, notes })
    }

    /// All inputs as text.
    pub(super) fn describe(&self) -> Result<String, Error> {
        let prints: Result<Vec<String>, Error> = self.interpreters.iter().map(cpython::fingerprint).collect();
        let sets: Vec<String> = self
            .sets
            .iter()
            .map(|set| format!("{:?} {:?}", set.python.as_ref().map(ToString::to_string), set.wanted))
            .collect();
        Ok(format!("{:?}\n{:?}\n{}\n", prints?, self.named, sets.join("\n")))
    }

    /// Makes every package below `channel`; `reuse` may hand in one that was made from the same input before.
    pub(super) fn cook(
        &self,
        scratch: &Path,
        channel: &Path,
        reuse: impl Fn(&str) -> Result<Option<Built>, Error> + Sync,
    ) -> Result<Dish, Error> {
        let interpreters = self.interpreters(scratch)?;
        let mut notes = self.notes.clone();
        notes.extend(self.unmatched(&interpreters));
        let fetched = parallel(&interpreters, interpreters.len(), |one| self.fetch(one, &interpreters, scratch))?;

        let mut jobs: Vec<Job> = interpreters.iter().cloned().map(Job::Python).collect();
        for (interpreter, fetched) in interpreters.iter().zip(fetched) {
            notes.extend(fetched.notes);
            let minor = &interpreter.minor;
            for wheel in &fetched.wheels {
                let aliases = fetched.aliases.iter().filter(|(_, pip)| *pip == wheel.name);
                jobs.extend(aliases.map(|(conda, _)| Job::Alias(conda.clone(), wheel.clone(), minor.clone())));
            }
            jobs.extend(fetched.wheels.into_iter().map(|wheel| Job::Wheel(wheel, minor.clone())));
        }
        fs::create_dir_all(channel)?;
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let built = parallel(&jobs, workers, |job| {
            let input = job.input()?;
            match reuse(&input)? {
                Some(built) => Ok((input, built)),
                None => Ok((input, job.make(scratch, channel)?)),
            }
        })?;
        notes.sort();
        notes.dedup();
        Ok((built, interpreters.into_iter().map(|one| one.version).collect(), notes))
    }

    /// The interpreters to package: those found, or the distribution's.
    fn interpreters(&self, scratch: &Path) -> Result<Vec<Interpreter>, Error> {
        if !self.interpreters.is_empty() {
            return Ok(self.interpreters.clone());
        }
        let interpreters = vec![debian::interpreter(scratch)?];
        match self.named.iter().find(|minor| **minor != interpreters[0].minor) {
            Some(wanted) => Err(missing(wanted, &interpreters)),
            None => Ok(interpreters),
        }
    }

    /// Fetches everything that the channel has for one interpreter.
    fn fetch(&self, one: &Interpreter, all: &[Interpreter], scratch: &Path) -> Result<Fetched, Error> {
        let folder = scratch.join("wheels").join(&one.minor);
        let mut fetched = Fetched { wheels: Vec::new(), aliases: BTreeSet::new(), notes: Vec::new() };
        let base = set(BASE_PACKAGES.iter().copied(), &mut fetched.notes)?.wanted;
        let mut sets = self.sets.iter().filter(|set| !set.wanted.is_empty() && self.is_for(set, one, all)).peekable();
        // Starting pip and asking the index costs seconds: the first set comes along with what is needed anyway.
        let first: Vec<Wanted> = sets.peek().map(|set| set.wanted.clone()).unwrap_or_default();
        if pip::download(one, &[base.clone(), first.clone()].concat(), &folder).is_ok() {
            fetched.aliases.extend(aliases(first));
            sets.next();
        } else {
            pip::download(one, &base, &folder)?;
        }
        for set in sets {
            fetched.aliases.extend(aliases(fetch_set(one, &set.wanted, &folder, scratch, &mut fetched.notes)));
        }
        let mut wheels =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>, Error>>()?;
        wheels.sort();
        fetched.wheels = pip::describe(one, &wheels)?;
        Ok(fetched)
    }

    /// Whether `set` is to be fetched for the interpreter `one` of `all`.
    fn is_for(&self, set: &Set, one: &Interpreter, all: &[Interpreter]) -> bool {
        if let Some(range) = &set.python {
            return one.version.parse::<Version>().is_ok_and(|version| range.matches(&version));
        }
        if !self.named.is_empty() {
            return true;
        }
        if all.iter().any(|other| DEFAULT_PYTHONS.contains(&other.minor.as_str())) {
            return DEFAULT_PYTHONS.contains(&one.minor.as_str());
        }
        all.last().is_some_and(|newest| newest.minor == one.minor)
    }

    /// A note for each set that wants a Python which is not there.
    fn unmatched(&self, interpreters: &[Interpreter]) -> Vec<String> {
        let wanted = self.sets.iter().filter_map(|set| set.python.as_ref().map(|python| (set, python)));
        wanted
            .filter(|(set, _)| !interpreters.iter().any(|one| self.is_for(set, one, interpreters)))
            .map(|(_, python)| {
                format!("Python `{python}` is left out: it is not on this machine (found: {})", versions(interpreters))
            })
            .collect()
    }
}

impl Job {
    /// A digest of everything that decides the package's content.
    fn input(&self) -> Result<String, Error> {
        let text = match self {
            Self::Python(interpreter) => cpython::fingerprint(interpreter)?,
            Self::Wheel(wheel, minor) => {
                let (sha256, _) = package::hash(fs::File::open(&wheel.path)?)?;
                format!("{sha256} {:?}", package::dependencies(wheel, minor))
            }
            Self::Alias(alias, wheel, minor) => format!("{alias} {} {} {minor}", wheel.name, wheel.version),
        };
        Ok(hex::encode(Sha256::digest(format!("{VERSION} {text}"))))
    }

    fn make(&self, scratch: &Path, channel: &Path) -> Result<Built, Error> {
        let staged = tempfile::Builder::new().prefix("package-").tempdir_in(scratch)?;
        match self {
            Self::Python(interpreter) => cpython::stage(interpreter, staged.path())?,
            Self::Wheel(wheel, minor) => package::stage_wheel(wheel, minor, staged.path())?,
            Self::Alias(alias, wheel, minor) => package::stage_alias(alias, wheel, minor, staged.path())?,
        }
        package::write(staged.path(), channel)
    }
}

/// Conda's name and the index's, for packages where they differ.
fn aliases(wanted: Vec<Wanted>) -> impl Iterator<Item = (String, String)> {
    wanted.into_iter().filter(|one| one.conda != one.pip).map(|one| (one.conda, one.pip))
}

/// Fetches a set; where that fails, what can be had of it. Returns what was fetched.
fn fetch_set(
    one: &Interpreter,
    wanted: &[Wanted],
    folder: &Path,
    scratch: &Path,
    notes: &mut Vec<String>,
) -> Vec<Wanted> {
    let Err(error) = pip::download(one, wanted, folder) else { return wanted.to_vec() };
    tracing::debug!(%error, "asking for each package by itself");
    let (rest, why) = pip::available(one, wanted, &scratch.join("single").join(&one.minor));
    notes.extend(why);
    if rest.is_empty() {
        return rest;
    }
    match pip::download(one, &rest, folder) {
        Ok(()) => rest,
        Err(error) => {
            let names: Vec<&str> = rest.iter().map(|one| one.requirement.as_str()).collect();
            notes.push(format!(
                "`{}` are left out: they do not go together for Python {}: {error}",
                names.join("`, `"),
                one.minor
            ));
            Vec::new()
        }
    }
}

fn set<'a>(texts: impl Iterator<Item = &'a str>, notes: &mut Vec<String>) -> Result<Set, Error> {
    let requests = texts.map(names::parse).collect::<Result<Vec<_>, _>>()?;
    Ok(sort(requests, notes))
}

/// The conda dependencies of an environment file; lines that are not understood are noted, they are for `validate` to judge.
fn set_of_text(text: &str, notes: &mut Vec<String>) -> Set {
    match EnvironmentYaml::from_yaml_str(text.trim_start_matches('\u{feff}')) {
        Ok(environment) => sort(environment.match_specs().map(names::request).collect(), notes),
        Err(error) => {
            notes.push(format!("an environment.yml is left out: {error}"));
            Set { python: None, wanted: Vec::new() }
        }
    }
}

fn sort(requests: Vec<Request>, notes: &mut Vec<String>) -> Set {
    let mut set = Set { python: None, wanted: Vec::new() };
    for request in requests {
        match request {
            Request::Python(range) => set.python = range,
            Request::Package(wanted) => set.wanted.push(wanted),
            Request::NotAvailable(why) => notes.push(format!("{why}: left out")),
        }
    }
    set
}

fn missing(wanted: &str, found: &[Interpreter]) -> Error {
    Error::NoPython { wanted: wanted.to_owned(), found: versions(found) }
}

fn versions(found: &[Interpreter]) -> String {
    if found.is_empty() {
        return "none".into();
    }
    found.iter().map(|one| one.version.as_str()).collect::<Vec<_>>().join(", ")
}

/// Runs `work` on every item with at most `workers` threads; results come in the order of the items.
fn parallel<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
                {
                    let result = work(item);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
