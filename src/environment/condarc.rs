//! What conda is set to on this machine: the `.condarc` files that conda itself reads for a user, the nearest one last.
//!
//! Only settings that say where packages come from are taken; nothing is ever written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sources::expand;
use crate::diag::{Diagnostic, Severity};
use crate::spec::yaml::{self, Node, Value};

/// What the files say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) channel_alias: Option<String>,
    /// What `defaults` means.
    pub(super) default_channels: Vec<String>,
    /// What is taken where a file of a repository names no channel.
    pub(super) channels: Vec<String>,
    /// Names, and the server that each lies on.
    pub(super) custom_channels: BTreeMap<String, String>,
    pub(super) verify: Verify,
    /// What a user should know: a file that is not understood, ….
    pub(super) notes: Vec<String>,
}

/// `ssl_verify`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Verify {
    /// As usual.
    #[default]
    Usual,
    /// Certificates are not looked at.
    Never,
    /// A file of certificates to trust.
    Bundle(PathBuf),
}

/// The settings of this machine. `env` looks up a variable.
pub(super) fn settings(env: &dyn Fn(&str) -> Option<String>) -> Settings {
    let mut settings = Settings::default();
    for path in files(env) {
        match std::fs::read(&path) {
            Ok(bytes) => settings.add(&path.display().to_string(), &bytes, env),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {}
            Err(error) => settings.notes.push(format!("{} cannot be read and was left out: {error}", path.display())),
        }
    }
    settings
}

/// Where conda looks, the farthest first.
fn files(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let folder = |name: &str| env(name).filter(|folder| Path::new(folder).is_absolute()).map(PathBuf::from);
    // Without the variable, the installation is known by its program: `ROOT/bin/conda`.
    let by_program = || Some(folder("CONDA_EXE")?.parent()?.parent()?.to_owned());
    let home = folder("HOME");
    let mut files = Vec::new();
    let mut all_of = |folder: PathBuf| {
        files.extend([folder.join(".condarc"), folder.join("condarc")]);
        let entries = std::fs::read_dir(folder.join("condarc.d")).into_iter().flatten().flatten();
        let mut parts: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        parts.retain(|path| path.extension().is_some_and(|kind| kind == "yml" || kind == "yaml"));
        parts.sort();
        files.extend(parts);
    };
    all_of("/etc/conda".into());
    all_of("/var/lib/conda".into());
    let own =
        [folder("XDG_CONFIG_HOME").map(|own| own.join("conda")), home.as_ref().map(|home| home.join(".config/conda"))];
    let near = own.into_iter().chain([home.as_ref().map(|home| home.join(".conda"))]).flatten();
    folder("CONDA_ROOT").or_else(by_program).into_iter().chain(near).for_each(&mut all_of);
    let prefix = folder("CONDA_PREFIX").map(|prefix| prefix.join(".condarc"));
    files.extend(home.map(|home| home.join(".condarc")));
    files.extend(prefix);
    files.extend(env("CONDARC").filter(|path| !path.is_empty()).map(PathBuf::from));
    files
}

impl Settings {
    /// Lays one file over what the ones before it said.
    fn add(&mut self, name: &str, bytes: &[u8], env: &dyn Fn(&str) -> Option<String>) {
        let read = yaml::decode(name, bytes).map_err(|problem| vec![*problem]).and_then(|source| {
            let (node, problems) = yaml::parse(&source);
            if problems.iter().any(|problem| problem.severity == Severity::Error) { Err(problems) } else { Ok(node) }
        });
        let node = match read {
            Ok(Some(node)) => node,
            Ok(None) => return,
            Err(problems) => return self.notes.extend(problems.iter().take(1).map(|found| left_out(name, found))),
        };
        // A variable that is not set stays as it is written; the channel then says what is wrong with it.
        let text = |node: &Node| node.as_str().map(|text| expand(text, env).unwrap_or_else(|_| text.to_owned()));
        if let Some(alias) = node.get("channel_alias").and_then(text) {
            self.channel_alias = Some(alias);
        }
        if let Some(channels) = node.get("default_channels") {
            let items = channels.as_seq().unwrap_or(std::slice::from_ref(channels));
            self.default_channels = items.iter().filter_map(text).collect();
        }
        if let Some(channels) = node.get("channels") {
            // conda puts the lists one behind the other, the nearest one first.
            let items = channels.as_seq().unwrap_or(std::slice::from_ref(channels));
            let farther = std::mem::take(&mut self.channels);
            self.channels = items.iter().filter_map(text).collect();
            self.channels.extend(farther);
        }
        for (channel, server) in node.get("custom_channels").and_then(Node::as_map).into_iter().flatten() {
            if let (Some(channel), Some(server)) = (channel.scalar_text(), text(server)) {
                self.custom_channels.insert(channel.trim_matches('/').to_owned(), server);
            }
        }
        match node.get("ssl_verify").map(|verify| (&verify.value, text(verify))) {
            Some((Value::Bool(false), _)) => self.verify = Verify::Never,
            Some((Value::Bool(true), _)) => self.verify = Verify::Usual,
            Some((_, Some(word))) => {
                self.verify = match word.as_str() {
                    "truststore" | "<truststore>" | "" => Verify::Usual,
                    path => Verify::Bundle(path.into()),
                };
            }
            _ => {}
        }
    }
}

