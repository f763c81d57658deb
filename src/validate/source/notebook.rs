//! Finds the cell tagged `parameters` in a script or a notebook, as jupytext cuts cells.

use super::undefined;

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
    let document = match document(text) {
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

/// What Python's reader of JSON takes for numbers, and nobody else does; Plotly writes them.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// A notebook's JSON, as Python reads it.
pub(super) fn document(text: &str) -> serde_json::Result<serde_json::Value> {
    serde_json::from_str(text).or_else(|error| {
        let is_suspect = NOT_FINITE.iter().any(|word| text.contains(word));
        if is_suspect { serde_json::from_str(&finite(text)) } else { Err(error) }
    })
}

/// The text with zeros for such numbers; all else stays at its place.
fn finite(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(word) = NOT_FINITE.iter().find(|word| !is_quoted && rest.starts_with(**word)) {
            out.extend(std::iter::repeat_n(' ', word.len() - 1));
            out.push('0');
            rest = &rest[word.len()..];
            continue;
        }
        is_quoted ^= letter == '"' && !is_escaped;
        is_escaped = is_quoted && letter == '\\' && !is_escaped;
        out.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    out
}

/// Why Ploomber finds no kernel for a notebook, where it does not: the file names none, and what its cells hold is no
/// Python, the words between the code too.
pub(super) fn without_kernel(text: &str) -> Option<&'static str> {
    let document = document(text).ok()?;
    let says = document.get("metadata")?.get("kernelspec");
    if says.is_some_and(|kernel| kernel.get("name").is_some()) {
        return None;
    }
    if let Some(language) = says.and_then(|kernel| kernel.get("language")) {
        let is_python = language.as_str() == Some("python");
        return (!is_python).then_some("the file names no kernel, and a language that is not `python`");
    }
    let cells: Vec<String> = document.get("cells")?.as_array()?.iter().map(cell_text).collect();
    let all = cells.join("\n");
    // Ploomber takes an arrow anywhere for R.
    let is_other = all.contains("<-") || undefined::is_no_python(&all);
    is_other.then_some("the file names no kernel, and not every cell is Python")
}

