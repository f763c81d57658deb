//! The runner's files: outputs with end marks that nobody can guess, and the job's summary below its bound.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The runner drops a summary of a MiB and more, with an error.
const SUMMARY: usize = 1_000_000;

/// Outputs of the action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The run's id.
    pub run_id: String,
    /// The commit that ran.
    pub commit: String,
    /// `sample` or `full`.
    pub mode: String,
    /// Where the outputs are.
    pub artifact_url: String,
    /// The manifest among them.
    pub manifest_path: String,
    /// `succeeded`, `failed`, `cancelled`, `refused` or `ignored`.
    pub status: String,
}

/// Where the runner wants them; nothing is written where it does not say.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// `GITHUB_OUTPUT`.
    pub output: Option<PathBuf>,
    /// `GITHUB_STEP_SUMMARY`.
    pub summary: Option<PathBuf>,
}

impl Files {
    /// The files that the runner named.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { output: path("GITHUB_OUTPUT"), summary: path("GITHUB_STEP_SUMMARY") }
    }

    /// Hands the outputs to later steps.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_outputs(&self, outputs: &Outputs) -> io::Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        let all = [
            ("run-id", &outputs.run_id),
            ("commit", &outputs.commit),
            ("mode", &outputs.mode),
            ("artifact-url", &outputs.artifact_url),
            ("manifest-path", &outputs.manifest_path),
            ("status", &outputs.status),
        ];
        let mut text = String::new();
        for (name, value) in all {
            // A value cannot end itself: it would have to hold what is random.
            let end = format!("soop-{}", random()?);
            let _ = write!(text, "{name}<<{end}\n{value}\n{end}\n");
        }
        append(path, text.as_bytes())
    }

    /// Shows Markdown on the job's page, cut where it is too long.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_summary(&self, markdown: &str) -> io::Result<()> {
        let Some(path) = &self.summary else { return Ok(()) };
        let mut end = markdown.len().min(SUMMARY);
        while !markdown.is_char_boundary(end) {
            end -= 1;
        }
        let more = if end < markdown.len() { "\n\n… the rest is in the log.\n" } else { "\n" };
        append(path, [&markdown[..end], more].concat().as_bytes())
    }
}

fn append(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    fs_err::OpenOptions::new().append(true).create(true).open(path)?.write_all(bytes)
}

/// 32 hexadecimal digits that nobody can guess.
fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs_err::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_another_output() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { output: Some(dir.path().join("o")), summary: None };
        let evil = "x\nsoop\nstatus<<E\nsucceeded\nE".to_owned();
        files
            .write_outputs(&Outputs { artifact_url: evil.clone(), status: "failed".into(), ..Outputs::default() })
            .unwrap();
        let text = std::fs::read_to_string(dir.path().join("o")).unwrap();
        let mut lines = text.lines();
        let mut read = std::collections::BTreeMap::new();
        while let Some((name, end)) = lines.next().and_then(|line| line.split_once("<<")) {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            assert!(end.len() > 32 && read.insert(name, value.join("\n")).is_none(), "{name} twice");
        }
        assert_eq!(read.len(), 6);
        assert_eq!((read["artifact-url"].as_str(), read["status"].as_str()), (evil.as_str(), "failed"));
    }

    #[test]
    fn a_summary_stays_below_a_mebibyte_and_whole_in_its_characters() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { output: None, summary: Some(dir.path().join("s")) };
        files.write_summary(&"ü".repeat(1_000_000)).unwrap();
        let text = std::fs::read_to_string(dir.path().join("s")).unwrap();
        assert!(text.len() < 1 << 20 && text.ends_with("in the log.\n"));
    }
}
