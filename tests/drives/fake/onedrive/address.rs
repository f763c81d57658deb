//! Graph's addresses: `root`, `items/ID`, `special/approot`, each with `:/path:` after it, and an action at the end.

use super::super::names;
use super::super::{Account, Drive};
use super::{Refusal, missing, refuse};

/// A whole path is no longer than this.
const LONGEST_PATH: usize = 400;

/// An item that is there or could be.
pub struct Place {
    pub id: Option<String>,
    /// Folders and name below `from`, when the item is not there yet or was named by path.
    pub from: String,
    pub names: Vec<String>,
    pub action: String,
}

impl Place {
    pub fn id(&self) -> Result<&str, Refusal> {
        self.id.as_deref().ok_or_else(missing)
    }
}

pub fn parse(account: &Account, text: &str) -> Result<Place, Refusal> {
    debug_assert!(account.drive == Drive::OneDrive);
    let (start, rest) = text.split_once(":/").map_or((text, None), |(start, rest)| (start, Some(rest)));
    let start = start.trim_end_matches(':');
    let parts: Vec<String> = start.split('/').filter(|part| !part.is_empty()).map(names::decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (from, tail) = match parts.as_slice() {
        ["root", tail @ ..] | ["items", "root", tail @ ..] => (account.tree.root.clone(), tail),
        ["special", "approot", tail @ ..] => ("F00D!104".to_owned(), tail),
        ["items", id, tail @ ..] => ((*id).to_owned(), tail),
        _ => return Err(refuse(400, "invalidRequest")),
    };
    let from = account.tree.get(&from).filter(|node| account.tree.is_live(&node.id)).ok_or_else(missing)?.id.clone();
    let Some(rest) = rest else {
        let action = tail.first().copied().unwrap_or_default().trim_start_matches("microsoft.graph.").to_owned();
        return Ok(Place { id: Some(from.clone()), from, names: Vec::new(), action });
    };
    // `a/b:/content`, `a/b:` or `a/b`.
    let (path, action) = rest.split_once(":/").unwrap_or((rest.trim_end_matches(':'), ""));
    let names: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(names::decode).collect();
    let id = account.tree.walk(&from, &names).map(|node| node.id.clone());
    Ok(Place { id, from, names, action: action.trim_start_matches("microsoft.graph.").to_owned() })
}

/// Every name is allowed and the path is not too long.
pub fn check(account: &Account, parent: &str, below: &[String]) -> Result<(), Refusal> {
    below.iter().try_for_each(|name| names::onedrive(name).map_err(|code| refuse(400, code)))?;
    let mut whole = account.tree.names(parent);
    whole.extend_from_slice(below);
    if whole.join("/").chars().count() > LONGEST_PATH {
        return Err(refuse(400, "pathIsTooLong"));
    }
    Ok(())
}

/// The folder that a new file goes into, made where it is missing, and the file's name.
pub fn target(account: &mut Account, place: &Place) -> Result<(String, String), Refusal> {
    if let (Some(id), true) = (&place.id, place.names.is_empty()) {
        let node = account.tree.get(id).ok_or_else(missing)?;
        return Ok((node.parent.clone(), node.name.clone()));
    }
    check(account, &place.from, &place.names)?;
    let mut names = account.tree.names(&place.from);
    names.extend_from_slice(&place.names);
    let name = names.pop().ok_or_else(|| refuse(400, "invalidRequest"))?;
    let parent = account.folders(&names).ok_or_else(|| refuse(409, "nameAlreadyExists"))?;
    Ok((parent, name))
}
