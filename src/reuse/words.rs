//! What a text mentions, imports, loads by name or lists: looked for in words, always ready to say yes once too often.

use crate::validate::has_word;

/// Words of programs that load or start others by a name that is put together while they run.
const LOADERS: [&str; 25] = [
    "importlib",
    "__import__",
    "runpy",
    "pkgutil",
    "exec",
    "eval",
    "execfile",
    "subprocess",
    "Popen",
    "popen",
    "os.system",
    "system2",
    "papermill",
    "execute_notebook",
    "jupytext.read",
    "nbconvert",
    "nbclient",
    "SourceFileLoader",
    "load_module",
    "load_source",
    "sys.modules",
    "sys.path",
    "DAGSpec",
    "get_ipython",
    "zipimport",
];

/// Words of programs that look into folders.
const LISTERS: [&str; 20] = [
    "listdir",
    "scandir",
    "iterdir",
    "glob",
    "iglob",
    "rglob",
    "walk",
    "copytree",
    "make_archive",
    "dircmp",
    "list.files",
    "list.dirs",
    "readdir",
    "read_dir",
    "os.system",
    "subprocess",
    "Popen",
    "popen",
    "load_files",
    "get_ipython",
];

/// Commands of a shell that look into folders.
const SHELL_LISTERS: [&str; 16] = [
    "ls", "find", "tar", "zip", "rsync", "cp", "mv", "du", "tree", "git", "make", "grep", "fd", "rg", "eval", "source",
];

/// Where tasks could leave something for each other that is neither in the snapshot nor in HOME.
const ELSEWHERE: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "gettempdir", "/run/user"];

/// Whether the text speaks of a file of this name: the name by itself, not as the end of a longer one.
pub(super) fn names_file(text: &str, name: &str) -> bool {
    let joins = |c: char| c == '_' || c == '-' || c.is_alphanumeric();
    !name.is_empty()
        && memchr::memmem::find_iter(text.as_bytes(), name.as_bytes()).any(|at| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            !before.ends_with(joins) && !after.starts_with(joins)
        })
}

/// Whether the text speaks of a folder of this name: beside a slash, or between quotes.
pub(super) fn names_folder(text: &str, name: &str) -> bool {
    let joins = |c: char| c == '_' || c == '-' || c.is_alphanumeric();
    let marks = |c: char| matches!(c, '/' | '\\' | '"' | '\'' | '`');
    !name.is_empty()
        && memchr::memmem::find_iter(text.as_bytes(), name.as_bytes()).any(|at| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            let alone = !before.ends_with(joins) && !after.starts_with(joins);
            alone && (after.starts_with(marks) || before.ends_with(['/', '\\']))
        })
}

/// Every import statement of a program, one after the other.
pub(super) fn imports(text: &str) -> String {
    let mut found = String::new();
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&text.as_bytes()[from..], b"import").map(|at| at + from) {
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let mut end = at + text[at..].find('\n').unwrap_or(text.len() - at);
        while text[..end].ends_with('\\') && end < text.len() {
            end = end + 1 + text[end + 1..].find('\n').unwrap_or(text.len() - end - 1);
        }
        if text[at..end].contains('(') && !text[at..end].contains(')') {
            end += text[end..].find(')').unwrap_or(text.len() - end);
        }
        found.push_str(&text[start.max(from)..end]);
        found.push('\n');
        from = end.max(at + "import".len());
    }
    found
}

/// Whether import statements, as [`imports`] gives them, reach a module: by its own name, or everything of its package.
pub(super) fn imports_module(imports: &str, stem: &str, folder: &str) -> bool {
    has_word(imports, stem)
        || imports.lines().any(|line| line.contains('*') && (line.contains("from .") || has_word(line, folder)))
}

/// Whether a program may load others by names that are not written in it.
pub(super) fn loads_by_name(text: &str, shell: bool) -> bool {
    shell || LOADERS.iter().any(|word| has_word(text, word)) || has_magic(text) || text.contains("source(")
}

/// Whether a program may look into folders.
pub(super) fn lists_folders(text: &str, shell: bool) -> bool {
    if !shell {
        return LISTERS.iter().any(|word| has_word(text, word)) || has_magic(text) || has_call(text, "dir");
    }
    shell_lister(text).is_some()
}

/// What of a shell's text looks into folders: a pattern or a command.
fn shell_lister(text: &str) -> Option<&'static str> {
    let text = without_placeholders(text);
    let bracket = |at: usize| text[..at].ends_with(|c: char| c.is_alphanumeric() || "_./-".contains(c));
    let pattern = ["*", "?"].into_iter().find(|mark| text.contains(*mark));
    let set = || text.match_indices('[').any(|(at, _)| bracket(at)).then_some("[");
    pattern.or_else(set).or_else(|| SHELL_LISTERS.into_iter().find(|word| has_word(&text, word)))
}

