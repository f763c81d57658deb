//! What to do about what went wrong with a storage: the next step, in a command to type where there is one.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{StorageError, list};
use crate::id::ProjectName;
use crate::id::word::word;
use crate::outputs::manifest::ManifestError;
use crate::spec::amount::decimal;
use crate::storage::key::{self, Folder};
use crate::web::{Fault, spoken};

/// Every storage, as it is written.
const THERE_ARE: &str = "there are `local:DIR`, `box`, `dropbox`, `onedrive`, `gdrive`, `s3://BUCKET`, `gs://BUCKET`, \
     `azblob://CONTAINER`, `webdav://HOST/PATH`, `webdavs://HOST/PATH`, `sftp://HOST/PATH`, and what `remotes:` in \
     config.yaml names";

/// What to do about a project whose name cannot be that of its folder.
const RENAME: &str = "give it another name: `--project NAME`, or `project: NAME` in soopervisor.yaml";

/// What to do about a folder that is damaged, once that is sure.
const ANEW: &str = "a published folder is never written to again: remove it, and run the commit once more";

/// Who has no room left.
const FULL: &str = "make room there (`soopervisor prune` removes old commits), or leave files out with `exclude:`";

/// What comes before that: nobody removes results for a bad moment of the service or of the way to it.
const FIRST: &str = "try again: the service, or the way to it, may have failed for a moment";

impl StorageError {
    /// The next step, where there is one.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoLocation => "name one: `--storage local:DIR`".to_owned(),
            Self::NotBuilt(name) => format!(
                "build the program with it: `cargo build --release --features {name}`, or with everything, without \
                 `--no-default-features`; or publish to a folder with `--storage local:DIR`"
            ),
            Self::UnknownBackend { near, name } => unknown_help(name, near.as_deref()),
            Self::Credentials { remote, .. } => credentials_help(remote),
            Self::Name { remote, .. } => format!("name another folder, as in `{remote}:FOLDER`"),
            Self::Project { .. } => RENAME.to_owned(),
            Self::RemoteType { .. } => {
                "set it to local, box, dropbox, onedrive, gdrive, s3, gcs, azblob, webdav or sftp".to_owned()
            }
            Self::Tilde(text) => format!("write `{}`", text.replacen('~', "$HOME", 1)),
            Self::NotAFolder(_) | Self::ReadOnly(_) => "name another folder: `--storage local:DIR`".to_owned(),
            Self::Blocked { path } => blocked_help(path),
            Self::Forbidden { path, .. } => {
                format!("see `ls -ld {}`, or name another folder: `--storage local:DIR`", path.display())
            }
            Self::DiskFull { path, needed, free } => format!(
                "free {} (see `df -h {}`) or leave files out with `exclude:` in soopervisor.yaml",
                decimal(needed.saturating_sub(*free)),
                shell(existing(path))
            ),
            Self::TooManyFiles { path, .. } => format!("see `df -i {}`", shell(existing(path))),
            Self::Conflict { .. } => {
                "`--on-conflict keep` leaves what is there, `--on-conflict new-run` publishes beside it".to_owned()
            }
            Self::OneFolder { other, .. } => one_folder_help(other),
            Self::Foreign { place, .. } => format!("move `{place}` away, or use `--on-conflict new-run`"),
            Self::Unfinished { place, .. } => format!(
                "wait for the other publish, or remove `{place}` if there is none, or use `--on-conflict new-run`"
            ),
            Self::NoProject { known, .. } if !known.is_empty() => format!("there are: {}", list(known)),
            Self::Incomplete { project, folder, place, .. } => incomplete_help(project, folder, place),
            Self::NoneFinished { project, begun, place, .. } => {
                return begun.first().map(|folder| incomplete_help(project, folder, place));
            }
            Self::Ambiguous { .. } => "write more of the commit, or the whole folder name".to_owned(),
            Self::WouldOverwrite { .. } => "download to an empty folder with `--to DIR`, or `--force`".to_owned(),
            Self::Manifest { source, .. } => manifest_help(source),
            // Nobody takes it for a published one any more, so that there is nothing to remove.
            Self::Missing { path, .. } if path.as_bytes() == key::MANIFEST.as_bytes() => {
                format!("{FIRST}; where it stays missing, run the commit once more")
            }
            Self::Corrupt { .. } | Self::Replaced { .. } | Self::Missing { .. } | Self::Damaged { .. } => {
                damaged_help()
            }
            Self::NoCommit { known, unreadable, .. } if !known.is_empty() || !unreadable.is_empty() => {
                others(known, unreadable)
            }
            Self::Full { .. } => FULL.to_owned(),
            Self::Undecided { project, folder, place, .. } => undecided_help(project, folder, place),
            Self::TrialLeft { place, .. } => trial_help(place),
            Self::Service { action, fault, place, .. } => return service_help(action, place, fault),
            Self::Open { fault, place } => return service_help("open", place, fault),
            _ => return None,
        })
    }
}

