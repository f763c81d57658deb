//! What was found in the user's files, as a run leaves it: in its record, in its log, and in the one line that a server
//! tells. Everything that comes here was masked; nothing that a repository wrote reaches a terminal as it is.

use std::path::Path;

use super::stop::Stop;
use crate::diag::render::{Style, human};
use crate::diag::{Diagnostic, Severity};
use crate::id::is_unsightly;
use crate::store::{Finding, LiveRun};

/// Findings that are kept; the others are counted.
const MOST: usize = 50;
/// Findings that one line has room for.
const SHORT: usize = 3;
/// Characters of one of them.
const SHORT_TEXT: usize = 240;
/// Characters of a text that is kept.
const LONG_TEXT: usize = 2_000;
/// Columns of a log.
const WIDTH: usize = 100;

/// Findings in the order in which they were told; errors push warnings out when there are too many.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Diagnostic>,
    more: u64,
}

impl Findings {
    /// Adds one; notes ask for nothing and are not kept.
    pub(super) fn add(&mut self, finding: &Diagnostic) {
        if finding.severity == Severity::Note {
            return;
        }
        if self.kept.len() >= MOST {
            self.more += 1;
            let weaker = self.kept.iter().rposition(|kept| kept.severity < finding.severity);
            let Some(weaker) = weaker else { return };
            self.kept.remove(weaker);
        }
        self.kept.push(finding.clone());
    }

    /// As the record keeps them, and how many it does not.
    pub(super) fn kept(&self) -> (Vec<Finding>, u64) {
        (self.kept.iter().map(kept).collect(), self.more)
    }
}

fn kept(finding: &Diagnostic) -> Finding {
    let (line, column) = finding.line_column().filter(|_| has_text(finding)).unzip();
    Finding {
        severity: if finding.severity == Severity::Error { "error" } else { "warning" }.to_owned(),
        code: finding.code.to_owned(),
        message: plain(&finding.message, LONG_TEXT),
        file: finding.place.as_ref().map(|(source, _)| plain(&source.name, LONG_TEXT)),
        line,
        column,
        help: finding.help.as_deref().map(|help| plain(help, LONG_TEXT)),
    }
}

/// Whether a line can be pointed at: a file that is not there has none.
fn has_text(finding: &Diagnostic) -> bool {
    finding.place.as_ref().is_some_and(|(source, _)| !source.text.is_empty())
}

/// In one line, and no longer than so many characters.
fn plain(text: &str, most: usize) -> String {
    let mut line: String =
        text.chars().take(most).map(|c| if is_unsightly(c) || c == '\n' { ' ' } else { c }).collect();
    if line.len() < text.len() && text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

/// The first findings, each with its place, and how many more there are; empty where there are none. Where there are
/// errors, only they count.
pub fn in_short(findings: &[Diagnostic]) -> String {
    let worst = findings.iter().map(|finding| finding.severity).max().filter(|worst| *worst > Severity::Note);
    let of_it: Vec<&Diagnostic> = findings.iter().filter(|finding| Some(finding.severity) == worst).collect();
    let said = of_it.iter().take(SHORT).map(|finding| {
        let Finding { file, line, column, .. } = kept(finding);
        let point = line.zip(column).map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let place = file.map(|file| format!("{file}{point}: ")).unwrap_or_default();
        format!("{place}{}", plain(&finding.message, SHORT_TEXT))
    });
    let mut said: Vec<String> = said.collect();
    if of_it.len() > SHORT {
        said.push(format!("and {} more", of_it.len() - SHORT));
    }
    said.join("; ")
}

/// Puts why a run stopped into its log, where nothing of the pipeline is in it: whoever sees only the log learns it there.
pub(super) fn log(live: &LiveRun, stop: &Stop) {
    let path = live.folder().log();
    if stop.diagnostics.is_empty() && path.is_file() {
        return;
    }
    if let Err(error) = write(&path, &text(stop)) {
        tracing::warn!(%error, "not in the log why the run stopped");
    }
}

fn text(stop: &Stop) -> String {
    let style = Style { color: false, unicode: true, width: WIDTH };
    let mut text = if stop.diagnostics.is_empty() { String::new() } else { human(&stop.diagnostics, style) };
    text.push_str(&plain(&stop.line(), LONG_TEXT));
    text.push('\n');
    if let Some(help) = &stop.help {
        text.push_str(&format!("help: {}\n", plain(help, LONG_TEXT)));
    }
    text
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diag::{SourceText, Span};
    use crate::id::CommitSha;
    use crate::run::ending::Ending;
    use crate::store::{Home, Runs};

    fn finding(number: usize) -> Diagnostic {
        let source = SourceText { name: "pipeline.yaml".to_owned(), text: "tasks:\n  prodct: x\n".to_owned() };
        let wrong = Diagnostic::error("pipeline/key", format!("there is no key `prodct{number}`\u{1b}[2J\nx"));
        wrong.at(&Arc::new(source), Span { start: 9, len: 6 }).help("did you mean `product`?")
    }

    #[test]
    fn one_line_has_the_first_findings_with_their_places_and_a_count_of_the_others() {
        let many: Vec<Diagnostic> = (0..5).map(finding).chain([Diagnostic::warning("a/b", "a warning")]).collect();
        let said = in_short(&many);
        assert!(said.starts_with("pipeline.yaml:2:3: there is no key `prodct0` [2J x; pipeline.yaml:2:3: "), "{said}");
        assert!(said.ends_with("; and 2 more") && !said.contains("a warning"), "{said}");
        assert!(!said.contains(char::is_control), "{said:?}");
        assert_eq!(in_short(&many[5..]), "a warning");
        assert_eq!(in_short(&[Diagnostic::note("a/b", "a note")]), "");
    }

    #[test]
    fn so_many_are_kept_that_a_record_stays_small_and_errors_before_warnings() {
        let mut findings = Findings::default();
        for number in 0..MOST + 9 {
            findings.add(&Diagnostic::warning("a/b", format!("{number} {}", "x".repeat(9_000))));
        }
        findings.add(&finding(7));
        findings.add(&Diagnostic::note("a/b", "a note"));
        let (kept, more) = findings.kept();
        assert_eq!((kept.len(), more), (MOST, 10));
        let last = kept.last().unwrap();
        assert_eq!((last.severity.as_str(), last.line, last.column), ("error", Some(2), Some(3)));
        assert_eq!(last.help.as_deref(), Some("did you mean `product`?"));
        assert!(kept.iter().all(|kept| kept.message.chars().count() <= LONG_TEXT + 1));
    }

    #[test]
    fn the_log_of_a_run_that_could_not_begin_says_why_and_where() {
        let home = tempfile::tempdir().unwrap();
        let commit: CommitSha = "4f".repeat(20).parse().unwrap();
        let live = Runs::of(&Home::at(home.path())).create(jiff::Timestamp::UNIX_EPOCH, &commit).unwrap();
        let stop = Stop::new(Ending::InvalidSpec, "the project cannot run: 1 error");
        log(&live, &Stop { diagnostics: vec![finding(1)], ..stop });
        let said = std::fs::read_to_string(live.folder().log()).unwrap();
        for words in ["pipeline.yaml:2:3", "`prodct1`", "did you mean `product`?", "the project cannot run: 1 error\n"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(!said.contains('\u{1b}'), "{said:?}");
        // What the pipeline said stays as it is.
        log(&live, &Stop::new(Ending::EngineUnavailable, "the engine went away"));
        assert_eq!(std::fs::read_to_string(live.folder().log()).unwrap(), said);
    }
}