/// The words behind "looks into folders": which one was seen, and in which line where the text is a whole file.
pub(super) fn listing_in_words(text: &str, shell: bool) -> String {
    let lister = |line: &str| {
        if shell { shell_lister(line) } else { LISTERS.into_iter().find(|word| has_word(line, word)) }
    };
    let found = text.lines().enumerate().find_map(|(at, line)| Some((at + 1, lister(line)?)));
    match found {
        Some((line, word)) if shell => format!(" (`{word}` in line {line})"),
        Some((_, word)) => format!(" (`{word}`)"),
        None => String::new(),
    }
}

/// Whether a program may leave files where nobody sees them.
pub(super) fn leaves_elsewhere(text: &str) -> Option<&'static str> {
    ELSEWHERE.into_iter().find(|place| text.contains(place))
}

/// Cells of notebooks that give commands: `%run x`, `!ls`.
fn has_magic(text: &str) -> bool {
    let harmless = ["matplotlib", "html", "load_ext", "config", "autoreload", "time", "timeit", "capture", "pylab"];
    text.lines().any(|line| {
        let line = line.trim_start_matches([' ', '\t', '"', ',']);
        let command = line.strip_prefix('%').map(|rest| rest.trim_start_matches('%'));
        let word =
            |rest: &str| rest.split(|c: char| !c.is_ascii_alphabetic() && c != '_').next().unwrap_or("").to_owned();
        line.starts_with('!') || command.is_some_and(|rest| !word(rest).is_empty() && !harmless.contains(&&*word(rest)))
    })
}

/// `dir(` of R, which in Python does something else and costs no more than an execution too many.
fn has_call(text: &str, name: &str) -> bool {
    let call = format!("{name}(");
    text.match_indices(&call)
        .any(|(at, _)| !text[..at].ends_with(|c: char| c == '_' || c == '.' || c.is_alphanumeric()))
}

/// A template without what Ploomber fills in.
fn without_placeholders(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        kept.push_str(&rest[..open]);
        rest = rest[open..].find("}}").map_or("", |close| &rest[open + close + 2..]);
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_whole_name() {
        assert!(names_file("open('data/fit.py')", "fit.py") && names_file("fit.py", "fit.py"));
        assert!(!names_file("refit.py", "fit.py") && !names_file("fit.pyc", "fit.py") && !names_file("x", ""));
    }

    #[test]
    fn folders_are_named_beside_a_slash_or_between_quotes() {
        for text in ["output/a.csv", "Path('output')", "x/output", "\"output\""] {
            assert!(names_folder(text, "output"), "{text}");
        }
        for text in ["output = 1", "the output of", "my_output/x", "outputs/x"] {
            assert!(!names_folder(text, "output"), "{text}");
        }
    }

    #[test]
    fn imports_are_found_over_brackets_and_broken_lines() {
        let text = "x = 1\nfrom scripts import (\n    clean,\n    fit,\n)\nimport a, \\\n  b\nprint('fit')\n";
        let found = imports(text);
        assert!(has_word(&found, "fit") && has_word(&found, "b") && !found.contains("print"), "{found}");
        assert!(imports_module(&imports("from scripts import *\n"), "fit", "scripts"));
        assert!(imports_module(&imports("from . import *\n"), "fit", "scripts"));
        assert!(!imports_module(&imports("from other import *\nimport refit\n"), "fit", "scripts"));
        // Ends inside a statement, and right after the word.
        assert_eq!(imports("import"), "import\n");
        assert_eq!(imports("import (a"), "import (a\n");
        assert_eq!(imports("import \\"), "import \\\n");
    }

    #[test]
    fn programs_that_look_around_are_noticed() {
        assert!(lists_folders("for p in Path('x').glob('*')", false) && lists_folders("!ls", false));
        let seen = listing_in_words("#!/bin/bash\ncat {{ upstream['a'] }}\nls output\n", true);
        assert_eq!(seen, " (`ls` in line 3)");
        assert_eq!(listing_in_words("cat x\ncat out/*.csv", true), " (`*` in line 2)");
        assert_eq!(listing_in_words("for p in Path('x').glob('a')", false), " (`glob`)");
        assert_eq!(listing_in_words("x <- dir('data')", false), "");
        assert!(lists_folders("x <- dir('data')", false) && !lists_folders("os.makedir('data')", false));
        assert!(
            lists_folders("cat out/*.csv", true) && lists_folders("find .", true) && lists_folders("cat x[12]", true)
        );
        let plain = "cat {{upstream['a']}} | sort > {{product}}\n[ -f x ] || exit 1\n";
        assert!(!lists_folders(plain, true), "{plain}");
        assert!(
            loads_by_name("runpy.run_path(x)", false) && loads_by_name("echo", true) && !loads_by_name("x = 1", false)
        );
        assert!(loads_by_name("%run other.py", false) && !loads_by_name("%matplotlib inline", false));
        // The marks of cells in scripts are no commands.
        assert!(!loads_by_name("# %%\n%%\nx = 1 % 2\n", false));
        assert_eq!(leaves_elsewhere("open('/tmp/x')"), Some("/tmp"));
    }
}
