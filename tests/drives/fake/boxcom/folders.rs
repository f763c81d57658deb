//! Box's folders: create, get, list with markers or offsets, delete.

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Reply};
use super::super::{Drive, Shared};
use super::{ME, ROOT, check_name, find, refuse, show, taken};

pub async fn create(shared: &Shared, ask: &mut Ask) -> Answer {
    let body = ask.json().await?;
    let (Some(name), Some(parent)) = (body["name"].as_str(), body["parent"]["id"].as_str()) else {
        return Err(refuse(400, "bad_request"));
    };
    check_name(name)?;
    let mut account = shared.account(Drive::Box);
    find(&account, parent, false)?;
    taken(&account, parent, name, false, None)?;
    let id = account.id();
    let node = account.tree.add(&id, parent, name, None);
    Ok(Reply::json(201, &show(&account, &node)))
}

pub fn get(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let account = shared.account(Drive::Box);
    let node = find(&account, id, false)?;
    let mut value = show(&account, node);
    // Told to those who ask for it only.
    if ask.query("fields").is_some_and(|fields| fields.contains("permissions")) {
        let is_of_others = account.is_of_others(id);
        value["owned_by"] = json!({"type": "user", "id": if is_of_others { "22557509" } else { ME }});
        value["permissions"] = json!({"can_download": true, "can_upload": !(is_of_others && account.others_closed)});
    }
    let entries: Vec<Value> = account.tree.children(id).iter().take(100).map(|node| super::mini(node)).collect();
    let count = account.tree.children(id).len();
    value["item_collection"] = json!({"total_count": count, "entries": entries, "offset": 0, "limit": 100});
    Ok(Reply::json(200, &value))
}

pub fn items(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let account = shared.account(Drive::Box);
    find(&account, id, false)?;
    let number = |name: &str| ask.query(name).and_then(|text| text.parse::<usize>().ok());
    let limit = number("limit").unwrap_or(100);
    if limit > 1000 {
        return Err(refuse(400, "bad_request"));
    }
    let limit = limit.min(account.page).max(1);
    let by_marker = ask.says("usemarker");
    let start = match ask.query("marker").filter(|marker| by_marker && !marker.is_empty()) {
        None => number("offset").unwrap_or_default(),
        Some(marker) => {
            let parsed = marker.strip_prefix("marker").and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| refuse(400, "bad_request"))?
        }
    };
    let fresh = |born: u64| ask.stale.is_none_or(|clock| born <= clock);
    let all: Vec<_> = account.tree.children(id).into_iter().filter(|node| fresh(node.born)).collect();
    let entries: Vec<Value> = all.iter().skip(start).take(limit).map(|node| show(&account, node)).collect();
    if !by_marker {
        let value = json!({"total_count": all.len(), "entries": entries, "offset": start, "limit": limit});
        return Ok(Reply::json(200, &value));
    }
    let next = start + entries.len();
    let marker = (next < all.len()).then(|| format!("marker{next}"));
    Ok(Reply::json(200, &json!({"entries": entries, "limit": limit, "next_marker": marker})))
}

/// Into the trash, where it still takes room.
pub fn delete(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let mut account = shared.account(Drive::Box);
    find(&account, id, false)?;
    if id == ROOT {
        return Err(refuse(403, "access_denied_insufficient_permissions"));
    }
    if !ask.says("recursive") && !account.tree.children(id).is_empty() {
        return Err(refuse(400, "folder_not_empty"));
    }
    account.tree.trash(id);
    Ok(Reply::empty(204))
}
