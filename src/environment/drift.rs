//! What became of the packages when the same environment.yml was solved again, and whether they are the same files.
//!
//! Pure: two lock documents in, their differences out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// One package that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What it was; `None` for one that was not there.
    pub before: Option<String>,
    /// What it is; `None` for one that is gone.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{} {} → {}", self.name, word(&self.before), word(&self.after))
    }
}

/// One package as a document has it.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    version: String,
    /// What tells packages of one version apart: a build, a commit.
    build: String,
    /// Of the archive; several where an index has several files.
    digests: Vec<String>,
}

impl Package {
    fn is(&self, other: &Self) -> bool {
        // An index may have got more files for a version since then: one that both know is enough.
        let known = self.digests.is_empty()
            || other.digests.is_empty()
            || self.digests.iter().any(|digest| other.digests.contains(digest));
        (&self.version, &self.build) == (&other.version, &other.build) && known
    }

    /// As much of it as tells it from the other one.
    fn told_from(&self, other: Option<&Self>) -> String {
        let Some(other) = other.filter(|other| other.version == self.version) else { return self.version.clone() };
        if self.build != other.build {
            return format!("{} ({})", self.version, self.build);
        }
        let digest = self.digests.first().map(|digest| digest.trim_start_matches("sha256:").chars().take(12).collect());
        format!("{} (content {})", self.version, digest.unwrap_or_else(|| "unknown".to_owned()))
    }
}

/// Every package that differs, by name; conda's before pip's.
pub fn differences(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    for kind in ["conda", "pip"] {
        let (old, new) = (packages(&before[kind]), packages(&after[kind]));
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (old, new) = (old.get(name), new.get(name));
            if let (Some(old), Some(new)) = (old, new)
                && old.is(new)
            {
                continue;
            }
            changes.push(Change {
                name: name.clone(),
                before: old.map(|package| package.told_from(new)),
                after: new.map(|package| package.told_from(old)),
            });
        }
    }
    changes
}

/// As many packages as a reason names.
const NAMED: usize = 3;

/// Why what was made with one lock's packages does not stand for what the other's would make; `None` where every package
/// is the same file in both. Stricter than [`differences`]: a version whose index has got more files since may have been
/// installed from another one of them.
pub fn told_apart(before: &Value, after: &Value) -> Option<String> {
    let changes = differences(before, after);
    if !changes.is_empty() {
        let mut named: Vec<String> = changes.iter().take(NAMED).map(ToString::to_string).collect();
        if changes.len() > NAMED {
            named.push(format!("and {} more", changes.len() - NAMED));
        }
        return Some(format!("the packages of the environment are others: {}", named.join(", ")));
    }
    let rows = |document: &Value, kind: &str| document[kind].as_array().cloned().unwrap_or_default();
    let other = ["conda", "pip"].into_iter().find_map(|kind| {
        let old = rows(before, kind);
        let same = |new: &Value| old.iter().any(|old| is_same_file(old, new));
        rows(after, kind).into_iter().find(|new| !same(new))
    });
    other.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        format!(
            "`{} {}` was installed from another file of its release than it was then, or that cannot be told",
            text("name"),
            text("version")
        )
    })
}

/// Two rows of one package: the same in all that tells files apart. What was installed counts, where both know it, more
/// than what could have been; unless it was built from source, which comes out a little different each time.
fn is_same_file(old: &Value, new: &Value) -> bool {
    let same = |key: &str| old[key] == new[key];
    let built = |row: &Value| row["source"] == true || row["commit"].is_string();
    let known = old["content"].is_string() && new["content"].is_string();
    let hashes = |row: &Value| {
        let mut list: Vec<String> =
            row["hashes"].as_array().into_iter().flatten().filter_map(|hash| Some(hash.as_str()?.to_owned())).collect();
        list.sort();
        list
    };
    let installed = known && same("content");
    let possible = (!known || built(old) && built(new)) && hashes(old) == hashes(new);
    (installed || possible) && ["name", "version", "build", "url", "sha256", "commit"].into_iter().all(same)
}

