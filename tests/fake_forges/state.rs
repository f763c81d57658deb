//! What there is: people, one repository with a line of commits, merge requests, comments, and what was said about commits.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Dialect, FLAT, GROUPED};

/// A commit's id by one letter.
pub fn sha(letter: char) -> String {
    letter.to_string().repeat(40)
}

#[derive(Debug, Clone)]
pub struct Person {
    pub id: u64,
    pub login: String,
    pub token: String,
    /// GitLab's level; none for who is no member.
    pub level: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Merge {
    pub head: String,
    pub branch: String,
    /// Another project's name and number, for forks.
    pub source: Option<(u64, String)>,
    pub open: bool,
    /// Heads and when they came.
    pub heads: Vec<(String, Timestamp)>,
}

#[derive(Debug, Clone)]
pub struct Note {
    pub id: u64,
    pub number: u64,
    pub author: u64,
    pub body: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub system: bool,
}

#[derive(Debug, Clone)]
pub struct Started {
    pub id: u64,
    pub reference: String,
    pub what: Value,
    pub status: String,
}

#[derive(Debug)]
pub struct State {
    pub name: &'static str,
    pub people: Vec<Person>,
    pub merges: BTreeMap<u64, Merge>,
    /// Oldest first; each is made on the one before.
    pub line: Vec<String>,
    pub main: String,
    pub files: BTreeMap<(String, String), String>,
    pub notes: Vec<Note>,
    pub faces: Vec<(u64, String, String)>,
    pub statuses: Vec<(String, Value)>,
    pub labels: BTreeMap<u64, Vec<String>>,
    /// Forgejo's labels by number.
    pub known_labels: Vec<(u64, String)>,
    pub started: Vec<Started>,
    /// Gitea's comments on code: after the other comments, before the pushes.
    pub code_comments: usize,
    /// Entries of a page.
    pub most_entries: usize,
    pub asked: Vec<String>,
    /// A part of a line, and the status that is answered; 0 is done and cut.
    pub troubles: Vec<(String, u16)>,
    pub complaints: Vec<String>,
    next: u64,
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl State {
    pub fn new(dialect: Dialect) -> Self {
        let person =
            |id, login: &str, level| Person { id, login: login.into(), token: format!("token-of-{login}"), level };
        let head = |branch: &str, letter, source| Merge {
            head: sha(letter),
            branch: branch.into(),
            source,
            open: true,
            heads: vec![(sha(letter), at("2026-11-10T10:00:00Z"))],
        };
        let fork = Some((23, "eve/churn".to_owned()));
        let files = [("main", "sample: true\n"), (&*sha('a'), "sample: true\n"), (&*sha('b'), "storage: local:/eve\n")];
        let files =
            files.map(|(reference, text)| ((reference.to_owned(), "soopervisor.yaml".to_owned()), text.to_owned()));
        Self {
            name: if dialect == Dialect::GitLab { GROUPED } else { FLAT },
            people: vec![
                person(1, "robo", Some(40)),
                person(2, "ann", Some(30)),
                person(3, "tim", Some(20)),
                person(4, "eve", None),
            ],
            merges: [(7, head("topic", 'b', None)), (8, head("patch", 'c', fork))].into(),
            line: vec![sha('a'), sha('b'), sha('c')],
            main: sha('a'),
            files: files.into(),
            notes: Vec::new(),
            faces: Vec::new(),
            statuses: Vec::new(),
            labels: BTreeMap::new(),
            known_labels: vec![(901, "bug".to_owned())],
            started: Vec::new(),
            code_comments: 0,
            most_entries: 100,
            asked: Vec::new(),
            troubles: Vec::new(),
            complaints: Vec::new(),
            next: 1000,
        }
    }

    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn person(&self, id: u64) -> &Person {
        self.people.iter().find(|person| person.id == id).unwrap()
    }

    pub fn named(&self, login: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.login.eq_ignore_ascii_case(login))
    }

    /// Somebody writes; its number.
    pub fn write(&mut self, login: &str, number: u64, body: &str, when: &str) -> u64 {
        let (id, author) = (self.number(), self.named(login).unwrap().id);
        let (created, body) = (at(when), body.to_owned());
        self.notes.push(Note { id, number, author, body, created, updated: created, system: false });
        id
    }

    /// What a branch or a commit is.
    pub fn resolve(&self, revision: &str) -> Option<String> {
        if revision == "main" {
            return Some(self.main.clone());
        }
        let branch = self.merges.values().find(|merge| merge.branch == revision && merge.source.is_none());
        let found = branch.map(|merge| merge.head.clone());
        found.or_else(|| self.line.iter().find(|commit| *commit == revision).cloned())
    }

    /// Commits that the second has and the first has not, newest first.
    pub fn between(&self, from: &str, to: &str) -> Vec<String> {
        let place = |revision: &str| {
            let commit = self.resolve(revision).unwrap_or_default();
            self.line.iter().position(|known| *known == commit).unwrap()
        };
        let (from, to) = (place(from), place(to));
        if to <= from { Vec::new() } else { self.line[from + 1..=to].iter().rev().cloned().collect() }
    }

    pub fn parent(&self, commit: &str) -> Option<String> {
        let place = self.line.iter().position(|known| known == commit)?;
        self.line.get(place.checked_sub(1)?).cloned()
    }

    pub fn file(&self, reference: &str, path: &str) -> Option<String> {
        self.files.get(&(reference.to_owned(), path.to_owned())).cloned()
    }

    /// Bodies of comments of one author, oldest first.
    pub fn said_by(&self, login: &str) -> Vec<String> {
        let id = self.named(login).unwrap().id;
        self.notes.iter().filter(|note| note.author == id).map(|note| note.body.clone()).collect()
    }

    pub fn faces_of(&self, note: u64) -> Vec<&str> {
        self.faces.iter().filter(|(id, _, _)| *id == note).map(|(_, _, face)| face.as_str()).collect()
    }
}
