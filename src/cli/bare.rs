//! `soopervisor PATH …` means `soopervisor run PATH …`.
//!
//! Looks at the words only: when the first one that is no option is no verb, `run` is put in front. A folder that is
//! named like a verb is written `./runs`.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Command};

/// Puts `run` in where it was left out.
pub(super) fn with_verb(mut args: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let Some(run) = command.find_subcommand("run") else { return args };
    let mut words = args.iter().skip(1);
    let mut seen = false;
    let mut options_of_run = false;
    while let Some(word) = words.next() {
        seen = true;
        match classify(word, run, command) {
            Word::Plain if is_verb(word, command) => return args,
            // A mistyped verb with something to do it to: clap names the right one.
            Word::Plain
                if is_nearly_a_verb(word, command)
                    && words.next().is_some_and(|next| !next.as_encoded_bytes().starts_with(b"-")) =>
            {
                return args;
            }
            Word::Plain | Word::End => {
                args.insert(1, "run".into());
                return args;
            }
            // About the program itself, wherever it stands before a verb.
            Word::About => return args,
            Word::OptionWithValue => {
                options_of_run = true;
                words.next();
            }
            Word::Option => options_of_run = true,
        }
    }
    // Options without a path: `run` can say what is missing.
    if seen && options_of_run {
        args.insert(1, "run".into());
    }
    args
}

enum Word {
    Plain,
    End,
    About,
    Option,
    OptionWithValue,
}

fn is_verb(word: &OsStr, command: &Command) -> bool {
    word == "help" || word.to_str().is_some_and(|word| command.find_subcommand(word).is_some())
}

/// No path, and one or two letters away from a verb.
fn is_nearly_a_verb(word: &OsStr, command: &Command) -> bool {
    let Some(word) = word.to_str().filter(|word| !word.contains(['/', '.'])) else { return false };
    command.get_subcommands().any(|verb| strsim::damerau_levenshtein(word, verb.get_name()) <= 2 && word.len() > 3)
}

fn classify(word: &OsStr, run: &Command, top: &Command) -> Word {
    let bytes = word.as_encoded_bytes();
    match bytes {
        b"--" => return Word::End,
        b"--help" | b"-h" | b"--version" | b"-V" => return Word::About,
        b"-" => return Word::Plain,
        [b'-', ..] => {}
        _ => return Word::Plain,
    }
    let Some(long) = word.to_str().and_then(|word| word.strip_prefix("--")) else { return Word::Option };
    if long.contains('=') {
        return Word::Option;
    }
    let takes_value = run
        .get_arguments()
        .chain(top.get_arguments())
        .filter(|arg| arg.get_long() == Some(long))
        .any(|arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append));
    if takes_value { Word::OptionWithValue } else { Word::Option }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    fn verb(words: &str) -> String {
        let args = std::iter::once("soopervisor").chain(words.split_whitespace()).map(OsString::from).collect();
        let args = with_verb(args, &Cli::command());
        args[1..].iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_path_alone_is_run() {
        assert_eq!(verb("repo"), "run repo");
        assert_eq!(verb("./runs --storage x"), "run ./runs --storage x");
        assert_eq!(verb("--storage runs repo"), "run --storage runs repo");
        assert_eq!(verb("--storage=x -q repo --help"), "run --storage=x -q repo --help");
        assert_eq!(verb("--color always --secret show ."), "run --color always --secret show .");
        assert_eq!(verb("-- -odd-name"), "run -- -odd-name");
        assert_eq!(verb("--storage x"), "run --storage x");
    }

    #[test]
    fn a_mistyped_verb_before_a_path_is_left_for_clap_to_name_and_a_folder_named_like_one_is_run() {
        assert_eq!(verb("valdate repo"), "valdate repo");
        assert_eq!(verb("shop --storage out"), "run shop --storage out");
        assert_eq!(verb("shop"), "run shop");
    }

    #[test]
    fn verbs_stay_and_so_do_questions_about_the_program() {
        for words in ["runs", "-q runs", "--color never show latest", "help run", "--help", "-V", "run repo", ""] {
            assert_eq!(verb(words), words);
        }
    }
}
