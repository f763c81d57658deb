//! An event as the value that criteria and templates see: every declared name is there, what is not known is null.

use serde_json::{Map, Value, json};

use super::schema::{self, Shape};
use super::{Event, Kind};

impl Event {
    /// The value of `event`. Its names are those of [`schema::event`] and no others.
    pub fn view(&self) -> Value {
        let (owner, name) = self.repo.rsplit_once('/').unwrap_or(("", &self.repo));
        let mut view = json!({
            "kind": self.kind.name(),
            "source": self.source.name(),
            "repo": self.repo,
            "repo_owner": owner,
            "repo_name": name,
            "at": self.at.to_string(),
            "delivery": self.delivery,
            "actor": self.actor,
            "default_branch": self.default_branch,
            "ref": self.reference,
            "branch": self.branch(),
            "tag": self.tag(),
            "before": self.before,
            "after": self.after,
            "commit": self.commit(),
            "forced": self.forced,
            "created": matches!(self.kind, Kind::BranchCreated | Kind::TagCreated),
            "deleted": matches!(self.kind, Kind::BranchDeleted | Kind::TagDeleted),
            "message": self.message,
            "paths": self.paths,
            "pull": self.pull,
            "comment": self.comment,
            "schedule": self.schedule,
            "run": self.run,
            "artifact": self.artifact,
            "status": self.status,
            "payload": self.payload,
        });
        complete(&mut view, schema::event());
        view
    }
}

/// Adds every declared name that is missing as null, inside of what is there.
fn complete(value: &mut Value, shape: &Shape) {
    let (Value::Object(map), Shape::Object(fields)) = (value, shape) else { return };
    for field in *fields {
        complete(entry(map, field.name), &field.shape);
    }
}

fn entry<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Value {
    map.entry(name).or_insert(Value::Null)
}
