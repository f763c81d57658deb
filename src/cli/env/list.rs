//! `soopervisor env list`: what is built, for whom, how old, how large, and who uses it now.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::{args, columns, seam};
use super::short;
use crate::environment::{Listed, Listing};
use crate::report::bytes;
use crate::store::{Home, Runs, Status};

pub(super) fn execute(args: &args::EnvList, home: &Home) -> Result<Exit, Failure> {
    let nothing = Listing {
        environments: Vec::new(),
        total_bytes: 0,
        volume_bytes: 0,
        unused_cache_bytes: 0,
        unreadable: Vec::new(),
    };
    let listing = match seam::environments(home)? {
        Some(store) => store.list().map_err(crate::run::stop::Stop::from)?,
        None => nothing,
    };
    let users = users(home)?;
    Console::note(&super::unreadable(&listing.unreadable));
    if args.json {
        Console::answer(&format!("{}\n", document(&listing, &users)));
    } else if listing.environments.is_empty() {
        Console::note("no environments on this machine yet; a run builds the one that it needs\n");
    } else {
        Console::answer(&table(&listing, &users, SystemTime::now()));
    }
    Ok(Exit::Ok)
}

/// A run, its project, and the key that it uses or used.
struct User {
    key: String,
    run: String,
    project: String,
    live: bool,
}

/// What the history knows.
fn users(home: &Home) -> Result<Vec<User>, Failure> {
    let entries = Runs::of(home).list()?;
    let users = entries.iter().filter_map(|entry| {
        let record = entry.record.as_ref().ok()?;
        let live = entry.status() == Some(Status::Running);
        let key = record.environment?.to_string();
        Some(User { key, run: entry.id.to_string(), project: record.project.to_string(), live })
    });
    Ok(users.collect())
}

/// Projects as the store noted them; for environments from before it did, as the history has them.
fn projects(listed: &Listed, users: &[User]) -> Vec<String> {
    let mut found = listed.projects.clone();
    for user in users.iter().filter(|user| user.key == listed.key) {
        if !found.contains(&user.project) {
            found.push(user.project.clone());
        }
    }
    found
}

fn runs<'a>(listed: &Listed, users: &'a [User]) -> Vec<&'a str> {
    users.iter().filter(|user| user.live && user.key == listed.key).map(|user| user.run.as_str()).collect()
}

fn document(listing: &Listing, users: &[User]) -> Value {
    let one = |listed: &Listed| {
        json!({
            "key": listed.key,
            "path": listed.path.to_string_lossy(),
            "projects": projects(listed, users),
            "last_used": Timestamp::try_from(listed.last_used).ok().map(|time| time.to_string()),
            "bytes": listed.bytes,
            "own_bytes": listed.own_bytes,
            "in_volume": listed.in_volume,
            "python": listed.python,
            "packages": listed.packages,
            "in_use": listed.in_use,
            "in_use_by": runs(listed, users),
        })
    };
    let environments: Vec<Value> = listing.environments.iter().map(one).collect();
    json!({
        "schema": 1,
        "environments": environments,
        "total_bytes": listing.total_bytes,
        "volume_bytes": listing.volume_bytes,
        "unused_cache_bytes": listing.unused_cache_bytes,
    })
}

