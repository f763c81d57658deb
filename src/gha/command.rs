//! What a comment asks for: `/soopervisor run`, `run sample`, with `SHA` or `trust=SHA` behind either, `cancel`, `help`.
//!
//! Only the first line counts that is neither quoted nor code. Nothing of it reaches a shell.

use std::fmt;

use crate::id::CommitSha;
use crate::plan::Mode;

/// What a command begins with.
const NAME: &str = "/soopervisor";

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the pipeline.
    Run {
        /// With all data, unless the command says `sample`.
        mode: Mode,
        /// The commit, where the command names one.
        commit: Option<CommitSha>,
        /// Whether the command vouches for that commit: it runs as if it were this repository's own.
        trust: bool,
    },
    /// Stop what runs.
    Cancel,
    /// Say what there is to say.
    Help,
}

/// A command of ours with words that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotUnderstood {
    /// No such word.
    Words,
    /// A commit that is cut short: somebody else could make another one that begins alike.
    Short,
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "that is no command of mine",
            Self::Short => "a commit is named by its full id (40 digits): a short one can be forged",
        })
    }
}

impl Command {
    /// The words behind our name in a comment, none of them understood yet; `None` when it does not speak to us.
    pub fn words(comment: &str) -> Option<Vec<&str>> {
        let rest = first_line(comment)?.strip_prefix(NAME)?;
        let ours = rest.is_empty() || rest.starts_with([' ', '\t']);
        ours.then(|| rest.split_whitespace().collect())
    }

    /// What a comment asks for; `None` when it does not speak to us.
    pub fn of(comment: &str) -> Option<Result<Self, NotUnderstood>> {
        Some(match Self::words(comment)?[..] {
            [] | ["help"] => Ok(Self::Help),
            ["cancel"] => Ok(Self::Cancel),
            ["run"] => Ok(Self::Run { mode: Mode::Full, commit: None, trust: false }),
            ["run", "sample"] => Ok(Self::Run { mode: Mode::Sample, commit: None, trust: false }),
            ["run", commit] => named(Mode::Full, commit),
            ["run", "sample", commit] => named(Mode::Sample, commit),
            _ => Err(NotUnderstood::Words),
        })
    }
}

/// `SHA` or `trust=SHA`.
fn named(mode: Mode, word: &str) -> Result<Command, NotUnderstood> {
    let trusted = word.strip_prefix("trust=");
    let commit = trusted.unwrap_or(word);
    match commit.to_ascii_lowercase().parse() {
        Ok(commit) => Ok(Command::Run { mode, commit: Some(commit), trust: trusted.is_some() }),
        Err(_) if !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err(NotUnderstood::Short)
        }
        Err(_) => Err(NotUnderstood::Words),
    }
}

/// The first line with something in it that is neither a quote nor code nor a hidden remark.
fn first_line(comment: &str) -> Option<&str> {
    let mut fence: Option<(char, usize)> = None;
    let mut hidden = false;
    for line in comment.lines() {
        let text = line.trim();
        if hidden {
            hidden = !text.contains("-->");
            continue;
        }
        let marks = |c: char| text.chars().take_while(|found| *found == c).count();
        let mark = ['`', '~'].into_iter().find(|c| marks(*c) >= 3);
        match (fence, mark) {
            // A fence ends with nothing else in its line, which is no code itself.
            (Some((open, length)), Some(c))
                if c == open && marks(c) >= length && text.chars().all(|mark| mark == c) && !is_indented(line) =>
            {
                fence = None;
                continue;
            }
            (Some(_), _) => continue,
            (None, Some(c)) => {
                fence = Some((c, marks(c)));
                continue;
            }
            (None, None) => {}
        }
        if text.starts_with("<!--") {
            hidden = !text.contains("-->");
            continue;
        }
        if text.is_empty() || text.starts_with('>') || is_indented(line) {
            continue;
        }
        return Some(text);
    }
    None
}

