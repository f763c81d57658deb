//! What is in a folder: sources that can be tasks, what they import, the Python they are for.
//!
//! Reads, never writes; links are not followed.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Folders that are looked into besides the root.
const FOLDERS: [&str; 7] = ["", "notebooks", "pipeline", "scripts", "sql", "src", "tasks"];
/// Longer files are data.
const LONGEST: u64 = 4 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The folder's own name.
    pub name: String,
    /// The environment file that is there.
    pub environment: Option<String>,
    /// The pipeline that is there.
    pub pipeline: Option<String>,
    /// The settings that are there.
    pub settings: Option<String>,
    /// `python=3.12`, or as pyproject.toml says.
    pub python: Option<String>,
    /// Whether there is a requirements.txt.
    pub requirements: bool,
    /// Conda packages that the sources import.
    pub packages: BTreeSet<&'static str>,
    /// Scripts and notebooks: name of the task, path.
    pub tasks: Vec<(String, String)>,
    /// SQL scripts; they need a client that only the user knows.
    pub queries: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Found {
    /// Looks into a folder.
    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        let real = fs_err::canonicalize(folder)?;
        let name = real.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut found = Self { name: name.unwrap_or_default(), ..Self::default() };
        let present = |names: &[&str]| {
            let there = |name: &&&str| fs_err::symlink_metadata(folder.join(name)).is_ok();
            names.iter().find(there).map(|name| (*name).to_owned())
        };
        found.environment = present(&["environment.yml", "environment.yaml"]);
        found.pipeline = present(&["pipeline.yaml"]);
        found.settings = present(&["soopervisor.yaml"]);
        found.requirements = present(&["requirements.txt"]).is_some();
        found.python = python(folder);
        for below in FOLDERS {
            found.look_into(folder, below);
        }
        if found.environment.as_deref() == Some("environment.yaml") {
            found.notes.push("environment.yaml is read like environment.yml".to_owned());
        }
        Ok(found)
    }

    /// Whether nothing is there that could be a task.
    pub(super) fn needs_starter(&self) -> bool {
        self.pipeline.is_none() && self.tasks.is_empty()
    }

    fn look_into(&mut self, folder: &Path, below: &str) {
        let inside = folder.join(below);
        let link = fs_err::symlink_metadata(&inside).is_ok_and(|meta| meta.is_symlink());
        // A package holds functions and modules, not tasks.
        if !below.is_empty() && (link || inside.join("__init__.py").exists()) {
            return;
        }
        let Ok(entries) = fs_err::read_dir(&inside) else { return };
        let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            self.take(folder, &name, path);
        }
    }

    fn take(&mut self, folder: &Path, name: &str, path: String) {
        let Some((stem, ending)) = name.rsplit_once('.') else { return };
        let support = matches!(stem, "setup" | "conftest" | "__init__" | "__main__" | "noxfile" | "tasks" | "");
        match ending {
            "py" if support || stem.starts_with("test_") || stem.ends_with("_test") => {}
            "py" => {
                let text = read(&folder.join(&path)).unwrap_or_default();
                // Where there is a pipeline it says which scripts are tasks; the others are modules.
                if self.pipeline.is_none() && !text.contains("parameters") {
                    let note = "has no cell tagged `parameters`: Ploomber adds one in the run's copy";
                    self.notes.push(format!("{path} {note}"));
                }
                self.packages.extend(imports(&text));
                self.add_task(stem, path);
            }
            "ipynb" if !stem.starts_with('.') => {
                let text = read(&folder.join(&path)).unwrap_or_default();
                self.packages.extend(imports(&text.replace("\\n", "\n").replace('"', "\n")));
                self.add_task(stem, path);
            }
            "sql" => self.queries.push(path),
            _ => {}
        }
    }

    fn add_task(&mut self, stem: &str, path: String) {
        let plain = |c: char| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
        let base: String = stem.chars().map(plain).collect();
        let mut name = base.clone();
        let mut number = 2;
        while self.tasks.iter().any(|(taken, _)| *taken == name) {
            name = format!("{base}-{number}");
            number += 1;
        }
        self.tasks.push((name, path));
    }
}

fn read(path: &Path) -> Option<String> {
    let small = fs_err::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
    if small { fs_err::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) } else { None }
}

/// The Python that the folder names: `.python-version`, `runtime.txt`, or pyproject.toml.
fn python(folder: &Path) -> Option<String> {
    let minor = |text: &str| {
        let mut parts = text.trim().trim_start_matches("python-").split('.');
        let (major, minor) = (parts.next()?.parse::<u8>().ok()?, parts.next()?.parse::<u8>().ok()?);
        Some(format!("python={major}.{minor}"))
    };
    let pinned = [".python-version", "runtime.txt"].into_iter();
    if let Some(version) = pinned.filter_map(|name| read(&folder.join(name))).find_map(|text| minor(&text)) {
        return Some(version);
    }
    let project = read(&folder.join("pyproject.toml"))?;
    let line = project.lines().find_map(|line| line.trim().strip_prefix("requires-python")).map(str::trim_start)?;
    let range = line.strip_prefix('=')?.trim().trim_matches(['"', '\'']).replace(' ', "");
    let plain = range.chars().all(|c| c.is_ascii_digit() || "<>=!~.,*".contains(c));
    (plain && !range.is_empty()).then(|| format!("python {range}"))
}

/// Packages that `import` and `from` lines name, as conda-forge calls them.
fn imports(text: &str) -> BTreeSet<&'static str> {
    const KNOWN: [(&str, &str); 24] = [
        ("PIL", "pillow"),
        ("altair", "altair"),
        ("bokeh", "bokeh"),
        ("bs4", "beautifulsoup4"),
        ("cv2", "opencv"),
        ("duckdb", "duckdb"),
        ("geopandas", "geopandas"),
        ("lightgbm", "lightgbm"),
        ("matplotlib", "matplotlib-base"),
        ("networkx", "networkx"),
        ("numpy", "numpy"),
        ("openpyxl", "openpyxl"),
        ("pandas", "pandas"),
        ("plotly", "plotly"),
        ("polars", "polars"),
        ("pyarrow", "pyarrow"),
        ("requests", "requests"),
        ("scipy", "scipy"),
        ("seaborn", "seaborn"),
        ("sklearn", "scikit-learn"),
        ("sqlalchemy", "sqlalchemy"),
        ("statsmodels", "statsmodels"),
        ("xgboost", "xgboost"),
        ("yaml", "pyyaml"),
    ];
    let module = |line: &str| {
        let line = line.trim_start();
        let rest = line.strip_prefix("import ").or_else(|| line.strip_prefix("from "))?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        KNOWN.iter().find(|(module, _)| *module == &rest[..end]).map(|(_, package)| *package)
    };
    text.lines().filter_map(module).collect()
}