/// Only the place: the line itself may hold a token.
fn left_out(name: &str, found: &Diagnostic) -> String {
    let line = found.line_column().map(|(line, _)| format!(" (line {line})")).unwrap_or_default();
    format!("{name} is not understood and was left out{line}: {}", found.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Settings {
        let env = |name: &str| (name == "TEAM_TOKEN").then(|| "s3cret".to_owned());
        let mut settings = Settings::default();
        for text in texts {
            settings.add("condarc", text.as_bytes(), &env);
        }
        settings
    }

    #[test]
    fn a_nearer_file_wins_and_mappings_are_merged() {
        let found = read(&[
            "channel_alias: https://far.example.com\ncustom_channels: {team: 'https://a.example.com', other: 'https://b'}\n\
             default_channels: [https://repo.example.com/main]\nssl_verify: false\nauto_update_conda: no\n",
            "\u{feff}channel_alias: https://near.example.com/t/${TEAM_TOKEN}/\ncustom_channels:\n  team/: https://c.example.com\n\
             ssl_verify: /etc/ssl/corp.pem\n",
        ]);
        assert_eq!(found.channel_alias.as_deref(), Some("https://near.example.com/t/s3cret/"));
        assert_eq!(found.custom_channels["team"], "https://c.example.com");
        assert_eq!(found.custom_channels["other"], "https://b");
        assert_eq!(found.default_channels, ["https://repo.example.com/main"]);
        assert_eq!(found.verify, Verify::Bundle("/etc/ssl/corp.pem".into()));
        assert!(found.notes.is_empty(), "{:?}", found.notes);
    }

    #[test]
    fn every_place_that_conda_reads_is_read_and_lists_of_channels_lie_behind_each_other() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("root/condarc", "channels: [root]\n");
        write("root/bin/conda", "");
        write("own/conda/condarc.d/20-b.yml", "channels: [second]\n");
        write("own/conda/condarc.d/10-a.yaml", "channels: [first, defaults]\n");
        write("own/conda/condarc.d/notes.txt", "channels: [none]\n");
        write(".conda/condarc", "channels: [of-user]\n");
        write("prefix/.condarc", "channels: nearest\n");
        let env = |name: &str| {
            let below = |folder: &str| Some(home.path().join(folder).display().to_string());
            match name {
                "HOME" => below(""),
                "XDG_CONFIG_HOME" => below("own"),
                "CONDA_EXE" => below("root/bin/conda"),
                "CONDA_PREFIX" => below("prefix"),
                _ => None,
            }
        };
        let found = settings(&env);
        assert_eq!(found.channels, ["nearest", "of-user", "second", "first", "defaults", "root"], "{:?}", found.notes);
    }

    #[test]
    fn conda_s_words_for_certificates_are_understood() {
        for (text, verify) in [
            ("ssl_verify: false", Verify::Never),
            ("ssl_verify: no", Verify::Never),
            ("ssl_verify: true", Verify::Usual),
            ("ssl_verify: <truststore>", Verify::Usual),
            ("ssl_verify: truststore", Verify::Usual),
            ("ssl_verify:", Verify::Usual),
        ] {
            assert_eq!(read(&[text]).verify, verify, "{text}");
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_out_and_its_text_is_not_repeated() {
        let found = read(&["channel_alias: [\nhttps://me:hunter2@h\n", "- a\n- b\n", "channel_alias: https://kept\n"]);
        assert_eq!(found.channel_alias.as_deref(), Some("https://kept"));
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        assert!(found.notes[0].contains("condarc") && !found.notes[0].contains("hunter2"), "{:?}", found.notes);
    }

    #[test]
    fn looks_where_conda_looks() {
        let env = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "CONDARC" => Some("/srv/condarc".to_owned()),
            _ => None,
        };
        let found = files(&env);
        let own = [
            "/home/me/.config/conda/.condarc",
            "/home/me/.config/conda/condarc",
            "/home/me/.conda/.condarc",
            "/home/me/.conda/condarc",
            "/home/me/.condarc",
            "/srv/condarc",
        ];
        assert_eq!(found[found.len() - own.len()..], own.map(PathBuf::from));
        assert_eq!(found[0], PathBuf::from("/etc/conda/.condarc"));
    }
}