/// Four spaces, or a tab among fewer, make code of a line.
fn is_indented(line: &str) -> bool {
    let before = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
    before.len() >= 4 || before.contains('\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn commands_are_few() {
        let asked = |mode, commit: Option<&str>, trust| {
            let commit = commit.map(|sha| sha.parse().unwrap());
            Command::Run { mode, commit, trust }
        };
        let run = |mode, commit| asked(mode, commit, false);
        for (text, command) in [
            ("/soopervisor run", run(Mode::Full, None)),
            ("  /soopervisor   run  ", run(Mode::Full, None)),
            ("/soopervisor run\r\nthanks", run(Mode::Full, None)),
            ("/soopervisor run\r\n/soopervisor cancel\r\n", run(Mode::Full, None)),
            ("```\r\n/soopervisor cancel\r\n```\r\n/soopervisor run", run(Mode::Full, None)),
            ("\n\n/soopervisor run sample", run(Mode::Sample, None)),
            (&format!("/soopervisor run {SHA}"), run(Mode::Full, Some(SHA))),
            (&format!("/soopervisor run sample {}", SHA.to_uppercase()), run(Mode::Sample, Some(SHA))),
            (&format!("/soopervisor run trust={SHA}"), asked(Mode::Full, Some(SHA), true)),
            (&format!("/soopervisor run sample trust={SHA}"), asked(Mode::Sample, Some(SHA), true)),
            ("/soopervisor cancel", Command::Cancel),
            ("/soopervisor help", Command::Help),
            ("/soopervisor", Command::Help),
            ("> /soopervisor cancel\n/soopervisor run", run(Mode::Full, None)),
            ("```\n/soopervisor cancel\n```\n/soopervisor run", run(Mode::Full, None)),
            ("~~~~\n/soopervisor cancel\n~~~\n~~~~\n/soopervisor run", run(Mode::Full, None)),
            ("<!-- x\n/soopervisor cancel\n-->\n/soopervisor run", run(Mode::Full, None)),
        ] {
            assert_eq!(Command::of(text), Some(Ok(command)), "{text:?}");
        }
    }

    #[test]
    fn what_does_not_speak_to_us_is_nothing() {
        for text in [
            "",
            "looks good",
            "please /soopervisor run",
            "/soopervisors run",
            "/soopervisor-run",
            "/SOOPERVISOR run",
            "> /soopervisor run",
            "```\n/soopervisor run\n```",
            "```sh\n/soopervisor run",
            "```\n``` text\n/soopervisor run\n```",
            "```\n    ```\n/soopervisor run\n```",
            "~~~\n```\n/soopervisor run\n~~~",
            "   \t/soopervisor run",
            "/soopervisor\u{a0}run",
            "    /soopervisor run",
            "\t/soopervisor run",
            "looks good\n/soopervisor run",
            "<!-- /soopervisor run -->",
            "<!--\n/soopervisor run",
        ] {
            assert_eq!(Command::of(text), None, "{text:?}");
        }
    }

    #[test]
    fn words_that_are_none_are_told_and_short_commits_refused() {
        for text in [
            "/soopervisor deploy",
            "/soopervisor run all",
            "/soopervisor run $(id)",
            "/soopervisor run; id",
            "/soopervisor cancel now",
            "/soopervisor run trust=",
            "/soopervisor run trust=head",
            "/soopervisor run trust",
            &format!("/soopervisor run trust= {SHA}"),
            &format!("/soopervisor run TRUST={SHA}"),
            &format!("/soopervisor run trust=trust={SHA}"),
            &format!("/soopervisor run {SHA} trust={SHA}"),
        ] {
            assert_eq!(Command::of(text), Some(Err(NotUnderstood::Words)), "{text:?}");
        }
        for text in ["/soopervisor run 0123456", "/soopervisor run trust=0123456"] {
            assert_eq!(Command::of(text), Some(Err(NotUnderstood::Short)), "{text:?}");
        }
    }
}
