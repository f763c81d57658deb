//! Secrets in files that are about to be published, and in their names: a warning with the file's and the secret's name,
//! never more.
//!
//! An executed notebook holds what its cells printed, and Ploomber's metadata holds parameters. Nothing is refused or
//! changed. Text is read whole, anything else as far as its beginning, and all together only so much that no run waits.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::event::RunEvent;
use super::telling::Telling;
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::logs::Masker;
use crate::outputs::{Collection, Output, OutputKind, Roots, rooted};

/// Bytes of one text that are read.
const OF_TEXT: u64 = 32 << 20;
/// Bytes of one other file that are read.
const OF_OTHER: u64 = 256 << 10;
/// Bytes that are read of all files together.
const OF_ALL: u64 = 256 << 20;
/// Files that are named.
const SHOWN: usize = 10;

/// What people and programs write as text.
const TEXTS: [&str; 15] = [
    "csv", "htm", "html", "ini", "ipynb", "json", "jsonl", "log", "md", "metadata", "sql", "toml", "tsv", "txt", "yaml",
];

/// Warns of every file in which a secret of the run stands, or in whose name.
pub(super) async fn warn(masker: &Masker, roots: &Arc<Roots>, found: &Collection, telling: &Telling) {
    if masker.is_idle() {
        return;
    }
    let named = named(masker, found);
    for (path, names) in named.iter().take(SHOWN) {
        // What is told is masked.
        let message = format!("the name of the output `{path}` holds {}, and is published as it is", listed(names));
        let help = "keep values of secrets out of names of files: the storage, the manifest and every list shows them";
        telling.tell(&RunEvent::Diagnosed(Diagnostic::warning("outputs/secret", message).help(help)));
    }
    let files: Vec<Output> = found.outputs.iter().filter(|output| output.kind == OutputKind::File).cloned().collect();
    let (masker, roots) = (masker.clone(), Arc::clone(roots));
    // What cannot be read is the publishing's to tell.
    let held = tokio::task::spawn_blocking(move || search(&masker, &roots, files)).await.unwrap_or_default();
    for (path, names) in held.iter().take(SHOWN) {
        let message = format!("`{path}` holds {}, and is published as it is", listed(names));
        let warning = Diagnostic::warning("outputs/secret", message)
            .help("keep values of secrets out of parameters and of what cells print, or `exclude` the file");
        telling.tell(&RunEvent::Diagnosed(warning));
    }
    let more = named.len().saturating_sub(SHOWN) + held.len().saturating_sub(SHOWN);
    if more > 0 {
        let message = format!("{more} more outputs hold secrets");
        telling.tell(&RunEvent::Diagnosed(Diagnostic::warning("outputs/secret", message)));
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Outputs of any kind, and the names of secrets in theirs.
fn named(masker: &Masker, found: &Collection) -> Vec<(RelPath, Vec<String>)> {
    let of = |output: &Output| masker.names_in(output.path.to_string().as_bytes()).unwrap_or_default();
    let all = found.outputs.iter().map(|output| (output.path.clone(), of(output)));
    all.filter(|(_, names)| !names.is_empty()).collect()
}

/// Files and the names of secrets in them.
fn search(masker: &Masker, roots: &Roots, mut files: Vec<Output>) -> Vec<(RelPath, Vec<String>)> {
    // Many small files before a few large ones, where not all can be read.
    files.sort_by_key(|output| output.size);
    let mut left = OF_ALL;
    let mut held = Vec::new();
    for output in files {
        let most = if is_text(&output.path) { OF_TEXT } else { OF_OTHER }.min(left);
        left -= most.min(output.size);
        let Some(file) = open(roots, &output) else { continue };
        let names = masker.names_in(file.take(most)).unwrap_or_default();
        if !names.is_empty() {
            held.push((output.path, names));
        }
    }
    held.sort();
    held
}

fn open(roots: &Roots, output: &Output) -> Option<File> {
    let (root, path) = &output.from;
    let folder = rooted::open_folder(roots.fd(*root), &path.parent().unwrap_or_default()).ok()?;
    rooted::open_file(folder.as_fd(), path.file_name()).ok().map(|(file, _)| file)
}

fn is_text(path: &RelPath) -> bool {
    let name = String::from_utf8_lossy(path.file_name()).to_lowercase();
    name.rsplit_once('.').is_some_and(|(_, ending)| TEXTS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

    use super::*;
    use crate::outputs::Root;
    use crate::secret::{Secret, SecretSet};

    #[test]
    fn files_that_hold_a_secret_in_any_form_are_found_and_large_binaries_are_read_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let value = "hunter2-of-the-house";
        let spaces = "x".repeat(300_000);
        for (name, text) in [
            ("run.ipynb", format!("{spaces}{{\"text\": \"{value}\"}}")),
            (".out.metadata", "{\"params\": {\"t\": \"aHVudGVyMi1vZi10aGUtaG91c2U=\"}}".to_owned()),
            ("far.bin", format!("{spaces}{value}")),
            ("near.bin", format!("{value}{spaces}")),
            ("fine.csv", "hunter".to_owned()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("run.ipynb", folder.path().join("link.ipynb")).unwrap();
        let dir = || Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let roots = Roots { work: dir(), output: dir(), guest_work: "/workspace", guest_output: "/output" };
        let output = |name: &str| {
            let path = RelPath::normalise(name).unwrap();
            Output {
                path: path.clone(),
                from: (Root::Work, path),
                kind: OutputKind::File,
                size: 1,
                allocated: 0,
                mode: 0o644,
                mtime_ns: 0,
                link_target: None,
                task: None,
            }
        };
        let names = ["run.ipynb", ".out.metadata", "far.bin", "near.bin", "fine.csv", "link.ipynb", "gone.csv"];
        let masker = Masker::new(&SecretSet { env: vec![Secret::new("TOKEN", value.into())], mask_only: Vec::new() });
        let held = search(&masker, &roots, names.map(output).to_vec());
        let found: Vec<String> = held.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(found, [".out.metadata", "near.bin", "run.ipynb"]);
        assert!(held.iter().all(|(_, names)| *names == ["TOKEN"]), "{held:?}");
        assert!(Masker::none().is_idle() && Masker::new(&SecretSet::default()).is_idle() && !masker.is_idle());
        assert_eq!(masker.hits(), [("TOKEN".to_owned(), 0)], "nothing was hidden");
    }
}
