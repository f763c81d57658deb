//! Graph's items: get, children page by page, folders, change, delete to the bin, copy with a monitor, download.

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Reply};
use super::super::{Account, Drive, Shared};
use super::address::{Place, check};
use super::{DRIVE_ID, Refusal, missing, names, refuse, show};

pub fn get(shared: &Shared, ask: &Ask, place: &Place) -> Answer {
    let account = shared.account(Drive::OneDrive);
    let node = account.tree.get(place.id()?).ok_or_else(missing)?;
    Ok(Reply::json(200, &show(&account, ask, node)))
}

pub fn children(shared: &Shared, ask: &Ask, place: &Place) -> Answer {
    let account = shared.account(Drive::OneDrive);
    let id = place.id()?;
    if account.tree.get(id).is_none_or(|node| node.blob.is_some()) {
        return Err(missing());
    }
    let number = |name: &str| ask.query(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("$top").unwrap_or(200).min(account.page).clamp(1, 1000);
    let start = number("$skiptoken").unwrap_or_default();
    let fresh = |born: u64| ask.stale.is_none_or(|clock| born <= clock);
    let all: Vec<_> = account.tree.children(id).into_iter().filter(|node| fresh(node.born)).collect();
    let page: Vec<Value> = all.iter().skip(start).take(size).map(|node| show(&account, ask, node)).collect();
    let next = start + page.len();
    let mut value = json!({"value": page, "@odata.count": all.len()});
    if next < all.len() {
        let link = format!("{}?$top={size}&$skiptoken={next}", ask.path);
        value["@odata.nextLink"] = json!(ask.url("graph.microsoft.com", &link));
    }
    Ok(Reply::json(200, &value))
}

/// `fail`, `replace` or `rename`; `otherwise` when neither the query nor the body says.
pub fn behaviour(ask: &Ask, body: &Value, otherwise: &str) -> String {
    let key = "@microsoft.graph.conflictBehavior";
    let found = ask.query(key).or_else(|| body[key].as_str()).or_else(|| body["@name.conflictBehavior"].as_str());
    found.unwrap_or(otherwise).to_owned()
}

/// `name 1.ext`, the first that is free.
pub fn renamed(account: &Account, parent: &str, name: &str) -> String {
    let (stem, ending) = name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    let mut free = (1..).map(|number| format!("{stem} {number}{ending}"));
    free.find(|name| account.tree.find(parent, name).is_none()).unwrap_or_default()
}

pub async fn create_folder(shared: &Shared, ask: &mut Ask, place: &Place) -> Answer {
    let body = ask.json().await?;
    let mut account = shared.account(Drive::OneDrive);
    let parent = place.id()?.to_owned();
    if account.tree.get(&parent).is_none_or(|node| node.blob.is_some()) {
        return Err(missing());
    }
    let mut name = body["name"].as_str().ok_or_else(|| refuse(400, "invalidRequest"))?.to_owned();
    if !body["folder"].is_object() {
        return Err(refuse(400, "invalidRequest"));
    }
    check(&account, &parent, std::slice::from_ref(&name))?;
    if let Some(there) = account.tree.find(&parent, &name) {
        match behaviour(ask, &body, "fail").as_str() {
            "rename" => name = renamed(&account, &parent, &name),
            "replace" if there.blob.is_none() => return Ok(Reply::json(200, &show(&account, ask, there))),
            _ => return Err(refuse(409, "nameAlreadyExists")),
        }
    }
    let id = account.id();
    let node = account.tree.add(&id, &parent, &name, None);
    Ok(Reply::json(201, &show(&account, ask, &node)))
}

/// The folder that a `parentReference` names.
fn parent_of(account: &Account, reference: &Value, otherwise: &str) -> Result<String, Refusal> {
    if reference["driveId"].as_str().is_some_and(|id| !id.eq_ignore_ascii_case(DRIVE_ID)) {
        return Err(missing());
    }
    if let Some(id) = reference["id"].as_str() {
        let id = if id == "root" { account.tree.root.as_str() } else { id };
        return account.tree.get(id).map(|node| node.id.clone()).ok_or_else(missing);
    }
    let Some(path) = reference["path"].as_str() else { return Ok(otherwise.to_owned()) };
    let below = path.split_once("root:").map_or("", |(_, below)| below);
    let names: Vec<String> = below.split('/').filter(|part| !part.is_empty()).map(names::decode).collect();
    account.tree.walk(&account.tree.root, &names).map(|node| node.id.clone()).ok_or_else(missing)
}

pub async fn change(shared: &Shared, ask: &mut Ask, place: &Place) -> Answer {
    let body = ask.json().await?;
    let mut account = shared.account(Drive::OneDrive);
    let node = account.tree.get(place.id()?).ok_or_else(missing)?.clone();
    let parent = parent_of(&account, &body["parentReference"], &node.parent)?;
    let name = body["name"].as_str().unwrap_or(&node.name).to_owned();
    if parent != node.parent || name != node.name {
        check(&account, &parent, std::slice::from_ref(&name))?;
        if account.tree.find(&parent, &name).is_some_and(|there| there.id != node.id) {
            return Err(refuse(409, "nameAlreadyExists"));
        }
        account.tree.relocate(&node.id, &parent, &name);
    }
    if let Some(changed) = account.tree.get_mut(&node.id) {
        if let Some(time) = body["fileSystemInfo"]["lastModifiedDateTime"].as_str() {
            time.clone_into(&mut changed.client_modified);
        }
        if let Some(time) = body["fileSystemInfo"]["createdDateTime"].as_str() {
            time.clone_into(&mut changed.made);
        }
    }
    let node = account.tree.get(&node.id).ok_or_else(missing)?;
    Ok(Reply::json(200, &show(&account, ask, node)))
}

/// Into the bin, where it still takes room.
pub fn delete(shared: &Shared, place: &Place) -> Answer {
    let mut account = shared.account(Drive::OneDrive);
    let id = place.id()?;
    if id == account.tree.root {
        return Err(refuse(403, "accessDenied"));
    }
    account.tree.trash(id);
    Ok(Reply::empty(204))
}

pub async fn copy(shared: &Shared, ask: &mut Ask, place: &Place) -> Answer {
    let body = ask.json().await?;
    let mut account = shared.account(Drive::OneDrive);
    let node = account.tree.get(place.id()?).ok_or_else(missing)?.clone();
    let parent = parent_of(&account, &body["parentReference"], &node.parent)?;
    let name = body["name"].as_str().unwrap_or(&node.name).to_owned();
    check(&account, &parent, std::slice::from_ref(&name))?;
    if account.tree.is_within(&parent, &node.id) {
        return Err(refuse(400, "invalidRequest"));
    }
    let below = account.tree.below(&node.id);
    let size: u64 = below.iter().chain([&&node]).filter_map(|node| Some(node.blob.as_ref()?.size)).sum();
    let there = account.tree.find(&parent, &name).map(|there| there.id.clone());
    let result = match (there, behaviour(ask, &body, "fail").as_str()) {
        _ if ask.quota_full || !account.fits(size) => {
            json!({"status": "failed", "error": {"code": "quotaLimitReached"}})
        }
        (Some(_), "fail") => json!({"status": "failed", "error": {"code": "nameAlreadyExists"}}),
        (there, _) => {
            if let Some(there) = there {
                account.tree.trash(&there);
            }
            let id = account.copy(&node.id, &parent, &name);
            json!({"status": "completed", "percentageComplete": 100.0, "resourceId": id})
        }
    };
    let job = format!("{}", account.number());
    account.jobs.insert(job.clone(), (1, result));
    Ok(Reply::empty(202).with("location", ask.url("api.onedrive.com", &format!("/monitor/{job}"))))
}

pub fn monitor(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    if ask.header("authorization").is_some() {
        return Err(refuse(401, "unauthenticated"));
    }
    let mut account = shared.account(Drive::OneDrive);
    let (left, result) = account.jobs.get_mut(id).ok_or_else(missing)?;
    if *left > 0 {
        *left -= 1;
        let value = json!({"operation": "ItemCopy", "status": "inProgress", "percentageComplete": 50.0});
        return Ok(Reply::json(202, &value));
    }
    Ok(Reply::json(200, result))
}

pub fn download(shared: &Shared, ask: &Ask, place: &Place) -> Answer {
    let account = shared.account(Drive::OneDrive);
    let node = account.tree.get(place.id()?).filter(|node| node.blob.is_some()).ok_or_else(missing)?;
    let url = ask.url("public.files.onedrive.com", &format!("/dl/{}", node.id));
    Ok(Reply::empty(302).with("location", url))
}
