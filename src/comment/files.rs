//! What changed since the base commit, as rows of tables.

use super::escape::{code, text};
use super::render::Shape;
use crate::compare::{Comparison, FileChange, Leaf, Move, Number, ValueChange, What, Word, phrases, short};
use crate::run::figures::bytes;

/// A table that may have been cut.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Its rows, ready as Markdown.
    pub(super) rows: Vec<String>,
    /// How many there are besides.
    pub(super) more: usize,
}

impl Rows {
    /// The first rows of all; what is not shown is not drawn either.
    pub(super) fn of<T>(all: impl IntoIterator<Item = T>, most: usize, row: impl FnMut(T) -> String) -> Self {
        let mut all = all.into_iter();
        let rows = all.by_ref().take(most).map(row).collect();
        Self { rows, more: all.count() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.more == 0
    }
}

/// Metrics that are not what they were; only numbers.
pub(super) fn metrics(comparison: &Comparison, shape: Shape) -> Rows {
    let several = comparison.metrics().filter(|(_, values)| !values.changes.is_empty()).count() > 1;
    let numbers = |change: &&ValueChange| {
        [&change.before, &change.after].into_iter().flatten().all(|leaf| leaf.number().is_some())
    };
    let all = comparison
        .metrics()
        .flat_map(|(path, values)| values.changes.iter().filter(numbers).map(move |change| (path, change)));
    Rows::of(all, shape.rows, |(path, change)| {
        let file = if several { format!("{} ", code(&path.to_string(), shape.longest)) } else { String::new() };
        let side = |leaf: &Option<Leaf>| leaf.as_ref().and_then(Leaf::number).map_or_else(|| "–".to_owned(), written);
        let moved = change.moved.map(arrowed).unwrap_or_default();
        let name = code(&change.name, shape.longest);
        format!("| {file}{name} | {} | {} | {moved} |", side(&change.before), side(&change.after))
    })
}

/// A number as short as people compare it.
fn written(number: Number) -> String {
    match number {
        Number::Real(real) if real.is_finite() && number.to_string().len() > 9 => short(real),
        other => other.to_string(),
    }
}

fn arrowed(moved: Move) -> String {
    let arrow = match moved.delta.filter(|_| !moved.is_rounding()) {
        Some(delta) if delta > 0.0 => "▲ ",
        Some(delta) if delta < 0.0 => "▼ ",
        _ => "",
    };
    format!("{arrow}{moved}")
}

/// Files that are not the same; Ploomber's own notes are counted elsewhere.
pub(super) fn changes(comparison: &Comparison, shape: Shape) -> Rows {
    Rows::of(comparison.files.iter().filter(|file| !file.metadata), shape.rows, |file| row(file, shape))
}

fn row(file: &FileChange, shape: Shape) -> String {
    let what = match &file.what {
        What::Added => "added",
        What::Removed => "removed",
        What::Changed => "changed",
        What::Renamed { .. } => "renamed",
    };
    let name = code(&file.path.to_string(), shape.longest);
    format!("| {what} | {name} | {} | {} |", sizes(file), said(file, shape))
}

fn sizes(file: &FileChange) -> String {
    match (file.before, file.after) {
        (Some(old), Some(new)) if old.size != new.size => format!("{} → {}", bytes(old.size), bytes(new.size)),
        (_, Some(side)) | (Some(side), None) => bytes(side.size),
        (None, None) => String::new(),
    }
}

/// What changed in a file, in a few words.
fn said(file: &FileChange, shape: Shape) -> String {
    let word = |word: &Word| match word {
        Word::Said(said) => said.clone(),
        Word::Told(told) => text(told, shape.longest),
        Word::Named(named) => code(named, shape.longest),
    };
    let phrases = phrases(file).into_iter().map(|phrase| phrase.iter().map(word).collect::<String>());
    phrases.collect::<Vec<_>>().join("; ")
}

/// Packages, image and the like that are not what they were.
pub(super) fn environment(comparison: &Comparison, shape: Shape) -> Rows {
    let side = |side: &Option<String>| side.as_ref().map_or_else(|| "–".to_owned(), |side| code(side, shape.longest));
    let all = comparison.environment.rest.iter().chain(&comparison.environment.packages);
    Rows::of(all, shape.rows, |change| {
        let name = code(&change.name, shape.longest);
        format!("| {name} | {} | {} |", side(&change.before), side(&change.after))
    })
}
