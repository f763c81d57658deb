//! `soopervisor download` and `soopervisor verify`: what the storage holds for a commit.

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam::{self, Verified, Wanted};
use crate::report::bytes;
use crate::run::figures::count;

impl args::Stored {
    fn wanted(&self) -> Result<Wanted, Failure> {
        let storage = self.storage.required()?;
        Ok(Wanted { storage, project: self.project.clone(), commit: self.commit.clone() })
    }
}

pub(super) fn download(args: &args::Download) -> Result<Exit, Failure> {
    let fetched = seam::download(&args.stored.wanted()?, &args.globs, args.to.as_deref(), args.force)?;
    let kept = if fetched.kept > 0 { format!(", {} there already", fetched.kept) } else { String::new() };
    let (files, size, to) = (count(fetched.files, "file"), bytes(fetched.bytes), fetched.to.display());
    Console::answer(&format!("{}: {files}, {size}{kept}: {to}\n", fetched.of));
    Ok(Exit::Ok)
}

pub(super) fn verify(args: &args::Verify) -> Result<Exit, Failure> {
    let verified = seam::verify(&args.stored.wanted()?)?;
    if !verified.problems.is_empty() {
        return Err(unsound(verified));
    }
    let (files, size) = (count(verified.sound, "file"), bytes(verified.bytes));
    Console::answer(&format!("{}: {files}, {size}: as the manifest says\n", verified.of));
    Ok(Exit::Ok)
}

/// What is not as the manifest says. Who finds only files of others there has nothing to publish again.
fn unsound(verified: Verified) -> Failure {
    let wrong = count(verified.problems.len() as u64, "file");
    let what = format!("{}: not as the manifest says: {wrong}; as it says: {}", verified.of, verified.sound);
    let help = if verified.whole {
        "files of others lie there; nothing that was published is changed: move them away, or leave them"
    } else {
        "verify it once more: the storage, or the way to it, may have failed for a moment; where it stays so, a published \
         folder is never written to again: remove it, and run the commit once more"
    };
    let failure = Failure::new(Exit::StorageFailed, what).help(help);
    verified.problems.into_iter().fold(failure, Failure::why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problem: &str, whole: bool) -> Failure {
        let problems = vec![problem.to_owned()];
        unsound(Verified { of: "4f1c2d".to_owned(), sound: 3, bytes: 9, problems, whole })
    }

    #[test]
    fn only_who_has_lost_something_is_told_to_publish_it_again() {
        let extra = told("not in the manifest: my notes.txt", true);
        assert_eq!(extra.what, "4f1c2d: not as the manifest says: 1 file; as it says: 3");
        assert_eq!(extra.why, ["not in the manifest: my notes.txt"]);
        let help = extra.help.unwrap();
        assert!(help.contains("move them away") && !help.contains("remove it"), "{help}");
        let help = told("missing: a.csv", false).help.unwrap();
        assert!(help.starts_with("verify it once more"), "{help}");
        assert!(help.ends_with("remove it, and run the commit once more"), "{help}");
    }
}
