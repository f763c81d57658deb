//! Downloads of artifacts: the address that GitHub hands out is a credential for a minute, and is asked without ours.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use super::super::{Artifact, Downloaded, RepoId};
use super::{GitHub, dressed, repo};
use crate::id::Digest;
use crate::web::Fault;

/// A broken download is begun anew, with a fresh address, so often.
const TRIES: usize = 3;

impl GitHub {
    pub(super) async fn fetch(
        &self,
        id: &RepoId,
        artifact: &Artifact,
        to: &Path,
        most: u64,
    ) -> Result<Downloaded, Fault> {
        let mut file = fs_err::tokio::OpenOptions::new().write(true).create_new(true).open(to).await.map_err(local)?;
        let mut last = Fault::NotFound;
        for _ in 0..TRIES {
            match self.fill(id, artifact, &mut file, most).await {
                Err(Fault::Broken(words)) => last = Fault::Broken(words),
                Err(fault) => {
                    last = fault;
                    break;
                }
                Ok(done) => return Ok(done),
            }
        }
        drop(file);
        // What is half there must not be taken for the whole.
        fs_err::tokio::remove_file(to).await.map_err(local)?;
        Err(last)
    }

    async fn fill(
        &self,
        id: &RepoId,
        artifact: &Artifact,
        file: &mut fs_err::tokio::File,
        most: u64,
    ) -> Result<Downloaded, Fault> {
        use tokio::io::AsyncSeekExt;
        file.set_len(0).await.map_err(local)?;
        file.rewind().await.map_err(local)?;
        let url = self.rest.at(&format!("{}/actions/artifacts/{}/zip", repo(id), artifact.id));
        let mut response = self.rest.reading.open(|client| dressed(client.get(&url))).await?;
        let (mut bytes, mut hasher) = (0_u64, Sha256::new());
        while let Some(chunk) = response.chunk().await.map_err(Fault::network)? {
            bytes += chunk.len() as u64;
            if bytes > most {
                return Err(Fault::TooLarge(Some(most)));
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(local)?;
        }
        file.flush().await.map_err(local)?;
        let sha256 = Digest(hasher.finalize().into());
        match artifact.digest {
            Some(wanted) if wanted != sha256 => {
                Err(Fault::Damaged(format!("artifact {} has the digest {sha256}, not {wanted}", artifact.id)))
            }
            _ => Ok(Downloaded { bytes, sha256 }),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn local(error: std::io::Error) -> Fault {
    Fault::Local(error.to_string())
}
