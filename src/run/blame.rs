//! Packages that nobody has, as findings at their places in environment.yml.

use super::event::RunEvent;
use super::stop::Stop;
use super::telling::Telling;
use crate::diag::Diagnostic;
use crate::environment::{Blamed, EnvironmentError};
use crate::spec::{Dependency, Environment};

/// What stops the run; the packages that stand in the way are told where they are written.
pub(super) fn stop(error: EnvironmentError, written: &Environment, telling: &Telling) -> Stop {
    let diagnostics: Vec<Diagnostic> = error.blamed().iter().filter_map(|blamed| finding(blamed, written)).collect();
    for found in &diagnostics {
        telling.tell(&RunEvent::Diagnosed(found.clone()));
    }
    Stop { diagnostics, ..Stop::from(error) }
}

/// Nothing for a package that is not written here, but wanted by another one or by a requirements file.
fn finding(blamed: &Blamed, written: &Environment) -> Option<Diagnostic> {
    let mut entries = written.dependencies.iter().flat_map(|dependency| match dependency {
        Dependency::Conda(entry) => std::slice::from_ref(entry),
        Dependency::Pip(entries) => entries.as_slice(),
    });
    let package = plain(&blamed.package);
    let entry = entries.find(|entry| plain(name(&entry.value)) == package)?;
    let mut finding =
        Diagnostic::error("environment/no-package", blamed.message.clone()).at(&written.source, entry.span);
    finding.help.clone_from(&blamed.help);
    Some(finding)
}

/// The package in a requirement, for conda or for pip.
fn name(entry: &str) -> &str {
    let entry = entry.rsplit("::").next().unwrap_or(entry).trim();
    let end = entry.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(entry.len());
    &entry[..end]
}

/// As both compare names.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    #[test]
    fn a_package_that_nobody_has_is_found_where_it_is_written() {
        let text = "dependencies:\n  - python=3.11\n  - conda-forge::Sqlit>=3\n  - pip:\n      - my_thing[all]==1\n";
        let (written, _) = spec::environment::parse("environment.yml", text.as_bytes());
        let written = written.unwrap();
        let blamed = |package: &str| Blamed {
            package: package.to_owned(),
            message: format!("no channel has `{package}`"),
            help: Some("did you mean `sqlite`?".to_owned()),
        };
        let at = |package: &str| finding(&blamed(package), &written).and_then(|found| found.line_column());
        assert_eq!(at("sqlit"), Some((3, 5)));
        assert_eq!(at("my-thing"), Some((5, 9)));
        assert_eq!(at("what-another-one-wants"), None);
    }
}