fn damaged_help() -> String {
    format!("see with `soopervisor verify` whether it stays so, and what else is damaged; where it does, {ANEW}")
}

/// The folder itself, or the closest one above that is there: what was made for a publish that failed is gone again.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(path)
}

fn one_folder_help(other: &ProjectName) -> String {
    format!("{RENAME}; or another place with `--storage`. If it is the same project, go on with `--project {other}`")
}

fn blocked_help(path: &str) -> String {
    format!(
        "move `{path}` away, or publish elsewhere: to another folder with `--storage`, or as another project with \
         `--project NAME`"
    )
}

/// Whoever types it may be in the folder of another project.
fn incomplete_help(project: &ProjectName, folder: &Folder, place: &str) -> String {
    format!(
        "resume with `git checkout {}` and `soopervisor run . --storage {} --project {project}`: what was sent is not \
         sent twice",
        folder.revision.commit,
        shell(Path::new(place))
    )
}

fn undecided_help(project: &ProjectName, folder: &Folder, place: &str) -> String {
    format!(
        "`soopervisor verify {folder} --storage {} --project {project}` tells; the same run again publishes it if it is not",
        shell(Path::new(place))
    )
}

fn trial_help(place: &str) -> String {
    format!("`soopervisor doctor --storage {}` takes it away, when an hour has passed", shell(Path::new(place)))
}

/// Nothing can be verified without a manifest.
fn manifest_help(source: &ManifestError) -> String {
    match source {
        ManifestError::Newer { .. } => "use the soopervisor that published it, or a later one".to_owned(),
        // Nothing is damaged: who removed it would remove somebody's results.
        ManifestError::Other(owner) => format!(
            "nothing of it is damaged, and it is not to be removed: ask for it with `--project {0}`; where the folder \
             was moved, move it back to `{0}/{1}`",
            owner.project, owner.revision
        ),
        _ => format!("{FIRST}; where it stays so, {ANEW}"),
    }
}

/// A path in a command to type.
fn shell(path: &Path) -> String {
    // No path holds a NUL.
    word(path.as_os_str().as_bytes()).unwrap_or_default()
}

fn unknown_help(name: &str, near: Option<&str>) -> String {
    let folder = format!("a folder of that name is written `./{name}` or `local:{name}`");
    match near {
        Some(near) if near == name => folder,
        // An address is no folder's name.
        Some(near) if near.ends_with("://") => format!("did you mean `{near}`? {THERE_ARE}"),
        Some(near) => format!("did you mean `{near}`? {folder}; {THERE_ARE}"),
        None => THERE_ARE.to_owned(),
    }
}

fn credentials_help(remote: &str) -> String {
    let keys = match remote {
        "s3" => "SOOPERVISOR_S3_ACCESS_KEY_ID and SOOPERVISOR_S3_SECRET_ACCESS_KEY (or AWS_…)",
        "gcs" => "SOOPERVISOR_GCS_CREDENTIALS (or GOOGLE_APPLICATION_CREDENTIALS)",
        "azblob" => "SOOPERVISOR_AZBLOB_ACCOUNT and SOOPERVISOR_AZBLOB_ACCOUNT_KEY (or AZURE_STORAGE_…)",
        "webdav" => "SOOPERVISOR_WEBDAV_USER and SOOPERVISOR_WEBDAV_PASSWORD",
        _ => "an agent or a key file for ssh: it is asked for no password here",
    };
    format!("write the address without it, and set {keys}; or name them in config.yaml's `remotes:` by reference")
}

