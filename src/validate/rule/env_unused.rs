//! Keys of env.yaml that nothing uses. Programs may read the file, too: where one does, nothing is said.

use super::{Facts, Rule};
use crate::diag::Diagnostic;
use crate::repo::EntryKind;
use crate::spec::yaml::{Node, Value};
use crate::validate::listing;

/// Bytes of a program that are read, and programs that are looked into.
const LIMIT: u64 = 1 << 20;
const MOST: usize = 2_000;
/// What stands in a program that reads env.yaml, by Ploomber's functions or by itself.
const READERS: [&[u8]; 4] = [b"with_env", b"load_env", b"env.yaml", b"EnvDict"];

pub(super) const RULE: Rule = Rule {
    code: "env/unused",
    about: "every key of env.yaml is used by the pipeline",
    check: |facts, out| {
        // The function that makes a whole pipeline gets the file's values its own way.
        let is_plain = facts.complete && facts.pipeline.document.get("location").is_none();
        let Some(env) = facts.env.filter(|_| is_plain) else { return };
        let mut used = String::new();
        texts(facts.raw, &mut used);
        if let Some(imported) = facts.imported {
            texts(imported, &mut used);
        }
        let mut unused = Vec::new();
        for (key, _) in env.root.as_map().unwrap_or_default() {
            let Some(name) = key.as_str().filter(|name| !matches!(*name, "meta" | "_module" | "sample")) else {
                continue;
            };
            let mut own = used.clone();
            env.root.as_map().unwrap_or_default().iter().for_each(|(_, value)| texts(value, &mut own));
            if !own.contains(name) {
                let problem =
                    Diagnostic::warning(RULE.code, format!("nothing uses `{name}`")).at(&env.source, key.span);
                unused.push(problem.help(format!("remove it, or write `{{{{{name}}}}}` in pipeline.yaml")));
            }
        }
        if !unused.is_empty() && !is_read_by_programs(facts) {
            out.append(&mut unused);
        }
    },
};

/// Whether a program of the repository reads env.yaml, or may: not every one of very many is looked into.
fn is_read_by_programs(facts: &Facts<'_>) -> bool {
    let Some(all) = listing::all(facts.tree) else { return true };
    let endings: [&[u8]; 4] = [b".py", b".ipynb", b".R", b".r"];
    let is_program = |name: &[u8], kind: &EntryKind| {
        matches!(kind, EntryKind::File { .. }) && endings.iter().any(|ending| name.ends_with(ending))
    };
    let programs: Vec<_> = all.iter().filter(|(path, kind)| is_program(path.file_name(), kind)).collect();
    let reads = |text: &[u8]| READERS.iter().any(|word| memchr::memmem::find(text, word).is_some());
    programs.len() > MOST
        || programs.iter().any(|(path, _)| match facts.tree.read(path, LIMIT) {
            Ok(Some(text)) => reads(&text[..]),
            Ok(None) => false,
            Err(_) => true,
        })
}

fn texts(node: &Node, out: &mut String) {
    match &node.value {
        Value::Str(text) if text.contains("{{") || text.contains("{%") => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Seq(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| texts(value, out)),
        _ => {}
    }
}