/// Whether a notebook says that it is written in R.
pub(super) fn is_r(text: &str) -> bool {
    let Ok(document) = document(text) else { return false };
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

/// Whether the line of a script that has its cells in percent begins one; without a `%%` also as nbconvert writes it.
pub(super) fn is_percent_start(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix('#').map(str::trim) else { return false };
    if let Some(rest) = rest.strip_prefix("%%") {
        return rest.is_empty() || rest.trim_start_matches('%').starts_with(char::is_whitespace);
    }
    let number = rest.strip_prefix("In[").and_then(|rest| rest.strip_suffix(':').unwrap_or(rest).strip_suffix(']'));
    let is_numbered = number.is_some_and(|number| number.bytes().all(|byte| byte == b' ' || byte.is_ascii_digit()));
    rest == "<codecell>" || is_numbered
}

fn is_tagged(line: &str) -> bool {
    let is_tag = |tags: &str| tags.contains("\"parameters\"") || tags.contains("'parameters'");
    is_start(line) && !is_joined(line) && tags(line).is_some_and(is_tag)
}

/// Whether something stands right behind the `%%`: to jupytext that begins no cell.
fn is_joined(line: &str) -> bool {
    let rest = line.trim_start_matches('#').trim_start();
    rest.strip_prefix("%%").is_some_and(|rest| !rest.trim_start_matches('%').starts_with(char::is_whitespace))
}

/// What stands behind `tags=` or `"tags":`, blanks or not, on the line that begins a cell.
fn tags(line: &str) -> Option<&str> {
    line.match_indices("tags").find_map(|(at, word)| {
        let rest = &line[at + word.len()..];
        let (rest, sign) = rest.strip_prefix('"').map_or((rest, '='), |rest| (rest, ':'));
        rest.trim_start().strip_prefix(sign)
    })
}

fn script(text: &str) -> Cell {
    let mut lines = text.lines().skip_while(|line| !is_tagged(line));
    let Some(first) = lines.next() else { return Cell::Missing };
    // Where one cell begins with `# %%`, a `# +` begins none, and a `# -` ends none.
    let by_percent = is_percent_start(first);
    let ends = |line: &str| {
        if by_percent { is_percent_start(line) } else { is_start(line) || line.trim_end() == "# -" }
    };
    let body: Vec<&str> = lines.take_while(|line| !ends(line)).collect();
    let (mut tagged, mut last) = (false, false);
    for line in text.lines() {
        if ends(line) {
            // Of a cell that Ploomber wrote nothing is left to run.
            tagged = is_tagged(line) || line.contains("injected-parameters");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What jupytext 1.19 does with these lines.
    #[test]
    fn tags_may_have_blanks_around_their_sign() {
        for line in [
            "# %% tags = [\"parameters\"]",
            "#%% tags =[\"parameters\"]",
            "# %%\ttags\t= [ 'parameters' ]",
            "# %% title id=\"a\" tags = [\"parameters\", \"x\"]",
            "# %%%% tags=[\"parameters\"]",
            "# + tags = [\"parameters\"]",
            "#+tags=[\"parameters\"]",
            "# %% {\"tags\" : [\"parameters\"]}",
        ] {
            assert!(is_tagged(line), "{line}");
        }
        for line in [
            "# %%tags=[\"parameters\"]",
            "# %% tags=[parameters]",
            "# %% tags=[\"my-parameters\"]",
            "# %% tags:[\"parameters\"]",
            "# %% parameters tags=[\"x\"]",
            "# %% {tags: [\"parameters\"]}",
            "# %%",
        ] {
            assert!(!is_tagged(line), "{line}");
        }
    }

    /// What jupytext 1.19 does with these lines.
    #[test]
    fn a_script_in_percent_has_its_cells_in_percent_or_as_nbconvert_writes_them() {
        for line in ["# %%", "#%%", "# %% x", "# %%%% x", "  # %%", "# In[1]:", "# In[ ]:", "#In[12]", "# <codecell>"] {
            assert!(is_percent_start(line), "{line}");
        }
        for line in ["# +", "# -", "# %%x", "# %%%", "# In[x]:", "# In[1]: x", "# In [1]:", "# <codecell>x", "In[1]:"] {
            assert!(!is_percent_start(line), "{line}");
        }
        let is_last = |rest: &str| {
            let text = format!("# In[1]:\nimport os\n# %% tags=[\"parameters\"]\nupstream = None\n{rest}");
            let Cell::Found(cell, last) = script(&text) else { panic!("{rest}") };
            (cell, last)
        };
        for start in ["# In[2]:", "# In[ ]:", "# <codecell>", "# %%"] {
            assert_eq!(is_last(&format!("{start}\nprint(os)\n")), ("upstream = None".to_owned(), false), "{start}");
        }
        assert!(!is_last("# %%\n# + {\"tags\": [\"b\"]}\n").1);
        assert!(is_last("# In[2]:\n").1 && is_last("# In\nprint(1)\n").1);
    }

    /// What Python's reader of JSON takes.
    #[test]
    fn a_notebook_may_hold_numbers_that_only_python_writes() {
        let text = r#"{"a": [NaN, Infinity,-Infinity], "b": "a \" NaN \\", "c":NaN}"#;
        assert_eq!(finite(text).len(), text.len());
        let read = document(text).unwrap();
        assert_eq!(read, serde_json::json!({"a": [0, 0, 0], "b": "a \" NaN \\", "c": 0}));
        for broken in ["{\"a\": NaNs}", "{\"a\": --Infinity}", "{\"a\": 1NaN}", "{\"a\": nan}"] {
            assert!(document(broken).is_err(), "{broken}");
        }
    }

    /// What Ploomber 0.23.3 says of such cells and metadata.
    #[test]
    fn a_notebook_that_names_no_kernel_has_to_be_python_in_all_its_cells() {
        let said = |cell: &str, metadata: &str| {
            let cell = serde_json::Value::from(cell);
            without_kernel(&format!("{{\"cells\": [{{\"source\": {cell}}}], \"metadata\": {metadata}}}")).is_some()
        };
        for cell in ["%matplotlib inline", "x = 1\n!ls", "Some words", "It's", "x = '<-'", "x?", "cost: $x$"] {
            assert!(said(cell, "{}") && said(cell, r#"{"kernelspec": {}}"#), "{cell}");
            assert!(!said(cell, r#"{"kernelspec": {"name": "python3"}}"#), "{cell}");
            assert!(!said(cell, r#"{"kernelspec": {"language": "python"}}"#), "{cell}");
        }
        for cell in [
            "x = 1",
            "# Some words",
            "x = 7 \\\n% 3",
            "'''\n!ls\n'''",
            "if x not in y: pass",
            "match x:\n    case y: pass",
            "type X = int",
            "x = f\"{d[\"it's a\"]}\"",
            "x = 'a\\\r\nb'",
        ] {
            assert!(!said(cell, "{}"), "{cell}");
        }
        assert!(said("x = 1", r#"{"kernelspec": {"language": "R"}}"#));
        assert!(said("<-", r#"{"language_info": {"name": "python"}}"#));
    }
}
