//! The order in which findings are told: file by file, and in a file from its top to its end.

use crate::diag::Diagnostic;

/// The files of a project, as findings name them.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// environment.yml.
    pub environment: Vec<String>,
    /// The pipeline.
    pub pipeline: Vec<String>,
}

impl Files {
    /// environment.yml, the pipeline, env.yaml, soopervisor.yaml, the others. What has no place is about the command
    /// that somebody typed, and comes first.
    fn rank(&self, finding: &Diagnostic) -> (usize, String, usize) {
        let Some((source, span)) = &finding.place else { return (0, String::new(), 0) };
        let name = source.name.as_str();
        let last = name.rsplit('/').next().unwrap_or(name);
        let is_env = last.starts_with("env.") && [".yaml", ".yml"].iter().any(|ending| last.ends_with(ending));
        let rank = if self.environment.iter().any(|file| file == name) {
            1
        } else if self.pipeline.iter().any(|file| file == name) {
            2
        } else if is_env {
            3
        } else if last.starts_with("soopervisor.yaml") {
            // The one of a base branch says so behind its name.
            4
        } else {
            5
        };
        (rank, name.to_owned(), span.start)
    }

    /// Puts findings in order; of those at one place the first told stays the first. What was told twice is told once.
    pub(super) fn sort(&self, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut findings = findings;
        findings.sort_by_cached_key(|finding| self.rank(finding));
        let mut kept: Vec<Diagnostic> = Vec::with_capacity(findings.len());
        for finding in findings {
            let mut beside = kept.iter().rev().take_while(|told| told.place == finding.place);
            if !beside.any(|told| *told == finding) {
                kept.push(finding);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diag::{SourceText, Span};

    fn at(name: &str, start: usize, message: &str) -> Diagnostic {
        let source = SourceText { name: name.to_owned(), text: "abc\ndef\n".to_owned() };
        Diagnostic::error("x/y", message).at(&Arc::new(source), Span { start, len: 1 })
    }

    #[test]
    fn files_come_as_people_read_them_and_places_from_top_to_end() {
        let files = Files { environment: vec!["conda/all.yml".to_owned()], pipeline: vec!["flow.yaml".to_owned()] };
        let told = vec![
            at("b.py", 0, "source b"),
            at("soopervisor.yaml (of the base branch)", 0, "settings"),
            at("flow.yaml", 5, "second"),
            at("a.py", 0, "source a"),
            at("env.test.yaml", 0, "values"),
            at("flow.yaml", 1, "first"),
            at("conda/all.yml", 3, "packages"),
            at("flow.yaml", 5, "second, too"),
            at("flow.yaml", 5, "second"),
            Diagnostic::error("x/y", "the command"),
        ];
        let sorted = files.sort(told);
        let messages: Vec<&str> = sorted.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(
            messages,
            ["the command", "packages", "first", "second", "second, too", "values", "settings", "source a", "source b"]
        );
    }
}
