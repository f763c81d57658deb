//! Fills `templates/script/run.sh` from a plan.

use askama::Template;

use super::{ScriptError, guest, quote};
use crate::plan::{Mode, RunPlan, plain_folder};

#[derive(Template)]
#[template(path = "script/run.sh")]
struct Run<'a> {
    project: &'a str,
    revision: String,
    mode: &'a str,
    split_streams: bool,
    work: &'a str,
    activate: &'a str,
    home: &'a str,
    uv: &'a str,
    constraints: &'a str,
    secret_names: &'a [String],
    /// Quoted already: a path may be other than UTF-8.
    folder: String,
    env: Vec<(&'a str, &'a str)>,
    wheels: &'a str,
    installs: Vec<Install<'a>>,
    entry_point: &'a str,
    sample: bool,
    build_args: &'a [String],
}

/// One line that installs from the repository.
struct Install<'a> {
    words: Vec<&'a str>,
    /// Its number, where a wheel may fulfil it.
    wheel: Option<String>,
}

/// The script for a plan: one bash file that a person can read and run.
///
/// # Errors
/// When a value of the plan cannot be handed to any program, or a name cannot be exported.
pub fn render(plan: &RunPlan) -> Result<String, ScriptError> {
    refuse(plan)?;
    let folder = quote::word(plan.pipeline_dir.as_bytes());
    let folder = folder.ok_or_else(|| ScriptError::Nul { what: "the pipeline's folder".to_owned() })?;
    let run = Run {
        project: plan.project.as_str(),
        revision: plan.revision.to_string(),
        mode: match plan.mode {
            Mode::Sample => "sample",
            Mode::Full => "full",
        },
        split_streams: plan.split_streams,
        work: guest::WORK,
        activate: guest::ACTIVATE,
        home: guest::HOME,
        uv: guest::UV,
        constraints: guest::CONSTRAINTS,
        secret_names: &plan.secret_names,
        folder: if plan.pipeline_dir.is_root() { String::new() } else { folder },
        env: plan.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        wheels: guest::WHEELS,
        installs: plan.local_installs.iter().enumerate().map(|(number, line)| install(number, line)).collect(),
        entry_point: &plan.entry_point,
        sample: plan.sample_flag,
        build_args: &plan.build_args,
    };
    let mut text = run.render().map_err(|e| ScriptError::Template(e.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// `plan` refuses these with a place to look at; a plan that was made otherwise must not get further than here.
fn refuse(plan: &RunPlan) -> Result<(), ScriptError> {
    for name in plan.env.keys().chain(&plan.secret_names) {
        if !quote::is_variable_name(name) {
            return Err(ScriptError::VariableName { name: name.clone() });
        }
    }
    let nul = |what: String, value: &str| if value.contains('\0') { Err(ScriptError::Nul { what }) } else { Ok(()) };
    nul("the entry point".to_owned(), &plan.entry_point)?;
    plan.env.iter().try_for_each(|(name, value)| nul(format!("the variable `{name}`"), value))?;
    plan.build_args.iter().try_for_each(|arg| nul(format!("the argument {arg:?}"), arg))?;
    plan.local_installs.iter().try_for_each(|line| nul(format!("the `pip:` line {line:?}"), line))
}

fn install(number: usize, line: &str) -> Install<'_> {
    Install { words: install_words(line), wheel: plain_folder(line).map(|_| number.to_string()) }
}

/// A requirement line as arguments: `-e ./my package` is two words, anything else is one.
fn install_words(line: &str) -> Vec<&str> {
    let line = line.trim();
    for option in ["-e", "--editable"] {
        if let Some(rest) = line.strip_prefix(option)
            && let Some(path) = rest.strip_prefix([' ', '\t', '='])
        {
            return vec!["-e", path.trim_start()];
        }
    }
    vec![line]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_editable_lines_into_option_and_path() {
        assert_eq!(install_words("-e ."), ["-e", "."]);
        assert_eq!(install_words("--editable=./my pkg[all]"), ["-e", "./my pkg[all]"]);
        assert_eq!(install_words(" . "), ["."]);
        assert_eq!(install_words("-extra"), ["-extra"]);
        assert_eq!(install_words("./-e x"), ["./-e x"]);
    }
}
