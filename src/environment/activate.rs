//! The bash text that activates a prefix inside a container: rattler's, with host paths turned into guest paths.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rattler_conda_types::Subdir;
use rattler_shell::activation::{ActivationError, ActivationVariables, Activator, PathModificationBehavior};
use rattler_shell::shell;

use super::pip::quoted;

/// The text. `variables` are exported as they are: nothing in them is expanded.
pub(super) fn text(
    host: &Path,
    guest: &str,
    variables: &BTreeMap<String, String>,
    platform: Subdir,
) -> Result<String, ActivationError> {
    let mut activator = Activator::from_path(host, shell::Bash::default(), platform)?;
    let inside = |path: &PathBuf| path.strip_prefix(host).map_or_else(|_| path.clone(), |p| Path::new(guest).join(p));
    activator.target_prefix = PathBuf::from(guest);
    activator.paths = activator.paths.iter().map(inside).collect();
    activator.activation_scripts = activator.activation_scripts.iter().map(inside).collect();
    activator.deactivation_scripts.clear();
    let from_nothing = ActivationVariables {
        path_modification_behavior: PathModificationBehavior::Prepend,
        ..ActivationVariables::default()
    };
    let body = activator.activation(from_nothing)?.script.contents()?;
    let mut text = String::from(
        "# Activates the environment. Scripts of conda packages are not written for `set -eu`.\n\
         soopervisor_shell_options=$-\nset +eu\n",
    );
    for (name, value) in variables {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    }
    let _ = writeln!(text, "export CONDA_DEFAULT_ENV={}", quoted(guest));
    let _ = writeln!(text, "export SOOPERVISOR_CONSTRAINTS={}", quoted(&format!("{guest}/{CONSTRAINTS}")));
    text.push_str(body.trim_start());
    text.push_str(
        "\ncase $soopervisor_shell_options in *u*) set -u ;; esac\n\
         case $soopervisor_shell_options in *e*) set -e ;; esac\nunset soopervisor_shell_options\n",
    );
    Ok(text)
}

/// Inside the prefix: every installed Python distribution with its version, for installs on top of it.
pub(super) const CONSTRAINTS: &str = "conda-meta/soopervisor-constraints.txt";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn activates_in_bash_with_guest_paths_and_literal_variables() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("host");
        let guest = folder.path().join("guest");
        let scripts = host.join("etc/conda/activate.d");
        std::fs::create_dir_all(&scripts).unwrap();
        std::fs::create_dir_all(host.join("conda-meta")).unwrap();
        std::fs::write(scripts.join("a.sh"), "export FROM_SCRIPT=\"$PLAIN$UNSET_BY_ALL\"; false\n").unwrap();
        let variables = BTreeMap::from([
            ("PLAIN".to_owned(), "it's $(touch /nowhere) `x` \"q\"\n2".to_owned()),
            ("lower".to_owned(), "case kept".to_owned()),
        ]);
        let text = text(&host, guest.to_str().unwrap(), &variables, Subdir::Linux64).unwrap();
        assert!(!text.contains(host.to_str().unwrap()), "{text}");
        std::os::unix::fs::symlink(&host, &guest).unwrap();
        let file = folder.path().join("activate.sh");
        std::fs::write(&file, text).unwrap();
        let script = format!(
            "set -eu; . {}; printf '%s|' \"$FROM_SCRIPT\" \"$lower\" \"$CONDA_PREFIX\" \"${{PATH%%:*}}\" \"$-\"",
            file.display()
        );
        let out = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let out = String::from_utf8(out.stdout).unwrap();
        let parts: Vec<&str> = out.split('|').collect();
        assert_eq!(parts[0], variables["PLAIN"]);
        assert_eq!(parts[1], "case kept");
        assert_eq!(parts[2], guest.to_str().unwrap());
        assert_eq!(parts[3], guest.join("bin").to_str().unwrap());
        assert!(parts[4].contains('e') && parts[4].contains('u'), "{}", parts[4]);
    }
}
