//! Paths of folders to Box's ids: each is asked for or made once, however many need it at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::api::{Api, Made};
use crate::storage::backend::file_in_the_way;
use crate::storage::drive::patience::Patience;
use crate::web::Fault;

/// Box's own name for the top.
pub(super) const TOP: &str = "0";

/// The id, once it is known; who holds the lock is finding out.
type Slot = Arc<tokio::sync::Mutex<Option<String>>>;

/// What is known of folders.
#[derive(Debug)]
pub(super) struct Folders {
    /// The folder below which everything lies.
    root: Vec<String>,
    known: Mutex<HashMap<String, Slot>>,
}

impl Folders {
    pub(super) fn below(root: &str) -> Self {
        let root = root.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Self { root, known: Mutex::default() }
    }

    /// The id of a folder; `None` where there is none.
    pub(super) async fn find(&self, api: &Api, folder: &str) -> Result<Option<String>, Fault> {
        self.walk(api, folder, None).await
    }

    /// The id of a folder, which is made with all above it where it is missing.
    pub(super) async fn make(&self, api: &Api, folder: &str) -> Result<String, Fault> {
        let walked = match self.walk(api, folder, Some(&Patience::of(0))).await {
            // A folder that we knew is gone, or is too new for some of Box's servers. Asked again from the top, Box
            // tells of each: after that a 404 is one that passes.
            Err(Fault::NotFound) => {
                self.forget();
                self.walk(api, folder, Some(&Patience::late())).await
            }
            walked => walked,
        };
        walked?.ok_or(Fault::NotFound)
    }

    /// The folder of the place, or the nearest one above it that is there: the next one is made in it.
    pub(super) async fn nearest(&self, api: &Api) -> Result<String, Fault> {
        let (mut at, mut path) = (TOP.to_owned(), String::new());
        for name in &self.root {
            path = format!("{path}/{name}");
            let slot = self.slot(&path);
            let mut known = slot.lock().await;
            if known.is_none() {
                match api.find(&at, name).await? {
                    Some(item) if item.is_folder() => *known = Some(item.id),
                    Some(_) => return Err(file_in_the_way(path.trim_start_matches('/'))),
                    None => break,
                }
            }
            if let Some(id) = &*known {
                at.clone_from(id);
            }
        }
        Ok(at)
    }

    /// Somebody removed folders: nothing is known any longer.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn slot(&self, path: &str) -> Slot {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(path.to_owned()).or_default())
    }

    /// `make`: what is missing is made, with so much patience where its parent is not known.
    async fn walk(&self, api: &Api, folder: &str, make: Option<&Patience>) -> Result<Option<String>, Fault> {
        let (mut at, mut path) = (TOP.to_owned(), String::new());
        let parts = self.root.iter().map(String::as_str).chain(folder.split('/').filter(|part| !part.is_empty()));
        for name in parts {
            path = format!("{path}/{name}");
            let slot = self.slot(&path);
            let mut known = slot.lock().await;
            if known.is_none() {
                *known = match make {
                    Some(late) => Some(made(api, &at, name, &path, late.clone()).await?),
                    None => found(api, &at, name).await?,
                };
            }
            match &*known {
                Some(id) => at.clone_from(id),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

/// Made without a look first: a name in use is answered with what uses it.
async fn made(api: &Api, parent: &str, name: &str, path: &str, late: Patience) -> Result<String, Fault> {
    match api.make_folder(parent, name, late).await? {
        Made::New(item) => Ok(item.id),
        Made::There { item, .. } if item.is_folder() => Ok(item.id),
        Made::There { .. } => Err(file_in_the_way(path.trim_start_matches('/'))),
    }
}

async fn found(api: &Api, parent: &str, name: &str) -> Result<Option<String>, Fault> {
    Ok(api.find(parent, name).await?.filter(super::api::Item::is_folder).map(|item| item.id))
}
