//! Packages that nobody has, as findings at their places in environment.yml.

use super::declare::environment_entries;
use super::event::RunEvent;
use super::stop::Stop;
use super::telling::Telling;
use crate::diag::Diagnostic;
use crate::environment::{Blamed, EnvironmentError};
use crate::spec::Environment;

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
    let (_, span) = environment_entries(written).find(|(entry, _)| blamed.is_named_by(entry))?;
    let mut finding = Diagnostic::error("environment/no-package", blamed.message.clone()).at(&written.source, span);
    finding.help.clone_from(&blamed.help);
    Some(finding)
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
