//! Two projects that would share a folder, since a storage takes names that differ only in case for one.

use super::{Storage, StorageError, key};
use crate::id::ProjectName;
use crate::outputs::manifest::ManifestError;

/// Refuses a project whose folder is that of another one. `names` lie beside it in the storage; where it is not among them
/// and another spelling is, what is seen below its name decides: nothing where both are folders of their own.
pub(super) async fn refuse(storage: &dyn Storage, project: &ProjectName, names: &[String]) -> Result<(), StorageError> {
    let Some(folder) = key::other_spelling(names, project) else { return Ok(()) };
    for commit in storage.folders(project).await? {
        match storage.manifest(project, &commit).await {
            // Whoever made the folder, this project publishes to it.
            Ok(_) => return Ok(()),
            Err(StorageError::Manifest { source: ManifestError::Other(owner), .. }) if owner.project != *project => {
                let (folder, place) = (folder.to_owned(), storage.place());
                return Err(StorageError::OneFolder { project: project.clone(), other: owner.project, folder, place });
            }
            Err(StorageError::Manifest { .. } | StorageError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::local::Local;
    use super::super::samples::{SHA, manifest};
    use super::*;

    /// What is told of `R1` where a folder `r1` is seen, and below the name `R1` a commit of `theirs`.
    async fn told(theirs: Option<&str>) -> Result<(), StorageError> {
        let root = tempfile::tempdir().unwrap();
        if let Some(theirs) = theirs {
            let folder = root.path().join("R1").join(SHA);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(key::MANIFEST), manifest(theirs, &[]).to_bytes().unwrap()).unwrap();
        }
        let storage = Local::new(root.path().to_owned());
        refuse(&storage, &"R1".parse().unwrap(), &["r1".to_owned()]).await
    }

    #[tokio::test]
    async fn who_would_publish_among_the_commits_of_another_project_is_told_whose_they_are() {
        let error = told(Some("r1")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`R1`") && text.contains("`r1`"), "{text}");
        let help = error.help().unwrap();
        assert!(help.contains("--project") && !help.contains("remove"), "{help}");
    }

    #[tokio::test]
    async fn a_folder_of_ones_own_is_refused_to_nobody() {
        told(None).await.unwrap();
        // Somebody made it by hand with another spelling, and this project has published to it since.
        told(Some("R1")).await.unwrap();
    }
}
