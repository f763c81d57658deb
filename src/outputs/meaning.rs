//! What a file says when the clock is left out of it, so that running a commit twice can be seen to give the same.
//!
//! Ploomber writes the time into the metadata beside every product. An executed notebook holds the times of every cell,
//! random cell ids, and the name of a temporary file that it was executed from; nbconvert takes the ids over into HTML.
//! Two such files that differ in nothing else mean the same. This decides only whether two runs came to the same content;
//! checksums, `verify` and `download` always use the bytes as they are.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::id::{Digest, RelPath};

/// Longer files are compared by their bytes.
const LIMIT: u64 = 32 * 1024 * 1024;

/// Whether a file of this name and size may hold times that mean nothing.
pub fn applies(path: &RelPath, size: u64) -> bool {
    size <= LIMIT && (is_metadata(path) || is_notebook(path) || is_html(path))
}

fn is_metadata(path: &RelPath) -> bool {
    path.file_name().starts_with(b".") && path.file_name().ends_with(b".metadata")
}

fn is_notebook(path: &RelPath) -> bool {
    path.file_name().ends_with(b".ipynb")
}

fn is_html(path: &RelPath) -> bool {
    path.file_name().ends_with(b".html")
}

/// The digest of what the file means; `None` when its bytes are all there is to it.
pub fn of(path: &RelPath, bytes: &[u8]) -> Option<Digest> {
    if is_html(path) {
        return Some(Digest(Sha256::digest(without_cell_ids(bytes)?).into()));
    }
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    if is_metadata(path) {
        value.as_object_mut()?.shift_remove("timestamp")?;
    } else if is_notebook(path) {
        notebook(&mut value)?;
    } else {
        return None;
    }
    Some(Digest(Sha256::digest(serde_json::to_vec(&value).ok()?).into()))
}

/// A page of nbconvert without the random ids of its cells; `None` when it has none.
fn without_cell_ids(page: &[u8]) -> Option<Vec<u8>> {
    const BEFORE: &[u8] = b" id=\"cell-id=";
    /// nbformat draws eight hexadecimal digits; ids that people wrote are other words, and stay.
    const DIGITS: usize = 8;
    let mut kept = Vec::with_capacity(page.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(page, BEFORE) {
        let end = at + BEFORE.len() + DIGITS;
        let id = page.get(end - DIGITS..end).unwrap_or_default();
        if !id.is_empty() && id.iter().all(u8::is_ascii_hexdigit) && page.get(end) == Some(&b'"') {
            kept.extend_from_slice(&page[from..end - DIGITS]);
            from = end;
        }
    }
    kept.extend_from_slice(&page[from..]);
    (from > 0).then_some(kept)
}

/// Removes what papermill and nbclient write about time and temporary files, and cell ids, which nbformat draws at random.
fn notebook(value: &mut Value) -> Option<()> {
    untime(value.get_mut("metadata"));
    for cell in value.get_mut("cells")?.as_array_mut()? {
        untime(cell.get_mut("metadata"));
        cell.as_object_mut()?.shift_remove("id");
    }
    Some(())
}

fn untime(metadata: Option<&mut Value>) {
    let Some(metadata) = metadata.and_then(Value::as_object_mut) else { return };
    metadata.shift_remove("execution");
    if let Some(papermill) = metadata.get_mut("papermill").and_then(Value::as_object_mut) {
        for key in ["start_time", "end_time", "duration", "input_path"] {
            papermill.shift_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    #[test]
    fn metadata_that_differs_in_its_time_alone_means_the_same() {
        let at = path("out/.data.csv.metadata");
        let text = |time: f64, code: &str| {
            format!(r#"{{"timestamp": {time}, "stored_source_code": "{code}", "params": {{}}}}"#)
        };
        assert_eq!(of(&at, text(1.5, "a").as_bytes()), of(&at, text(2.5, "a").as_bytes()));
        assert_ne!(of(&at, text(1.5, "a").as_bytes()), of(&at, text(1.5, "b").as_bytes()));
        assert!(of(&at, text(1.5, "a").as_bytes()).is_some());
    }

    #[test]
    fn notebooks_that_differ_in_times_and_cell_ids_mean_the_same() {
        let at = path("report.ipynb");
        let text = |time: u32, output: &str| {
            format!(
                r#"{{"metadata": {{"papermill": {{"duration": {time}, "input_path": "/tmp/tmp{time}.ipynb", "exception": null}}}}, "cells": [{{"id": "c{time}",
                "metadata": {{"execution": {{"iopub.execute_input": "{time}"}}, "tags": ["x"]}}, "outputs": ["{output}"]}}]}}"#
            )
        };
        assert_eq!(of(&at, text(1, "a").as_bytes()), of(&at, text(2, "a").as_bytes()));
        assert_ne!(of(&at, text(1, "a").as_bytes()), of(&at, text(1, "b").as_bytes()));
    }

    #[test]
    fn pages_of_notebooks_that_differ_in_cell_ids_mean_the_same() {
        let at = path("report.html");
        let page =
            |id: &str, text: &str| format!("<div class=\"jp-Cell\" id=\"cell-id={id}\">{text}</div>").into_bytes();
        assert_eq!(of(&at, &page("fb5adbba", "x")), of(&at, &page("75829c9c", "x")));
        assert_ne!(of(&at, &page("fb5adbba", "x")), of(&at, &page("fb5adbba", "y")));
        // Ids that people chose are part of the page, and so is a page that breaks off within one.
        assert_eq!(of(&at, &page("intro", "x")), None);
        assert_eq!(of(&at, b"<p>plain</p>"), None);
        assert_eq!(of(&at, b"<div id=\"cell-id=fb5a"), None);
    }

    #[test]
    fn anything_else_means_its_bytes() {
        assert!(!applies(&path("a.csv"), 1));
        assert!(!applies(&path("big.ipynb"), LIMIT + 1));
        assert_eq!(of(&path("report.ipynb"), b"no json"), None);
        assert_eq!(of(&path("report.ipynb"), b"[]"), None);
        assert_eq!(of(&path(".x.metadata"), b"{\"a\": 1}"), None);
        assert_eq!(of(&path("a.json"), b"{\"timestamp\": 1}"), None);
    }
}
