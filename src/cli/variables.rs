//! Variables that stand for options: an empty one is as good as none, and one that is nearly a setting's name is told.
//!
//! Storages bring names of their own (`SOOPERVISOR_<REMOTE>_…`), so that a name that is like no other one is left alone.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::blame::options;

const PREFIX: &str = "SOOPERVISOR_";

/// Settings that no option stands for.
const MORE: [&str; 6] = ["HOME", "LOG", "UV", "CA_BUNDLE", "CONDA_MIRRORS", "DATABASE"];

/// The command as if variables that are set to nothing were not set.
pub(super) fn without_empty(command: Command, value: &dyn Fn(&OsStr) -> Option<OsString>) -> Command {
    let command = command.mut_args(|arg| {
        let empty = arg.get_env().and_then(value).is_some_and(|value| value.is_empty());
        if empty { arg.env(None::<&'static str>) } else { arg }
    });
    command.mut_subcommands(|verb| without_empty(verb, value))
}

/// A line for each variable that was meant to be a setting.
pub(super) fn misspelt(command: &Command, names: impl Iterator<Item = OsString>) -> Vec<String> {
    let of_options = options(command).filter_map(|arg| arg.get_env()?.to_str()?.strip_prefix(PREFIX));
    let known: Vec<&str> = of_options.chain(MORE).collect();
    let mut told: Vec<String> = names.filter_map(|name| hint(name.to_str()?, &known)).collect();
    told.sort();
    told
}

fn hint(name: &str, known: &[&str]) -> Option<String> {
    let own = name.strip_prefix(PREFIX)?;
    let plain = own.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain || known.contains(&own) {
        return None;
    }
    let slips = |known: &str| if known.len() < 6 { 1 } else { 2 };
    let distance = |known: &str| strsim::osa_distance(own, known);
    let near = known.iter().filter(|known| distance(known) <= slips(known)).min_by_key(|known| distance(known))?;
    Some(format!("warning: the variable {name} sets nothing; did you mean {PREFIX}{near}?\n"))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
        let verb = || Command::new("run").arg(Arg::new("network").long("network").env("SOOPERVISOR_NETWORK"));
        let env = |value: Option<&str>| {
            let value = value.map(OsString::from);
            let command = without_empty(Command::new("x").subcommand(verb()), &|_| value.clone());
            let run = command.find_subcommand("run").unwrap().clone();
            run.get_arguments().any(|arg| arg.get_env().is_some())
        };
        assert!(!env(Some("")) && env(Some("none")) && env(None));
    }

    #[test]
    fn a_name_that_is_nearly_a_setting_is_told_and_a_storages_own_is_not() {
        let told = |name: &str| misspelt(&Cli::command(), [OsString::from(name)].into_iter());
        for (name, meant) in [
            ("SOOPERVISOR_MEMRY", "SOOPERVISOR_MEMORY"),
            ("SOOPERVISOR_STORGE", "SOOPERVISOR_STORAGE"),
            ("SOOPERVISOR_CPU", "SOOPERVISOR_CPUS"),
            ("SOOPERVISOR_HOEM", "SOOPERVISOR_HOME"),
        ] {
            let line = format!("warning: the variable {name} sets nothing; did you mean {meant}?\n");
            assert_eq!(told(name), [line]);
        }
        for name in [
            "SOOPERVISOR_MEMORY",
            "SOOPERVISOR_HOME",
            "SOOPERVISOR_TEAM_BOX_CLIENT_ID",
            "SOOPERVISOR_LAB_TYPE",
            "SOOPERVISOR_",
            "SOOPERVISOR_MEMORY\u{1b}",
            "MEMRY",
        ] {
            assert_eq!(told(name), [] as [&str; 0], "{name}");
        }
    }
}
