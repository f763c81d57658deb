//! What changed in a file, in a few words that terminal, comment and page share. No cell and no text of a file is in
//! them, only names, counts and numbers.

use super::number::short;
use super::{Content, FileChange, TableChange, Values, What};

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Our own words.
    Said(String),
    /// A name from the user's files: hostile.
    Named(String),
    /// A sentence that may hold such names: as hostile.
    Told(String),
}

/// Columns that are named.
const COLUMNS: usize = 3;

/// One phrase of words.
pub type Phrase = Vec<Word>;

/// What is to be said about a change, besides its name and size; may be nothing.
pub fn phrases(change: &FileChange) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    if let What::Renamed { from } = &change.what {
        phrases.push(vec![said("was "), Word::Named(from.to_string())]);
    }
    if let Some(note) = &change.note {
        phrases.push(vec![Word::Told(note.clone())]);
    }
    match &change.content {
        Content::None => {}
        Content::Values(values) => phrases.extend(of_values(values, &change.what)),
        Content::Table(table) => phrases.extend(of_table(table)),
        Content::Picture(pictures) if pictures.same => {
            phrases.push(vec![said("the same picture; dates or programs written beside it differ")]);
        }
        Content::Picture(pictures) => {
            let size = |side: &Option<super::Picture>| side.as_ref().and_then(|side| side.pixels);
            if let (Some(old), Some(new)) = (size(&pictures.before), size(&pictures.after))
                && old != new
            {
                phrases.push(vec![said(format!("{} × {} → {} × {} pixels", old.0, old.1, new.0, new.1))]);
            }
        }
        Content::NotCompared { why, damaged: false } => {
            phrases.push(vec![said("not compared: "), Word::Told(why.clone())]);
        }
        Content::NotCompared { why, damaged: true } => {
            phrases.push(vec![said("damaged in the storage: "), Word::Told(why.clone())]);
        }
    }
    phrases
}

fn said(text: impl Into<String>) -> Word {
    Word::Said(text.into())
}

fn counted(count: usize, one: &str) -> String {
    crate::run::figures::count(count as u64, one)
}

fn of_values(values: &Values, what: &What) -> Option<Phrase> {
    let changed = values.changes.len() + values.more;
    match what {
        What::Added => None,
        _ if changed == 0 => Some(vec![said("the same values, written otherwise")]),
        _ => Some(vec![said(format!("{changed} of {} changed", counted(changed + values.same, "value")))]),
    }
}

fn of_table(table: &TableChange) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    if table.rows_added + table.rows_removed > 0 {
        let part = |count, sign| if count > 0 { format!("{sign}{count}") } else { String::new() };
        let parts = [part(table.rows_added, "+"), part(table.rows_removed, "-")];
        let parts = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        phrases.push(vec![said(format!("rows {} → {} ({parts})", table.rows_before, table.rows_after))]);
    }
    phrases.extend(named("new column", &table.columns_added));
    phrases.extend(named("lost column", &table.columns_removed));
    if table.cells_changed > 0 {
        let changed: Vec<String> =
            table.columns.iter().filter(|column| column.changed > 0).map(|column| column.name.clone()).collect();
        let mut phrase = vec![said(format!("{} changed in ", counted(table.cells_changed, "cell")))];
        phrase.extend(list(&changed));
        match table.cells_rounded {
            0 => {}
            all if all == table.cells_changed => phrase.push(said(", by rounding only")),
            some => phrase.push(said(format!(", {some} of them by rounding only"))),
        }
        phrases.push(phrase);
    }
    for column in table.columns.iter().take(COLUMNS) {
        if let (Some(old), Some(new)) = (column.mean_before, column.mean_after)
            && short(old) != short(new)
        {
            let means = format!(": mean {} → {}", short(old), short(new));
            phrases.push(vec![Word::Named(column.name.clone()), said(means)]);
        }
    }
    if table.columns_reordered {
        phrases.push(vec![said("columns in another order")]);
    }
    if table.rows_reordered {
        phrases.push(vec![said("rows in another order")]);
    }
    if phrases.is_empty() {
        phrases.push(vec![said("the same cells, written otherwise")]);
    }
    phrases.extend(table.notes.iter().map(|note| vec![Word::Told(note.clone())]));
    phrases
}

fn named(what: &str, names: &[String]) -> Option<Phrase> {
    let mut phrase = vec![said(if names.len() == 1 { format!("{what} ") } else { format!("{what}s ") })];
    phrase.extend(list(names));
    (!names.is_empty()).then_some(phrase)
}

/// The first names, and how many there are besides.
fn list(names: &[String]) -> Phrase {
    let mut phrase = Vec::new();
    for name in names.iter().take(COLUMNS) {
        if !phrase.is_empty() {
            phrase.push(said(", "));
        }
        phrase.push(Word::Named(name.clone()));
    }
    if names.len() > COLUMNS {
        phrase.push(said(format!(" and {} more", names.len() - COLUMNS)));
    }
    phrase
}
