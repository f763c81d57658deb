//! Finds the cell tagged `parameters` in a script or a notebook, as jupytext cuts cells.

/// The parameters cell of a source.
pub(super) enum Cell {
    /// Its text, and whether nothing comes after it.
    Found(String, bool),
    /// There is none; Ploomber would write one into the file.
    Missing,
    /// The file cannot be read as a notebook.
    Broken(String),
}

/// Cuts the parameters cell out of `text`, a file that ends in `suffix`.
pub(super) fn parameters(text: &str, suffix: &str) -> Cell {
    match suffix {
        ".ipynb" => ipynb(text),
        ".Rmd" => r_markdown(text),
        _ => script(text),
    }
}

fn ipynb(text: &str) -> Cell {
    let document: serde_json::Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => return Cell::Broken(error.to_string()),
    };
    let Some(cells) = document.get("cells").and_then(serde_json::Value::as_array) else {
        return Cell::Broken("there is no list of cells".to_owned());
    };
    let Some(cell) = cells.iter().find(|cell| is_parameters(cell)) else { return Cell::Missing };
    let last = cells.iter().rev().find(|cell| !cell_text(cell).trim().is_empty());
    Cell::Found(cell_text(cell), last.is_some_and(is_parameters))
}

/// Whether a notebook says that it is written in R.
pub(super) fn is_r(text: &str) -> bool {
    let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let says = |place: &str| document.pointer(place).and_then(serde_json::Value::as_str);
    let language = says("/metadata/kernelspec/language");
    if let Some(language) = language.filter(|language| !language.is_empty()) {
        return language.eq_ignore_ascii_case("r");
    }
    match says("/metadata/kernelspec/name") {
        Some(kernel) => kernel == "ir",
        None => says("/metadata/language_info/name").is_some_and(|language| language.eq_ignore_ascii_case("r")),
    }
}

fn is_parameters(cell: &serde_json::Value) -> bool {
    has_tag(cell, "parameters")
}

/// Whether a cell of a notebook is tagged so.
pub(super) fn has_tag(cell: &serde_json::Value, wanted: &str) -> bool {
    let tags = cell.pointer("/metadata/tags").and_then(serde_json::Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(|tag| tag.as_str() == Some(wanted)))
}

/// The text of a cell of a notebook.
pub(super) fn cell_text(cell: &serde_json::Value) -> String {
    match cell.get("source") {
        Some(serde_json::Value::Array(lines)) => lines.iter().filter_map(serde_json::Value::as_str).collect(),
        other => other.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
    }
}

/// Whether the line of a script begins a cell.
pub(super) fn is_start(line: &str) -> bool {
    line.starts_with("# +") || line.starts_with("# %%") || line.starts_with("#+") || line.starts_with("#%%")
}

fn is_tagged(line: &str) -> bool {
    is_start(line) && line.contains("parameters") && (line.contains("tags=") || line.contains("\"tags\""))
}

fn script(text: &str) -> Cell {
    let mut lines = text.lines().skip_while(|line| !is_tagged(line));
    if lines.next().is_none() {
        return Cell::Missing;
    }
    let ends = |line: &str| is_start(line) || line.trim_end() == "# -";
    let body: Vec<&str> = lines.take_while(|line| !ends(line)).collect();
    let (mut tagged, mut last) = (false, false);
    for line in text.lines() {
        if ends(line) {
            tagged = is_tagged(line);
        } else if !line.trim().is_empty() {
            last = tagged;
        }
    }
    Cell::Found(body.join("\n"), last)
}

fn r_markdown(text: &str) -> Cell {
    let mut lines = text.lines().skip_while(|line| !(line.starts_with("```{") && line.contains("parameters")));
    if lines.next().is_none() {
        return Cell::Missing;
    }
    let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
    Cell::Found(body.join("\n"), !lines.any(|line| !line.trim().is_empty()))
}
