//! Files and folders by id. It does not know any vendor's rules besides the folding of case.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blob::Blob;
use super::names::fold;

#[derive(Clone)]
pub struct Node {
    pub id: String,
    pub parent: String,
    pub name: String,
    /// None for a folder.
    pub blob: Option<Arc<Blob>>,
    /// Counts changes of the tree; a stale listing shows what was there before.
    pub born: u64,
    /// When it came here.
    pub since: Instant,
    pub version: u64,
    pub made: String,
    pub modified: String,
    /// What the client says about the file's own time.
    pub client_modified: String,
    pub trashed: bool,
    /// Listings do not show it before that, though it is there (Google Drive).
    pub shown: Option<Instant>,
    /// What clients attach (`mimeType`, `appProperties`, …).
    pub notes: serde_json::Map<String, serde_json::Value>,
}

pub struct Tree {
    pub root: String,
    folds: bool,
    nodes: HashMap<String, Node>,
    children: HashMap<String, BTreeSet<(String, String)>>,
    clock: u64,
    used: u64,
    /// The next so many of that name are shown so long after they are made.
    late: Vec<(String, usize, Duration)>,
}

pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Tree {
    pub fn new(root: &str, folds: bool) -> Self {
        let (nodes, children) = (HashMap::new(), HashMap::new());
        let mut tree = Self { root: root.into(), folds, nodes, children, clock: 0, used: 0, late: Vec::new() };
        tree.add(root, "", "", None);
        tree
    }

    fn key(&self, name: &str) -> String {
        if self.folds { fold(name) } else { name.to_owned() }
    }

    pub fn clock(&self) -> u64 {
        self.clock
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn get(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn find(&self, parent: &str, name: &str) -> Option<&Node> {
        let key = self.key(name);
        let mut same =
            self.children.get(parent)?.range((key.clone(), String::new())..).take_while(|(at, _)| *at == key);
        same.find_map(|(_, id)| self.nodes.get(id).filter(|node| !node.trashed))
    }

    /// What is in a folder, by name.
    pub fn children(&self, parent: &str) -> Vec<&Node> {
        let ids = self.children.get(parent).into_iter().flatten();
        ids.filter_map(|(_, id)| self.nodes.get(id)).filter(|node| !node.trashed).collect()
    }

    pub fn walk(&self, from: &str, names: &[String]) -> Option<&Node> {
        let mut at = self.nodes.get(from).filter(|node| !node.trashed)?;
        for name in names {
            at = self.find(&at.id, name)?;
        }
        Some(at)
    }

    /// Names from the root to a node.
    pub fn names(&self, id: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = self.nodes.get(id);
        while let Some(node) = at.filter(|node| node.id != self.root) {
            names.push(node.name.clone());
            at = self.nodes.get(&node.parent);
        }
        names.reverse();
        names
    }

    pub fn path(&self, id: &str) -> String {
        self.names(id).join("/")
    }

    /// Neither it nor a folder above it is in the trash.
    pub fn is_live(&self, id: &str) -> bool {
        let mut at = self.nodes.get(id);
        while let Some(node) = at {
            if node.trashed {
                return false;
            }
            if node.id == self.root {
                return true;
            }
            at = self.nodes.get(&node.parent);
        }
        false
    }

    pub fn add(&mut self, id: &str, parent: &str, name: &str, blob: Option<Arc<Blob>>) -> Node {
        self.clock += 1;
        self.used += blob.as_ref().map_or(0, |blob| blob.size);
        let node = Node {
            id: id.into(),
            parent: parent.into(),
            name: name.into(),
            blob,
            born: self.clock,
            since: Instant::now(),
            version: self.clock,
            made: now(),
            modified: now(),
            client_modified: now(),
            trashed: false,
            shown: self.shown(name),
            notes: serde_json::Map::new(),
        };
        let key = (self.key(name), id.to_owned());
        self.children.entry(parent.into()).or_default().insert(key);
        self.nodes.insert(id.into(), node.clone());
        node
    }

    /// Listings lag behind the next `times` files of a name, and only behind those.
    pub fn show_late(&mut self, name: &str, times: usize, by: Duration) {
        self.late.push((name.to_owned(), times, by));
    }

    fn shown(&mut self, name: &str) -> Option<Instant> {
        let (_, times, by) = self.late.iter_mut().find(|(late, times, _)| late == name && *times > 0)?;
        *times -= 1;
        Some(Instant::now() + *by)
    }

    pub fn replace(&mut self, id: &str, blob: Arc<Blob>) {
        self.clock += 1;
        let Some(node) = self.nodes.get_mut(id) else { return };
        self.used = self.used + blob.size - node.blob.as_ref().map_or(0, |old| old.size);
        node.version = self.clock;
        node.modified = now();
        node.client_modified = now();
        node.blob = Some(blob);
    }

    /// As if all of it had been made and written so many days earlier.
    pub fn age(&mut self, by: jiff::SignedDuration) {
        for node in self.nodes.values_mut() {
            for time in [&mut node.made, &mut node.modified, &mut node.client_modified] {
                let then: jiff::Timestamp = time.parse().unwrap();
                *time = (then - by).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            }
        }
    }

    pub fn relocate(&mut self, id: &str, parent: &str, name: &str) {
        let Some(mut node) = self.nodes.remove(id) else { return };
        self.clock += 1;
        let old = (self.key(&node.name), id.to_owned());
        if let Some(siblings) = self.children.get_mut(&node.parent) {
            siblings.remove(&old);
        }
        node.parent = parent.into();
        node.name = name.into();
        node.version = self.clock;
        let key = (self.key(name), id.to_owned());
        self.children.entry(parent.into()).or_default().insert(key);
        self.nodes.insert(id.into(), node);
    }

    /// A folder goes with all that is in it.
    pub fn remove(&mut self, id: &str) {
        self.clock += 1;
        for (_, child) in self.children.remove(id).unwrap_or_default() {
            self.remove(&child);
        }
        let Some(node) = self.nodes.remove(id) else { return };
        self.used -= node.blob.as_ref().map_or(0, |blob| blob.size);
        let key = (self.key(&node.name), id.to_owned());
        if let Some(siblings) = self.children.get_mut(&node.parent) {
            siblings.remove(&key);
        }
    }

    pub fn trash(&mut self, id: &str) {
        self.clock += 1;
        if let Some(node) = self.nodes.get_mut(id) {
            node.trashed = true;
            node.version = self.clock;
        }
    }

    /// The nodes below a folder, parents first.
    pub fn below(&self, id: &str) -> Vec<&Node> {
        let mut found = Vec::new();
        let mut waiting = vec![id];
        while let Some(folder) = waiting.pop() {
            for node in self.children(folder) {
                found.push(node);
                if node.blob.is_none() {
                    waiting.push(&node.id);
                }
            }
        }
        found
    }

    /// Whether `id` is `above` or lies below it.
    pub fn is_within(&self, id: &str, above: &str) -> bool {
        let mut at = self.nodes.get(id);
        while let Some(node) = at {
            if node.id == above {
                return true;
            }
            at = self.nodes.get(&node.parent);
        }
        false
    }
}
