//! What pip is set to on this machine: the configuration files that pip itself reads, in its order.
//!
//! Only settings that say where packages come from are taken; nothing is ever written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Settings by name, in pip's spelling with dashes: `index-url`, `extra-index-url`, ….
pub(super) type Settings = BTreeMap<String, String>;

/// The settings of this machine. `env` looks up a variable.
pub(super) fn settings(env: &dyn Fn(&str) -> Option<String>) -> Settings {
    let texts = files(env).into_iter().filter_map(|path| {
        let text = std::fs::read_to_string(&path);
        text.inspect_err(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "pip's configuration cannot be read");
            }
        })
        .ok()
    });
    merged(texts)
}

/// Where pip looks, the farthest first. `PIP_CONFIG_FILE=/dev/null` turns all of them off.
fn files(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let named = env("PIP_CONFIG_FILE").filter(|path| !path.is_empty());
    if named.as_deref() == Some("/dev/null") {
        return Vec::new();
    }
    let mut files: Vec<PathBuf> = vec!["/etc/pip.conf".into()];
    let home = env("HOME").filter(|home| Path::new(home).is_absolute()).map(PathBuf::from);
    files.extend(home.as_ref().map(|home| home.join(".pip/pip.conf")));
    let own = env("XDG_CONFIG_HOME").filter(|folder| Path::new(folder).is_absolute()).map(PathBuf::from);
    let own = own.or_else(|| home.map(|home| home.join(".config")));
    files.extend(own.map(|folder| folder.join("pip/pip.conf")));
    files.extend(named.map(PathBuf::from));
    files
}

/// A later file wins over an earlier one, and `[install]` over `[global]` wherever it stands.
fn merged(texts: impl Iterator<Item = String>) -> Settings {
    let (mut global, mut install) = (Settings::new(), Settings::new());
    for text in texts {
        for (section, name, value) in entries(&text) {
            match section.as_str() {
                "global" => global.insert(name, value),
                "install" => install.insert(name, value),
                _ => None,
            };
        }
    }
    global.extend(install);
    global.retain(|_, value| !value.is_empty());
    global
}

/// Section, name and value of every line. An indented line goes on with the value above it.
fn entries(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found: Vec<(String, String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) && open {
            if let Some((_, _, value)) = found.last_mut() {
                value.push(' ');
                value.push_str(bare);
            }
        } else if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
            open = false;
        } else if let Some(at) = bare.find(['=', ':']) {
            let name = bare[..at].trim().trim_start_matches("--").to_lowercase().replace('_', "-");
            found.push((section.clone(), name, bare[at + 1..].trim().to_owned()));
            open = true;
        } else {
            open = false;
        }
    }
    for (_, _, value) in &mut found {
        *value = value.trim().to_owned();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_pip_reads() {
        let machine = "[global]\nindex-url = https://far.example.com/simple\ntimeout: 60\n\n[freeze]\ntimeout = 10\n";
        let user = "# mine\n[install]\nextra_index_url =\n    https://a.example.com/simple\n    ; not this\n    \
                    https://b.example.com/simple?x=1#y\n[global]\nINDEX-URL=https://near.example.com/simple\ncert =\n\
                    trusted-host = one.example.com two.example.com\nextra-index-url = https://lost.example.com\n";
        let found = merged([machine, user].map(str::to_owned).into_iter());
        let expected = [
            ("extra-index-url", "https://a.example.com/simple https://b.example.com/simple?x=1#y"),
            ("index-url", "https://near.example.com/simple"),
            ("timeout", "60"),
            ("trusted-host", "one.example.com two.example.com"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn looks_where_pip_looks() {
        let env = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "PIP_CONFIG_FILE" => Some("/srv/pip.conf".to_owned()),
            _ => None,
        };
        let paths = ["/etc/pip.conf", "/home/me/.pip/pip.conf", "/home/me/.config/pip/pip.conf", "/srv/pip.conf"];
        assert_eq!(files(&env), paths.map(PathBuf::from));
        let off = |name: &str| (name == "PIP_CONFIG_FILE").then(|| "/dev/null".to_owned());
        assert_eq!(files(&off), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_file_that_makes_no_sense_is_no_settings() {
        assert_eq!(merged(["  index-url = x\nno section\n= \n[".to_owned()].into_iter()), Settings::new());
    }
}