fn packages(rows: &Value) -> BTreeMap<String, Package> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = rows.as_array().into_iter().flatten();
    rows.map(|row| {
        let hashes = row["hashes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let digests = hashes.chain(row["sha256"].as_str().map(str::to_owned)).collect();
        let build = [text(row, "build"), text(row, "commit")].concat();
        (text(row, "name"), Package { version: text(row, "version"), build, digests })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conda(version: &str, build: &str, sha256: &str) -> Value {
        json!({"name": "numpy", "version": version, "build": build, "sha256": sha256})
    }

    fn told(before: &Value, after: &Value) -> Vec<String> {
        differences(before, after).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_package_is_told_with_what_it_was_and_what_it_is() {
        let before = json!({"conda": [conda("1.26.4", "py311_0", "aa"), {"name": "gone", "version": "1"}],
            "pip": [{"name": "click", "version": "8.1.7", "hashes": ["sha256:aa"]},
                    {"name": "ploomber", "version": "0.23.3", "commit": "0123"}]});
        let after = json!({"conda": [conda("2.0.1", "py311_0", "bb"), {"name": "added", "version": "3"}],
            "pip": [{"name": "click", "version": "8.1.8", "hashes": ["sha256:bb"]},
                    {"name": "ploomber", "version": "0.23.3", "commit": "4567"}]});
        assert_eq!(
            told(&before, &after),
            [
                "added nothing → 3",
                "gone 1 → nothing",
                "numpy 1.26.4 → 2.0.1",
                "click 8.1.7 → 8.1.8",
                "ploomber 0.23.3 (0123) → 0.23.3 (4567)",
            ]
        );
        assert_eq!(told(&before, &before), [""; 0]);
    }

    #[test]
    fn one_version_with_another_build_or_content_is_another_package() {
        let one = |row: Value| json!({"conda": [row]});
        let base = one(conda("1", "a", "0123456789abcdef"));
        assert_eq!(told(&base, &one(conda("1", "b", "ff"))), ["numpy 1 (a) → 1 (b)"]);
        let swapped = told(&base, &one(conda("1", "a", "fedcba9876543210")));
        assert_eq!(swapped, ["numpy 1 (content 0123456789ab) → 1 (content fedcba987654)"]);
    }

    #[test]
    fn more_files_of_a_version_are_no_other_package_where_the_installed_one_is_known() {
        let pip = |hashes: &[&str], content: Option<&str>| {
            let row = json!({"name": "a", "version": "1", "hashes": hashes});
            let known =
                content.map(|content| json!({"name": "a", "version": "1", "hashes": hashes, "content": content}));
            json!({"pip": [known.unwrap_or(row)], "conda": [conda("1", "a", "ff")]})
        };
        let known = |hashes: &[&str]| pip(hashes, Some("c0"));
        assert_eq!(told_apart(&known(&["x"]), &known(&["x", "y"])), None, "the same file was installed");
        assert_eq!(told_apart(&pip(&["x", "y"], None), &pip(&["y", "x"], None)), None, "in another order");
        let why = told_apart(&known(&["x"]), &pip(&["x"], Some("c1"))).unwrap();
        assert!(why.contains("`a 1` was installed from another file"), "{why}");
        let why = told_apart(&pip(&["x"], None), &known(&["x", "y"])).unwrap();
        assert!(why.contains("or that cannot be told") && !why.contains("version"), "what was installed then? {why}");
        let (mut once, mut again) = (known(&["x"]), pip(&["x"], Some("c1")));
        once["pip"][0]["source"] = json!(true);
        again["pip"][0]["source"] = json!(true);
        assert_eq!(told_apart(&once, &again), None, "one source archive, built twice");
        let mut newer = known(&["x"]);
        newer["conda"] = json!([conda("2", "a", "fe")]);
        assert_eq!(
            told_apart(&known(&["x"]), &newer).as_deref(),
            Some("the packages of the environment are others: numpy 1 → 2")
        );
        let mut moved = known(&["x"]);
        moved["conda"][0]["url"] = json!("https://elsewhere/numpy-1-a.conda");
        assert!(told_apart(&known(&["x"]), &moved).is_some());
    }

    #[test]
    fn an_index_that_got_more_files_changes_nothing() {
        let pip = |hashes: &[&str]| json!({"pip": [{"name": "a", "version": "1", "hashes": hashes}]});
        assert_eq!(told(&pip(&["sha256:a"]), &pip(&["sha256:a", "sha256:b"])), [""; 0]);
        assert_eq!(told(&pip(&["sha256:a"]), &pip(&["sha256:c"])).len(), 1);
        assert_eq!(told(&json!(null), &json!({"conda": "no list"})), [""; 0]);
    }
}