fn service_help(action: &str, place: &str, fault: &Fault) -> Option<String> {
    // What only a publish does; whatever reads is of every verb.
    let sends = matches!(action, "send" | "publish" | "write" | "make the folder" | "hold");
    let again = if sends { "run the commit again" } else { "try again" };
    let kept = if sends { ": what was sent already is not sent twice" } else { "" };
    Some(match fault {
        Fault::Full => {
            "make room there (`soopervisor prune` removes old commits), then run the commit again".to_owned()
        }
        Fault::Throttled(Some(after)) => format!("{again} in {}{kept}", spoken(*after)),
        Fault::Throttled(None) => format!("{again} in a few minutes{kept}"),
        Fault::Spent(_) => format!("{again} tomorrow{kept}; or raise the limit, in the console of the app"),
        Fault::Broken(_) if sends => format!("{again}{kept}"),
        Fault::Broken(_) => {
            format!("{again}; `soopervisor doctor --storage {}` looks closer", shell(Path::new(place)))
        }
        Fault::Forbidden(_) => "see what the account and its token may do: `soopervisor auth status`".to_owned(),
        _ => return None,
    })
}

/// What there is, where nothing was published under the name that was asked for.
fn others(known: &[Folder], unreadable: &[Folder]) -> String {
    let mut told = Vec::new();
    if !known.is_empty() {
        told.push(format!(
            "there are, the newest first: {}; `latest` is the first of them, and `soopervisor run` publishes another",
            list(known)
        ));
    }
    if !unreadable.is_empty() {
        told.push(format!("passed over, because their manifests are not to be believed: {}", list(unreadable)));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::manifest::Owner;

    #[test]
    fn a_full_disk_is_told_in_sizes_that_people_read_with_a_folder_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("my results");
        std::fs::create_dir(&there).unwrap();
        let path = there.join(".staging-gone/deep");
        let error = StorageError::DiskFull { path, needed: 3_000_000_000, free: 500_000_000 };
        assert!(error.to_string().ends_with("has 500.0 MB free, 3.0 GB are needed"), "{error}");
        let help = error.help().unwrap();
        assert!(help.starts_with(&format!("free 2.5 GB (see `df -h '{}'`)", there.display())), "{help}");
        let full = StorageError::Full { place: "box:".to_owned(), needed: 3_000_000, free: 1 };
        assert_eq!(full.to_string(), "box: has 1 B free, 3.0 MB are needed");
        let files = StorageError::TooManyFiles { path: there, needed: 7, free: 1 };
        assert!(files.to_string().ends_with("has room for 1 more file, 7 are needed"), "{files}");
    }

    #[test]
    fn who_asks_for_what_is_not_there_is_told_what_is_and_what_was_passed_over() {
        let folder = |letter: &str| letter.repeat(40).parse::<Folder>().unwrap();
        let none = |known: Vec<Folder>, unreadable: Vec<Folder>| {
            let project = "demo".parse().unwrap();
            StorageError::NoCommit { project, wanted: "t9".to_owned(), known, unreadable }
        };
        assert_eq!(none(Vec::new(), Vec::new()).help(), None);
        let help = none(vec![folder("a")], Vec::new()).help().unwrap();
        assert!(help.contains("`latest` is the first of them") && !help.contains("passed over"), "{help}");
        let help = none(vec![folder("a")], vec![folder("c")]).help().unwrap();
        assert!(help.contains("; passed over, ") && help.contains(&"c".repeat(40)), "{help}");
    }

    #[test]
    fn who_reads_is_told_to_try_again_and_who_publishes_to_run_again() {
        let help = |action, fault| {
            let (key, place) = ("demo/x".to_owned(), "box:my results".to_owned());
            StorageError::Service { action, key, place, fault }.help().unwrap()
        };
        let broken = || Fault::Broken("the service answered 503".to_owned());
        for action in ["list", "look at", "read", "reach", "remove"] {
            let said = help(action, broken());
            assert_eq!(said, "try again; `soopervisor doctor --storage 'box:my results'` looks closer", "{action}");
        }
        assert_eq!(help("read", Fault::Throttled(Some(std::time::Duration::from_mins(20)))), "try again in 20 min");
        assert_eq!(help("send", broken()), "run the commit again: what was sent already is not sent twice");
        let said = help("send", Fault::Throttled(None));
        assert!(said.starts_with("run the commit again in a few minutes: what was sent"), "{said}");
        let said = help("read", Fault::Spent("dailyLimitExceeded: m".to_owned()));
        assert!(said.starts_with("try again tomorrow; or raise the limit") && !said.contains("may do"), "{said}");
    }

    #[test]
    fn what_lies_behind_an_error_is_told_once_and_its_help_leads_on() {
        use crate::run::stop::Stop;
        let words = "nobody is logged in";
        let fault = || Fault::Login(words.to_owned());
        let open = StorageError::Open { place: "box".to_owned(), fault: fault() };
        let service =
            StorageError::Service { action: "reach", key: "/".to_owned(), place: "box".to_owned(), fault: fault() };
        for error in [open, service] {
            assert_eq!(Stop::from(error).line().matches(words).count(), 1);
        }
        let folder: Folder = "a".repeat(40).parse().unwrap();
        let source = crate::outputs::manifest::Manifest::parse(b"{").unwrap_err();
        let broken = StorageError::Manifest { folder: folder.clone(), source };
        assert!(!broken.help().unwrap().contains("verify"), "it is verify that says this");
        let line = Stop::from(broken).line();
        assert_eq!(line.matches("EOF while parsing").count(), 1, "{line}");
        let newer = StorageError::Manifest { folder, source: ManifestError::Newer { found: 9 } };
        assert!(!newer.help().unwrap().contains("remove"));
    }

    #[test]
    fn nobody_is_led_to_remove_a_folder_before_somebody_looked_at_it_again() {
        let folder: Folder = "a".repeat(40).parse().unwrap();
        let path = |text: &str| text.parse::<crate::id::RelPath>().unwrap();
        let missing = |text: &str| StorageError::Missing { folder: folder.clone(), path: path(text) };
        let manifest = missing(key::MANIFEST).help().unwrap();
        assert!(manifest.starts_with("try again: ") && !manifest.contains("remove"), "{manifest}");
        let digest = crate::id::Digest([1; 32]);
        for error in [
            missing("a.csv"),
            StorageError::Replaced { folder: folder.clone(), path: path("a.csv") },
            StorageError::Corrupt { path: path("a.csv"), expected: digest, found: digest },
            StorageError::Damaged { folder: folder.clone(), first: vec![path("a.csv")], total: 1 },
        ] {
            let help = error.help().unwrap();
            let (again, remove) =
                (help.find("`soopervisor verify`"), help.find("remove it, and run the commit once more"));
            assert!(again.is_some() && again < remove, "{help}");
        }
        let source = crate::outputs::manifest::Manifest::parse(b"{").unwrap_err();
        let help = StorageError::Manifest { folder, source }.help().unwrap();
        assert!(help.find("try again").is_some_and(|again| Some(again) < help.find("remove it")), "{help}");
    }

    #[test]
    fn a_folder_that_is_anothers_is_told_with_whose_it_is_and_nobody_is_led_to_remove_it() {
        let folder: Folder = "a".repeat(40).parse().unwrap();
        let (project, revision) = ("R1".parse().unwrap(), folder.revision.clone());
        let source = ManifestError::Other(Box::new(Owner { project, revision }));
        let error = StorageError::Manifest { folder, source };
        let help = error.help().unwrap();
        assert!(help.contains("`--project R1`") && help.contains("not to be removed"), "{help}");
        assert!(!help.contains(ANEW), "{help}");
        let line = crate::run::stop::Stop::from(error).line();
        assert!(line.contains("project `R1`"), "{line}");
    }
}
