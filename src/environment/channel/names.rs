//! Conda's words for what pip can fetch: names, version ranges, and which names are not Python packages at all.

use rattler_conda_types::{MatchSpec, PackageNameMatcher, ParseStrictness, VersionSpec};

use super::Error;

/// Conda packages whose name on the Python package index is different.
const RENAMED: &[(&str, &str)] = &[
    ("dask-core", "dask"),
    ("matplotlib-base", "matplotlib"),
    ("py-opencv", "opencv-python-headless"),
    ("opencv", "opencv-python-headless"),
    ("py-xgboost", "xgboost"),
    ("python-graphviz", "graphviz"),
    ("pytables", "tables"),
    ("pytorch", "torch"),
    ("seaborn-base", "seaborn"),
];

/// Names that mean a program or a library in conda; a package of that name on the Python package index is another thing.
const NOT_PYTHON: &[&str] = &[
    "compilers",
    "curl",
    "cxx-compiler",
    "c-compiler",
    "fortran-compiler",
    "gcc",
    "gxx",
    "git",
    "graphviz",
    "hdf5",
    "imagemagick",
    "java-jdk",
    "make",
    "mamba",
    "micromamba",
    "conda",
    "nodejs",
    "openjdk",
    "openssl",
    "p7zip",
    "pandoc",
    "perl",
    "postgresql",
    "redis",
    "rust",
    "samtools",
    "sqlite",
    "tk",
    "unzip",
    "wget",
    "zip",
    "zlib",
    "zstd",
];

/// A conda request in pip's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name that environment files use.
    pub conda: String,
    /// The name on the Python package index, in its normal form.
    pub pip: String,
    /// What pip is asked for: `pandas>=1.5`.
    pub requirement: String,
}

/// What to do with one conda request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// The interpreter itself, in a version that this range has.
    Python(Option<VersionSpec>),
    /// A package for pip to fetch.
    Package(Wanted),
    /// Something that no wheel provides; why.
    NotAvailable(String),
}

/// The normal form of a name on the Python package index.
pub(super) fn canonical(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '-' | '_' | '.') {
            if !result.ends_with('-') {
                result.push('-');
            }
        } else {
            result.push(character.to_ascii_lowercase());
        }
    }
    result
}

/// Reads a request as `conda install` does.
pub(super) fn parse(text: &str) -> Result<Request, Error> {
    let spec = MatchSpec::from_str(text, ParseStrictness::Lenient)
        .map_err(|error| Error::Spec { spec: text.to_owned(), why: error.to_string() })?;
    Ok(request(&spec))
}

/// Translates a request.
pub(super) fn request(spec: &MatchSpec) -> Request {
    let PackageNameMatcher::Exact(name) = &spec.name else {
        return Request::NotAvailable(format!("`{}` is a pattern", spec.name));
    };
    let conda = name.as_normalized().to_owned();
    if conda == "python" {
        return Request::Python(spec.version.clone());
    }
    let version = spec.version.as_ref().map(ToString::to_string);
    if NOT_PYTHON.contains(&conda.as_str()) || conda.starts_with("r-") || conda.starts_with("lib") {
        return Request::NotAvailable(format!("`{conda}` is not a Python package"));
    }
    let pip = RENAMED.iter().find(|(from, _)| *from == conda).map_or_else(|| canonical(&conda), |(_, to)| (*to).into());
    match version.as_deref().map_or(Some(String::new()), pip_versions) {
        Some(range) => Request::Package(Wanted { requirement: format!("{pip}{range}"), conda, pip }),
        None => {
            Request::NotAvailable(format!("`{conda} {}` cannot be said in pip's words", version.unwrap_or_default()))
        }
    }
}

/// A conda version range in pip's words; `None` where there is none (`1.0|2.0`).
fn pip_versions(range: &str) -> Option<String> {
    if range.contains(['|', '(', '^']) {
        return None;
    }
    let parts = range.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "*");
    let parts: Vec<String> = parts
        .map(|part| {
            if part.starts_with(['>', '<', '!', '~']) || part.starts_with("==") {
                part.to_owned()
            } else {
                format!("=={}", part.trim_start_matches('='))
            }
        })
        .collect();
    Some(parts.join(","))
}

/// A requirement of a wheel as a conda dependency; a range that conda cannot express is left out.
pub(super) fn dependency(name: &str, range: &str) -> String {
    let parts: Vec<String> = range
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_prefix("==") {
            Some(exact) if exact.ends_with(".*") => exact.to_owned(),
            Some(exact) => format!("=={}", exact.trim_start_matches('=')),
            None => part.to_owned(),
        })
        .collect();
    let text = format!("{name} {}", parts.join(","));
    match MatchSpec::from_str(&text, ParseStrictness::Lenient) {
        Ok(_) => text.trim_end().to_owned(),
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(text: &str) -> String {
        match parse(text).unwrap() {
            Request::Package(wanted) => wanted.requirement,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn conda_pins_become_pip_pins() {
        assert_eq!(requirement("pandas"), "pandas");
        assert_eq!(requirement("pandas=1.5"), "pandas==1.5.*");
        assert_eq!(requirement("pandas==1.5.3"), "pandas==1.5.3");
        assert_eq!(requirement("pandas>=1.5,<2"), "pandas>=1.5,<2");
        assert_eq!(requirement("conda-forge::scikit-learn=1.3"), "scikit-learn==1.3.*");
        assert_eq!(requirement("scikit-learn=1.3.2=py311_0"), "scikit-learn==1.3.2");
        assert_eq!(requirement("ruamel.yaml"), "ruamel-yaml");
        assert_eq!(requirement("pytorch"), "torch");
    }

    #[test]
    fn what_pip_cannot_provide_is_told_apart() {
        for text in ["r-base=4.0.3", "libxml2", "graphviz", "sqlite>=3", "pandas 1.0|2.0"] {
            assert!(matches!(parse(text).unwrap(), Request::NotAvailable(_)), "{text}");
        }
        let Request::Python(Some(range)) = parse("python=3.10").unwrap() else { panic!("not a python") };
        assert!(range.matches(&"3.10.13".parse().unwrap()) && !range.matches(&"3.1.0".parse().unwrap()));
        assert!(parse("nbconvert[webpdf").is_err());
    }

    #[test]
    fn wheel_requirements_become_conda_dependencies() {
        assert_eq!(dependency("numpy", ""), "numpy");
        assert_eq!(dependency("numpy", "<3,>=1.23.2"), "numpy <3,>=1.23.2");
        assert_eq!(dependency("a", "==1.4.*"), "a 1.4.*");
        assert_eq!(dependency("a", "===1.4"), "a ==1.4");
        assert_eq!(dependency("a", "!=2.0.*,~=1.4"), "a !=2.0.*,~=1.4");
        assert_eq!(dependency("a", "=>1"), "a");
    }
}
