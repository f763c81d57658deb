//! What lies below a folder of Dropbox: whole keys, spelt as they were made.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::json;

use super::api::{Api, Entry, is};
use crate::storage::backend::Meta;
use crate::web::{Answer, Fault};

/// How often a listing is begun anew when Dropbox has lost its place in it.
const RESETS: u32 = 3;

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Entry>,
    cursor: String,
    has_more: bool,
}

/// Everything below `path`, which is `folder`'s; nothing where there is no such folder.
pub(super) async fn list(api: &Api, path: &str, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
    for _ in 0..RESETS {
        if let Some(entries) = pages(api, path, deep).await? {
            return Ok(metas(path, folder, &entries));
        }
    }
    Err(Fault::Broken("Dropbox did not list the folder to its end".to_owned()))
}

/// All entries by their path in small letters; `None` when the listing has to begin anew.
async fn pages(api: &Api, path: &str, deep: bool) -> Result<Option<BTreeMap<String, Entry>>, Fault> {
    let mut all = BTreeMap::new();
    let argument = json!({"path": path, "recursive": deep, "limit": 2000});
    let mut page: Page = match api.call("files/list_folder", &argument).await {
        Err(Fault::NotFound) => return Ok(Some(all)),
        answer => answer?.json()?,
    };
    loop {
        for entry in page.entries {
            let Some(lower) = entry.path_lower.clone() else { continue };
            // Changes that happen meanwhile are told as such.
            match &*entry.tag {
                "deleted" => drop(all.remove(&lower)),
                _ => drop(all.insert(lower, entry)),
            }
        }
        if !page.has_more {
            return Ok(Some(all));
        }
        let argument = json!({"cursor": page.cursor});
        let make = |client: &reqwest::Client| api.request(client, "files/list_folder/continue", &argument);
        let answer = api.web.send_for(|answer: &Answer| is(answer, "reset"), make).await?;
        if answer.status == 409 {
            return Ok(None);
        }
        page = answer.json()?;
    }
}

/// Keys of entries: what follows the folder's own parts. Only the last part of a displayed path is surely spelt right, so
/// those above it are taken from the folders themselves where these are listed.
fn metas(path: &str, folder: &str, entries: &BTreeMap<String, Entry>) -> Vec<Meta> {
    let depth = path.split('/').filter(|part| !part.is_empty()).count();
    let names: HashMap<&str, &str> = entries.iter().map(|(lower, entry)| (&**lower, &*entry.name)).collect();
    let key = |lower: &str, entry: &Entry| {
        let shown: Vec<&str> = entry.path_display.as_deref().unwrap_or(lower).split('/').skip(1).collect();
        let mut end = 0;
        let mut parts = Vec::new();
        for (at, part) in lower.split('/').skip(1).enumerate() {
            end += part.len() + 1;
            parts.push(*names.get(&lower[..end]).or_else(|| shown.get(at)).unwrap_or(&part));
        }
        parts.get(depth..).filter(|rest| !rest.is_empty()).map(|rest| match folder {
            "" => rest.join("/"),
            folder => format!("{folder}/{}", rest.join("/")),
        })
    };
    let each = entries.iter().filter_map(|(lower, entry)| Some(meta(&key(lower, entry)?, entry)));
    each.collect()
}

/// An entry under its key.
pub(super) fn meta(key: &str, entry: &Entry) -> Meta {
    Meta {
        key: key.to_owned(),
        folder: entry.is_folder(),
        size: entry.size.unwrap_or_default(),
        checksum: entry.checksum(),
        id: entry.id.clone(),
        tag: None,
        modified: entry.modified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: &str, name: &str, display: &str) -> (String, Entry) {
        let lower = display.to_lowercase();
        let value = json!({".tag": tag, "name": name, "path_lower": lower, "path_display": display, "size": 1});
        (lower, serde_json::from_value(value).unwrap())
    }

    #[test]
    fn keys_are_whole_relative_to_the_place_and_spelt_as_made() {
        let entries = BTreeMap::from([
            entry("folder", "Proj", "/App/Proj"),
            entry("folder", "Daten", "/app/proj/Daten"),
            entry("file", "Été.txt", "/app/proj/daten/Été.txt"),
            entry("file", "a", "/APP/proj/a"),
        ]);
        let keys: Vec<String> = metas("/App/Proj", "Proj", &entries).into_iter().map(|meta| meta.key).collect();
        assert_eq!(keys, ["Proj/a", "Proj/Daten", "Proj/Daten/Été.txt"], "the folder itself is none of its entries");
        let keys: Vec<String> = metas("/App", "", &entries).into_iter().map(|meta| meta.key).collect();
        assert_eq!(keys, ["Proj", "Proj/a", "Proj/Daten", "Proj/Daten/Été.txt"]);
    }
}
