//! Two projects that would share a folder, since a storage takes names that differ only in case for one.

use super::backend::Fault;
use super::{Folder, Storage, StorageError, key};
use crate::id::ProjectName;
use crate::outputs::manifest::ManifestError;

/// Refuses a project whose folder is that of another one. `commits` are folders that are seen below its name, published or
/// not: the first that has a manifest says whose they are, however the folder above them is spelt. A publish that broke
/// off may have made that one, and the other project may have published to it since. `beside` are the names that lie
/// beside the project's, asked for only where that is to be told.
pub(super) async fn refuse(
    storage: &dyn Storage,
    project: &ProjectName,
    commits: &[Folder],
    beside: impl Future<Output = Vec<String>> + Send,
) -> Result<(), StorageError> {
    for commit in commits {
        match storage.manifest(project, commit).await {
            // Whoever made the folder, this project publishes to it.
            Ok(_) => return Ok(()),
            Err(StorageError::Manifest { source: ManifestError::Other(owner), .. })
                if key::are_twins(&owner.project, project) =>
            {
                let names = beside.await;
                let folder = key::spelling(&names, project).unwrap_or(project.as_str()).to_owned();
                let place = storage.place();
                return Err(StorageError::OneFolder { project: project.clone(), other: owner.project, folder, place });
            }
            // One manifest that may not be read says nothing; of a service that does not answer nothing is known.
            Err(error @ StorageError::Service { .. }) if !is_forbidden(&error) => return Err(error),
            Err(error) => tracing::debug!(%error, %commit, "says of no project whose folder it is"),
        }
    }
    Ok(())
}

fn is_forbidden(error: &StorageError) -> bool {
    matches!(error, StorageError::Service { fault: Fault::Forbidden(_), .. })
}

#[cfg(test)]
mod tests {
    use super::super::local::Local;
    use super::super::samples::{SHA, manifest};
    use super::*;

    /// A commit that was never published, and sorts before the one that was.
    const BROKE_OFF: &str = "0011223344556677889900112233445566778899";

    /// What is told of `R1` where a folder is seen beside it that is spelt so, and below its name a commit that broke off
    /// and, where that is said, one that `theirs` published.
    async fn told(spelt: &str, theirs: Option<&str>) -> Result<(), StorageError> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("R1").join(BROKE_OFF)).unwrap();
        if let Some(theirs) = theirs {
            let folder = root.path().join("R1").join(SHA);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(key::MANIFEST), manifest(theirs, &[]).to_bytes().unwrap()).unwrap();
        }
        let storage = Local::new(root.path().to_owned());
        let commits: [Folder; 2] = [BROKE_OFF, SHA].map(|name| name.parse().unwrap());
        refuse(&storage, &"R1".parse().unwrap(), &commits, std::future::ready(vec![spelt.to_owned()])).await
    }

    #[tokio::test]
    async fn who_would_publish_among_the_commits_of_another_project_is_told_whose_they_are() {
        // `R1` is what a publish made that broke off before it had published anything.
        for spelt in ["r1", "R1"] {
            let error = told(spelt, Some("r1")).await.unwrap_err();
            assert!(matches!(&error, StorageError::OneFolder { folder, .. } if folder == spelt), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("`R1`") && text.contains("`r1`"), "{text}");
            let help = error.help().unwrap();
            assert!(help.contains("--project") && !help.contains("remove"), "{help}");
        }
    }

    #[tokio::test]
    async fn a_folder_of_ones_own_is_refused_to_nobody() {
        told("r1", None).await.unwrap();
        // Somebody made it by hand with another spelling, and this project has published to it since.
        told("r1", Some("R1")).await.unwrap();
        // A commit that somebody copied there makes the folder nobody else's.
        told("R1", Some("other")).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_of_this_machine_is_looked_into_however_it_is_spelt() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("R1").join(SHA);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(key::MANIFEST), manifest("r1", &[]).to_bytes().unwrap()).unwrap();
        let storage = Local::new(root.path().to_owned());
        let error = storage.tell_apart(&"R1".parse().unwrap()).await.unwrap_err();
        assert!(matches!(&error, StorageError::OneFolder { folder, .. } if folder == "R1"), "{error:?}");
        // Here these are two folders.
        storage.tell_apart(&"r1".parse().unwrap()).await.unwrap();
    }
}
