//! Which packages of environment.yml cannot be had, and what may have been meant: what solvers say of it, read.
//!
//! Pure. Where in the file they stand is for whoever has the file.

use super::EnvironmentError;

/// A package that environment.yml asks for and nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// Its name.
    pub package: String,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// What to write instead, where that can be told.
    pub help: Option<String>,
}

impl Blamed {
    /// Whether an entry of environment.yml asks for it, for conda or for pip; both take `-`, `_` and `.` for the same.
    pub fn is_named_by(&self, entry: &str) -> bool {
        let plain = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
        let entry = entry.rsplit("::").next().unwrap_or(entry).trim();
        plain(name(entry)) == plain(&self.package)
    }

    /// In one sentence.
    pub(super) fn sentence(&self) -> String {
        match &self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.clone(),
        }
    }
}

impl EnvironmentError {
    /// The packages that stand in the way, where they are known by name.
    pub fn blamed(&self) -> Vec<Blamed> {
        match self {
            Self::Unsolvable { blamed, .. } => blamed.clone(),
            Self::Pip { step: "resolve", tail, .. } => absent_for_pip(tail),
            _ => Vec::new(),
        }
    }
}

/// How uv goes on after the name of a package that no index has.
const ABSENT: &str = "not found in the package registry";
/// How it goes on after a version that there is not.
const NO_VERSION: &str = "there is no version of ";

fn absent_for_pip(tail: &str) -> Vec<Blamed> {
    // Its sentences are broken into lines and drawn with boxes.
    let words: Vec<&str> =
        tail.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty()).collect();
    let text = words.join(" ");
    let mut found: Vec<Blamed> = Vec::new();
    let mut add = |package: &str, message: String, help: Option<String>| {
        if !package.is_empty() && found.iter().all(|one| one.package != package) {
            found.push(Blamed { package: package.to_owned(), message, help });
        }
    };
    for (at, _) in text.match_indices(ABSENT) {
        let before = text[..at].trim_end().strip_suffix("was").unwrap_or_default().trim_end();
        let package = name(before.rsplit(' ').next().unwrap_or_default());
        let help = near(package).map(|other| format!("did you mean `{other}`?"));
        add(package, format!("no package index has `{package}`"), help);
    }
    for (at, _) in text.match_indices(NO_VERSION) {
        let spec = text[at + NO_VERSION.len()..].split(' ').next().unwrap_or_default().trim_end_matches(['.', ',']);
        let help = Some(format!("leave the version out, or see which there are: `pip index versions {}`", name(spec)));
        add(name(spec), format!("no package index has `{spec}`"), help);
    }
    found
}

/// The name at the beginning of a requirement.
fn name(spec: &str) -> &str {
    let end = spec.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(spec.len());
    &spec[..end]
}

/// The well-known package whose name is nearly the same.
fn near(package: &str) -> Option<&'static str> {
    let wanted = package.to_lowercase().replace('_', "-");
    let rated = KNOWN.iter().map(|known| (strsim::jaro_winkler(&wanted, known), *known));
    let (score, known) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.9 && known != wanted).then_some(known)
}

/// What pipelines install from PyPI most, as PyPI spells it: an index tells no names that are nearly right.
const KNOWN: [&str; 96] = [
    "aiohttp",
    "altair",
    "azure-storage-blob",
    "beautifulsoup4",
    "bokeh",
    "boto3",
    "catboost",
    "click",
    "cloudpickle",
    "cryptography",
    "cvxpy",
    "dask",
    "databricks-sql-connector",
    "datasets",
    "dbt-core",
    "duckdb",
    "fastapi",
    "fastparquet",
    "flask",
    "gensim",
    "geopandas",
    "google-cloud-bigquery",
    "google-cloud-storage",
    "gspread",
    "h5py",
    "holoviews",
    "httpx",
    "imbalanced-learn",
    "ipykernel",
    "ipython",
    "ipywidgets",
    "jinja2",
    "joblib",
    "jupysql",
    "jupyter",
    "jupyterlab",
    "jupytext",
    "keras",
    "kaleido",
    "lightgbm",
    "lxml",
    "matplotlib",
    "mlflow",
    "nbconvert",
    "nbformat",
    "networkx",
    "nltk",
    "notebook",
    "numba",
    "numpy",
    "opencv-python",
    "openpyxl",
    "optuna",
    "pandas",
    "pandera",
    "papermill",
    "pillow",
    "plotly",
    "plotnine",
    "ploomber",
    "polars",
    "prophet",
    "psycopg2-binary",
    "pyarrow",
    "pydantic",
    "pymongo",
    "pyspark",
    "pytest",
    "python-dateutil",
    "python-dotenv",
    "pytorch-lightning",
    "pyyaml",
    "requests",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "seaborn",
    "sentence-transformers",
    "shap",
    "sklearn-evaluation",
    "snowflake-connector-python",
    "spacy",
    "sqlalchemy",
    "statsmodels",
    "streamlit",
    "sympy",
    "tensorflow",
    "tqdm",
    "torch",
    "torchvision",
    "transformers",
    "umap-learn",
    "wandb",
    "xarray",
    "xgboost",
    "xlsxwriter",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tail: &str) -> Vec<Blamed> {
        EnvironmentError::Pip { step: "resolve", tail: tail.to_owned(), hint: None }.blamed()
    }

    #[test]
    fn a_name_that_no_index_has_is_read_from_uvs_words_however_they_are_broken() {
        for tail in [
            "error: No solution found when resolving dependencies\n  cause: Because pandsa was not found in the package \
             registry and you require pandsa, we can conclude that your requirements are unsatisfiable.",
            "  × No solution found\n  ╰─▶ Because pandsa was\n  │   not found in the package\n      registry and you require \
             pandsa[all]>=1, we can",
        ] {
            let found = of(tail);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].sentence(), "no package index has `pandsa`; did you mean `pandas`?");
        }
    }

    #[test]
    fn a_version_that_there_is_not_is_named_with_its_package() {
        let found = of("Because there is no version of numpy==99.1 and you require numpy==99.1, we can conclude");
        assert_eq!(
            (found[0].package.as_str(), found[0].message.as_str()),
            ("numpy", "no package index has `numpy==99.1`")
        );
        assert!(found[0].help.as_deref().unwrap().contains("pip index versions numpy"));
    }

    #[test]
    fn nothing_is_guessed_where_no_name_is_near_or_nothing_is_absent() {
        assert_eq!(of("Because our-own-thing was not found in the package registry, we")[0].help, None);
        assert_eq!(of("Because a depends on b<1 and c depends on b>1, we can conclude"), []);
        assert_eq!(near("pandas"), None);
    }
}
