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
        _ => script(text, matches!(suffix, ".R" | ".r")),
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

/// What jupytext knows of quotes: which of them a text of several lines has, in which a line ends.
#[derive(Default)]
struct Quotes(Option<u8>);

impl Quotes {
    fn read(&mut self, line: &str) {
        if self.0.is_none() && line.trim_start().starts_with('#') {
            return;
        }
        let bytes = line.as_bytes();
        let (mut single, mut last): (Option<u8>, Option<usize>) = (None, None);
        for (at, byte) in bytes.iter().copied().enumerate() {
            if byte == b'#' && single.is_none() && self.0.is_none() {
                return;
            }
            if !matches!(byte, b'"' | b'\'') || (at > 0 && bytes[at - 1] == b'\\') {
                continue;
            }
            if let Some(open) = single {
                single = Some(open).filter(|open| *open != byte);
                continue;
            }
            let is_fresh = last.is_none_or(|last| at >= last + 3);
            let is_third = is_fresh && at >= 2 && bytes[at - 2..at].iter().all(|before| *before == byte);
            match self.0 {
                None if is_third => (self.0, last) = (Some(byte), Some(at)),
                Some(open) if is_third && open == byte => (self.0, last) = (None, Some(at)),
                None => single = Some(byte),
                Some(_) => {}
            }
        }
    }
}

/// The format that the header of a script names, where it speaks of that.
fn named_format(text: &str) -> Option<&str> {
    let is_edge = |line: &&str| line.trim_end() == "# ---";
    let top = text.lines().take_while(|line| line.starts_with('#'));
    let mut header = top.skip_while(|line| !is_edge(line)).skip(1).take_while(|line| !is_edge(line));
    header.find(|line| line.contains("text_representation:"))?;
    let named = header.find_map(|line| line.trim_start_matches('#').trim().strip_prefix("format_name:"));
    Some(named.map_or("", |name| name.trim().trim_matches(['\'', '"'])))
}

/// Whether jupytext takes a script for one in percent: then nothing but `# %%`, or what nbconvert writes, begins a cell of
/// it, and no `# +` does.
pub(super) fn is_in_percent(text: &str, is_r: bool) -> bool {
    if let Some(format) = named_format(text) {
        return matches!(format, "percent" | "hydrogen");
    }
    let mut quotes = Quotes::default();
    text.lines().any(|line| {
        // It knows no texts of several lines in R.
        if !is_r {
            quotes.read(line);
        }
        quotes.0.is_none() && tells_percent(line)
    })
}

/// Whether jupytext counts the line for percent; that is not all that begins a cell there.
fn tells_percent(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('#') else { return false };
    if let Some(rest) = rest.strip_prefix(' ').unwrap_or(rest).strip_prefix("%%") {
        return rest.is_empty() || rest.starts_with(char::is_whitespace);
    }
    let number =
        rest.strip_prefix(" In[").map(|rest| rest.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()));
    rest.starts_with(" <codecell>") || number.is_some_and(|rest| rest.starts_with(']'))
}

fn script(text: &str, is_r: bool) -> Cell {
    let by_percent = is_in_percent(text, is_r);
    let is_one = |line: &str| is_tagged(line) && is_percent_start(line) == by_percent;
    let mut lines = text.lines().skip_while(|line| !is_one(line));
    if lines.next().is_none() {
        return Cell::Missing;
    }
    // Where one cell begins with `# %%`, a `# +` begins none, and a `# -` ends none.
    let ends = |line: &str| {
        if by_percent { is_percent_start(line) } else { is_start(line) || line.trim_end() == "# -" }
    };
    let body: Vec<&str> = lines.take_while(|line| !ends(line)).collect();
    let (mut tagged, mut last) = (false, false);
    for line in text.lines() {
        if ends(line) {
            // Of a cell that Ploomber wrote nothing is left to run.
            tagged = is_one(line) || line.contains("injected-parameters");
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
            let Cell::Found(cell, last) = script(&text, false) else { panic!("{rest}") };
            (cell, last)
        };
        for start in ["# In[2]:", "# In[ ]:", "# <codecell>", "# %%"] {
            assert_eq!(is_last(&format!("{start}\nprint(os)\n")), ("upstream = None".to_owned(), false), "{start}");
        }
        assert!(!is_last("# %%\n# + {\"tags\": [\"b\"]}\n").1);
        assert!(is_last("# In[2]:\n").1 && is_last("# In\nprint(1)\n").1);
    }

    /// What jupytext 1.16 does with these scripts.
    #[test]
    fn a_plus_begins_a_cell_only_where_no_cell_begins_in_percent() {
        let plus = "# + tags=[\"parameters\"]\nupstream = None\n# +\nprint(1)\n";
        let header = |name: &str| {
            let lines = "# jupyter:\n#   jupytext:\n#     text_representation:\n#       extension: .py\n";
            format!("# ---\n{lines}#       format_name: {name}\n# ---\n")
        };
        for (before, after) in [
            ("", "#In[2]:\n"),
            ("", "  # %%\n"),
            ("", "x = '''\n# In[2]:\n'''\n"),
            ("\"\"\"\n# %%\n\"\"\"\n", ""),
            ("x = \"it's\"  # '''\n", ""),
            (header("light").as_str(), ""),
        ] {
            let Cell::Found(cell, false) = script(&format!("{before}{plus}{after}"), false) else { panic!("{after}") };
            assert_eq!(cell, "upstream = None", "{before}{after}");
        }
        for (before, after) in [
            ("# In[1]:\nimport os\n", ""),
            ("", "# In[2]:\n"),
            ("", "# In[ ]: words\n"),
            ("", "# %%\n"),
            ("", "# <codecell>\n"),
            ("x = \"it's\"  # '''\n", "#%% a title\n"),
            (header("percent").as_str(), ""),
        ] {
            let text = format!("{before}{plus}{after}");
            assert!(matches!(script(&text, false), Cell::Missing), "{text}");
        }
        // Quotes of R go over no lines.
        assert!(matches!(script(&format!("x <- '''\n{plus}# %%\n"), true), Cell::Missing));
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