fn table(listing: &Listing, users: &[User], now: SystemTime) -> String {
    let heads = ["KEY", "PROJECT", "LAST USED", "SIZE", "OWN", "PYTHON", "PACKAGES", "IN USE"];
    let mut rows = vec![heads.map(str::to_owned)];
    for listed in &listing.environments {
        let runs = runs(listed, users);
        let idle = now.duration_since(listed.last_used).unwrap_or_default();
        rows.push([
            short(&listed.key).to_owned(),
            few(&projects(listed, users), 2),
            ago(idle),
            bytes(listed.bytes),
            bytes(listed.own_bytes),
            listed.python.clone().unwrap_or_default(),
            listed.packages.to_string(),
            if runs.is_empty() && listed.in_use { "yes".to_owned() } else { few(&runs, 1) },
        ]);
    }
    // Where little room is, how often and how much matter more than what is inside.
    let mut text = columns::table(&rows, Console::columns(), &[6, 5, 1, 7]);
    let unused = match listing.unused_cache_bytes {
        0 => "nothing in the caches is unused".to_owned(),
        count => format!("{} in the caches are unused: soopervisor env prune", bytes(count)),
    };
    let total = match listing.volume_bytes {
        0 => format!("{} on disk", bytes(listing.total_bytes)),
        there => format!("{} on disk, {} of it in volumes of engines", bytes(listing.total_bytes), bytes(there)),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "\n{total}, shared files counted once; OWN is what is free without that one; {unused}");
    text
}

/// The first of them, and how many more there are: one busy environment must not widen its column for all.
fn few<T: AsRef<str>>(names: &[T], shown: usize) -> String {
    let first = names.iter().take(shown).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(shown) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// `5 days ago`, in the largest unit that says something.
pub(super) fn ago(time: Duration) -> String {
    let (minutes, hours, days) = (time.as_secs() / 60, time.as_secs() / 3600, time.as_secs() / 86_400);
    let words = |number: u64, unit: &str| format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" });
    match (minutes, hours, days) {
        (0, ..) => "just now".to_owned(),
        (_, 0, _) => words(minutes, "minute"),
        (_, _, 0) => words(hours, "hour"),
        _ => words(days, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(key: char, projects: &[&str], days: u64) -> Listed {
        Listed {
            key: key.to_string().repeat(64),
            path: "/store/e/x".into(),
            projects: projects.iter().map(|name| (*name).to_owned()).collect(),
            last_used: SystemTime::UNIX_EPOCH + Duration::from_hours(24 * (100 - days)),
            bytes: 634_000_000,
            in_volume: false,
            own_bytes: 12_300_000,
            python: Some("3.11.7".to_owned()),
            packages: 124,
            in_use: days == 0,
        }
    }

    #[test]
    fn a_table_for_people_and_a_document_for_programs() {
        let environments = vec![listed('a', &["penguins"], 0), listed('b', &[], 3), listed('c', &["x", "y"], 40)];
        let listing = Listing {
            environments,
            total_bytes: 900_000_000,
            volume_bytes: 0,
            unused_cache_bytes: 5_000_000,
            unreadable: Vec::new(),
        };
        let user = |key: char, live| User {
            key: key.to_string().repeat(64),
            run: format!("20261121-093000-4f1c2d9a-aaa{key}"),
            project: "sales".to_owned(),
            live,
        };
        let users = [user('a', true), user('b', false)];
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 100);
        insta::assert_snapshot!("env_list", table(&listing, &users, now));
        let document = document(&listing, &users);
        assert_eq!(document["environments"][0]["in_use_by"][0], "20261121-093000-4f1c2d9a-aaaa");
        assert_eq!(document["environments"][0]["projects"], json!(["penguins", "sales"]));
        assert_eq!(document["environments"][2]["last_used"], "1970-03-02T00:00:00Z");
        assert_eq!(document["total_bytes"], 900_000_000);
        let far = table(&Listing { volume_bytes: 600_000_000, ..listing }, &users, now);
        assert!(far.contains("900.0 MB on disk, 600.0 MB of it in volumes of engines, shared"), "{far}");
    }

    #[test]
    fn an_environment_of_many_projects_and_runs_keeps_its_line_short() {
        assert_eq!(few(&["a", "b"], 2), "a, b");
        assert_eq!(few(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(few::<&str>(&[], 1), "");
    }

    #[test]
    fn ages_read_well() {
        for (seconds, text) in [
            (59, "just now"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400, "1 day ago"),
            (8_640_000, "100 days ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }
}
