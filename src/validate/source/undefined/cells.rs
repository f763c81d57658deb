//! The code of a notebook's cells, with what only Jupyter understands made into comments, as Ploomber does before it asks.

use super::super::notebook::{self, cell_text, has_tag, is_percent_start, is_start};
use super::super::python;
use super::walk::{is_mark, word};

/// Magics of a whole cell whose other lines are Python.
const INLINE: [&str; 3] = ["%%capture", "%%timeit", "%%time"];

/// What stands on the first line of a cell that holds no code.
const PROSE: [&str; 3] = ["[markdown]", "[md]", "[raw]"];

/// The tag of a cell that Ploomber left in a file, and writes anew before it asks.
const INJECTED: &str = "injected-parameters";

/// The code of a script, every byte at its place; `None` where cells of it are in another language, or in no script.
pub(in super::super) fn script(text: &str) -> Option<String> {
    if text.lines().any(is_of_another_kind) {
        return None;
    }
    let (code, is_foreign) = plain(&without_injected(text).0);
    (!is_foreign).then_some(code)
}

/// A line that begins a cell which jupytext does not take as it stands there.
fn is_of_another_kind(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('#').map(str::trim_start).filter(|_| is_start(line)) else { return false };
    let rest = rest.trim_start_matches(['%', '+']);
    let is_magic = rest.starts_with(|c: char| c.is_ascii_alphabetic());
    is_magic || rest.contains('%') || ["active", "language", "magic"].iter().any(|word| rest.contains(word))
}

/// The code of a notebook, cell by cell; `None` where another kernel than Python's runs it.
pub(in super::super) fn ipynb(text: &str) -> Option<String> {
    let document = notebook::document(text).ok()?;
    let kernel = document.pointer("/metadata/kernelspec/name")?.as_str()?;
    if kernel != "python3" {
        return None;
    }
    let mut code = String::new();
    for cell in document.get("cells")?.as_array()? {
        let is_code = cell.get("cell_type").and_then(serde_json::Value::as_str) == Some("code");
        if is_code && !has_tag(cell, INJECTED) {
            code.push_str(&plain(&cell_text(cell)).0);
            code.push('\n');
        }
    }
    Some(code)
}

/// The names that cells give a value which Ploomber writes anew: which of them it gives one again is not known here.
pub(in super::super) fn injected(text: &str) -> Vec<String> {
    if !text.contains(INJECTED) {
        return Vec::new();
    }
    let code: String = match notebook::document(text) {
        Ok(document) => {
            let cells = document.get("cells").and_then(serde_json::Value::as_array);
            let injected = cells.into_iter().flatten().filter(|cell| has_tag(cell, INJECTED));
            injected.map(|cell| cell_text(cell) + "\n").collect()
        }
        Err(_) => without_injected(text).1,
    };
    let tokens = python::tokens(&code);
    let given = (0..tokens.len()).filter(|at| is_mark(&tokens, at + 1, '=')).map(|at| word(&tokens, at));
    given.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A script in which the cells that hold words or that Ploomber writes anew are comments, every byte at its place; and
/// the code of the latter.
fn without_injected(text: &str) -> (String, String) {
    let (mut code, mut injected) = (String::with_capacity(text.len()), String::new());
    let (mut is_injected, mut is_prose, mut is_quoted) = (false, false, false);
    // Where one cell begins with `# %%`, a `# +` begins none, and a `# -` ends none.
    let is_percent = |line: &str| line.trim_start_matches('#').trim_start().starts_with("%%");
    let by_percent = notebook::is_in_percent(text, false);
    for line in text.split_inclusive('\n') {
        let is_start = is_start(line) || (by_percent && is_percent_start(line));
        let is_one = if by_percent { is_percent_start(line) } else { !is_percent(line) };
        let begins = !is_quoted && is_start && (is_one || !is_prose);
        let ends = line.trim_end() == "# -" && !(is_quoted || (is_prose && by_percent));
        if begins || ends {
            is_injected = begins && line.contains(INJECTED);
            is_prose = begins && is_one && PROSE.iter().any(|kind| line.contains(kind));
        }
        if begins || !(is_injected || is_prose) {
            code.push_str(line);
            continue;
        }
        if is_injected {
            injected.push_str(line);
        }
        // Words may stand in quotes, in which no cell begins.
        let quotes = line.matches("\"\"\"").count() + line.matches("'''").count();
        is_quoted ^= is_prose && !line.starts_with('#') && quotes % 2 == 1;
        comment(line, &mut code);
    }
    (code, injected)
}

/// Where in the notebook's file the line stands that has `at` in its code; its beginning, where it is written otherwise
/// there.
pub(in super::super) fn place(file: &str, code: &str, at: usize) -> usize {
    let start = code[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = code[at..].find('\n').map_or(code.len(), |len| at + len);
    let quoted = |text: &str| {
        let text = serde_json::Value::from(text).to_string();
        text[1..text.len() - 1].to_owned()
    };
    let (line, before) = (quoted(&code[start..end]), quoted(&code[start..at]).len());
    // A cell is a list of lines, or one text; what stands in quotes by itself may be a key of the file as well.
    let around = [("\"", "\\n"), ("\\n", "\\n"), ("\\n", "\""), ("\"", "\"")];
    let found = around.iter().find_map(|(left, right)| {
        let found = file.find(&format!("{left}{line}{right}"))?;
        Some(found + left.len() + before)
    });
    found.unwrap_or(0)
}

/// A cell with magics and commands of a shell made into comments, and whether it is in another language.
fn plain(cell: &str) -> (String, bool) {
    let mut out = String::with_capacity(cell.len());
    let mut is_foreign = false;
    for line in cell.split_inclusive('\n') {
        let code = line.trim_start();
        let is_letter = |at: usize| code.as_bytes().get(at).is_some_and(u8::is_ascii_alphabetic);
        let is_shell = code.starts_with('!') && code.trim_end().len() > 1;
        let is_cell_magic = code.starts_with("%%") && is_letter(2);
        let is_magic = code.starts_with('%') && is_letter(1);
        if is_foreign || is_shell || is_cell_magic || is_magic {
            comment(line, &mut out);
        } else {
            out.push_str(line);
        }
        let len = code.bytes().skip(2).take_while(u8::is_ascii_alphabetic).count() + 2;
        is_foreign |= is_cell_magic && !INLINE.contains(&&code[..len]);
    }
    (out, is_foreign)
}

/// Begins the line with a `#` where its first letter was: what is inside of a longer text may end it.
fn comment(line: &str, out: &mut String) {
    let code = line.trim_start();
    out.push_str(&line[..line.len() - code.len()]);
    let len = code.chars().next().map_or(0, char::len_utf8);
    out.extend(std::iter::repeat_n('#', len));
    out.push_str(&code[len..]);
}
