//! What became of the packages when the same environment.yml was solved again.
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
    fn an_index_that_got_more_files_changes_nothing() {
        let pip = |hashes: &[&str]| json!({"pip": [{"name": "a", "version": "1", "hashes": hashes}]});
        assert_eq!(told(&pip(&["sha256:a"]), &pip(&["sha256:a", "sha256:b"])), [""; 0]);
        assert_eq!(told(&pip(&["sha256:a"]), &pip(&["sha256:c"])).len(), 1);
        assert_eq!(told(&json!(null), &json!({"conda": "no list"})), [""; 0]);
    }
}
