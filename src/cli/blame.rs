//! Which variable a refused value came from. clap names the option that the variable stands for, also where nobody typed
//! that option.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// A line that names the variable, where the refused value was not typed.
pub(super) fn variable(error: &Error, command: &Command, words: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    // `--memory <SIZE>`
    let option = shown.split([' ', '=', '[']).next()?;
    let long = option.strip_prefix("--")?;
    let arg = options(command).find(|arg| arg.get_long() == Some(long) && arg.get_env().is_some())?;
    if words.iter().any(|word| is_typed(word, option)) {
        return None;
    }
    let name = arg.get_env()?.to_string_lossy();
    std::env::var_os(&*name)?;
    Some(format!(
        "\nnote: nobody typed `{option}`: its value comes from the variable {name}; set another, or `unset {name}`\n"
    ))
}

/// Verbs of earlier Soopervisors, which exported pipelines or ran them without a word.
const EARLIER: [&str; 5] = ["add", "build", "export", "export-airflow", "upload"];
/// What there is in their place.
pub(super) const NOW: &str = "soopervisor PATH --storage WHERE runs the pipeline in PATH and publishes what it made";

/// Whether a word that is no verb was one once.
pub(super) fn is_earlier(word: &str) -> bool {
    EARLIER.contains(&word)
}

/// A line for who types a verb of earlier Soopervisors with what came behind it.
pub(super) fn earlier(words: &[OsString]) -> Option<String> {
    // Behind the program's own name, and the verb that a bare PATH stands for.
    let first = words.iter().skip(1).find(|word| *word != "run")?;
    // Who has a folder of that name means it.
    let verb = first.to_str().filter(|word| is_earlier(word) && !std::path::Path::new(word).exists())?;
    Some(format!("\nnote: `{verb}` is a verb of earlier Soopervisors; {NOW}\n"))
}

/// The options of a command and of all its verbs.
pub(super) fn options(command: &Command) -> Box<dyn Iterator<Item = &Arg> + '_> {
    Box::new(command.get_arguments().chain(command.get_subcommands().flat_map(options)))
}

fn is_typed(word: &OsString, option: &str) -> bool {
    let word = word.to_string_lossy();
    word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}
