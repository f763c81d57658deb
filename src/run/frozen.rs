//! `--frozen-as COMMIT`: the lock of a published commit, out of its manifest. Nothing is built here.

use std::sync::Arc;

use super::ending::Ending;
use super::stop::Stop;
use crate::diag::Diagnostic;
use crate::environment::{Change, Lock};
use crate::plan::{Packages, RunPlan};
use crate::storage::{Storage, resolve};

/// As many packages as one message names.
const SHOWN: usize = 200;

/// The lock that a run was told to take its packages from.
///
/// # Errors
/// When there is no such commit in the storage, or its manifest holds no lock that can be used.
pub(super) async fn lock(storage: &Arc<dyn Storage>, plan: &RunPlan) -> Result<Option<Lock>, Stop> {
    let Packages::AsOf(commit) = &plan.packages else { return Ok(None) };
    let folder = resolve::resolve(storage.as_ref(), &plan.project, commit).await.map_err(|error| {
        let stop = Stop::from(error);
        let help = format!(
            "`--frozen-as` takes a commit that was published as `{}` to {}; leave it out to take the packages of this \
             machine",
            plan.project, plan.storage
        );
        Stop { help: Some(help), ..stop }
    })?;
    let manifest = storage.expected_manifest(&plan.project, &folder).await?;
    let Some(environment) = manifest.about.environment else {
        let message = format!("`{folder}` was published without the lock of its environment");
        return Err(Stop::new(Ending::InvalidSpec, message)
            .help("take another commit with `--frozen-as`, or solve anew with `--refresh`".to_owned()));
    };
    Ok(Some(Lock::parse(&environment.lock)?))
}

/// What to tell when the same environment.yml came to other packages than before.
pub(super) fn drift(changes: &[Change]) -> Option<Diagnostic> {
    if changes.is_empty() {
        return None;
    }
    let mut shown: Vec<String> = changes.iter().take(SHOWN).map(ToString::to_string).collect();
    if changes.len() > SHOWN {
        shown.push(format!("and {} more", changes.len() - SHOWN));
    }
    let are = super::figures::count(changes.len() as u64, "package");
    let message =
        format!("environment.yml is the same and resolves differently than before ({are}): {}", shown.join(", "));
    let help = "`--frozen-as COMMIT` takes exactly the packages that a published commit ran with; \
                versions in environment.yml hold them for good";
    Some(Diagnostic::warning("environment/drift", message).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, before: Option<&str>, after: Option<&str>) -> Change {
        Change { name: name.to_owned(), before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }

    #[test]
    fn drift_is_told_package_by_package() {
        assert_eq!(drift(&[]), None);
        let told = drift(&[change("numpy", Some("1.26.4"), Some("2.0.1")), change("six", Some("1"), None)]).unwrap();
        assert_eq!((told.code, told.severity), ("environment/drift", crate::diag::Severity::Warning));
        assert!(
            told.message.contains("2 packages") && told.message.contains("numpy 1.26.4 → 2.0.1"),
            "{}",
            told.message
        );
        assert!(told.message.contains("six 1 → nothing"));
        let many: Vec<Change> = (0..210).map(|n| change(&format!("p{n}"), Some("1"), Some("2"))).collect();
        let told = drift(&many).unwrap().message;
        assert!(told.contains("p199 1 → 2") && told.ends_with("and 10 more"), "{told}");
    }
}
