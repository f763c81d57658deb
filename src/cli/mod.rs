//! The command line: arguments in, exit code out; one file per verb.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

mod action;
pub mod args;
mod auth;
mod bare;
mod blame;
mod columns;
mod console;
mod desk;
mod diff;
mod doctor;
mod documents;
mod drive;
#[cfg(feature = "server")]
mod driver;
mod dry_run;
mod env;
mod exit;
mod failure;
#[cfg(feature = "server")]
mod handlers;
mod history;
mod init;
mod lines;
mod logs;
mod parse;
mod prune;
mod request;
mod run;
mod script;
mod seam;
#[cfg(feature = "server")]
mod serve;
mod setup;
mod signals;
mod stored;
#[cfg(feature = "server")]
mod token;
#[cfg(feature = "server")]
mod trigger;
mod validate;
mod variables;
#[cfg(feature = "server")]
mod worker;

pub use exit::Exit;
pub use failure::Failure;

use args::{Cli, FindingFormat, Format, Verb};
use console::Console;

/// Runs the program.
pub fn main() -> ExitCode {
    let command = variables::without_empty(command(), &|name| std::env::var_os(name));
    let words = bare::with_verb(std::env::args_os().collect(), &command);
    let command = command.color(console::choice(&words));
    let parsed = command.try_get_matches_from(&words).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &words),
    };
    listen_to_ourselves(&cli);
    let console = Console::new(&cli.global);
    warn_of_variables(&cli.verb);
    let ended = dispatch(&cli.verb, console);
    ended.unwrap_or_else(|failure| tell(&failure, &cli.verb, console)).into()
}

/// What the program says about itself goes to stderr; `SOOPERVISOR_LOG=debug` says more. Libraries stay quiet. A server
/// and its workers say what happens: each event, each run, and what handlers log.
fn listen_to_ourselves(cli: &Cli) {
    let (asked, more) = (log_format(&cli.verb), cli.global.verbose > 0);
    let usual = match (asked, cli.global.quiet) {
        (Some(_), false) if more => "off,soopervisor=info,soopervisor::server=debug",
        (Some(_), false) => "off,soopervisor=warn,soopervisor::server=info",
        _ => "off,soopervisor=warn",
    };
    let filter = std::env::var("SOOPERVISOR_LOG").unwrap_or_else(|_| usual.to_owned());
    lines::begin(asked, more, &filter);
}

/// How the log is written, where the program has one.
#[cfg(feature = "server")]
fn log_format(verb: &Verb) -> Option<args::LogFormat> {
    match verb {
        Verb::Serve(args) => Some(args.log_format),
        Verb::Worker(args) => Some(args.log_format),
        _ => None,
    }
}

#[cfg(not(feature = "server"))]
fn log_format(_: &Verb) -> Option<args::LogFormat> {
    None
}

/// A setting that is misspelt would be ignored in silence.
fn warn_of_variables(verb: &Verb) {
    if matches!(verb, Verb::Completions(_) | Verb::Man(_)) || is_ours(verb) {
        return;
    }
    for line in variables::misspelt(&command(), std::env::vars_os().map(|(name, _)| name)) {
        Console::note(&line);
    }
}

/// Whether it is a process that the server starts: the server itself has said it.
#[cfg(feature = "server")]
fn is_ours(verb: &Verb) -> bool {
    matches!(verb, Verb::Driver(_))
}

#[cfg(not(feature = "server"))]
fn is_ours(_: &Verb) -> bool {
    false
}

/// The whole command, for parsing, completions and manual pages.
fn command() -> clap::Command {
    Cli::command()
}

fn dispatch(verb: &Verb, console: Console) -> Result<Exit, Failure> {
    match verb {
        Verb::Run(args) => run::execute(args, console),
        Verb::Validate(args) => validate::execute(args, console),
        Verb::Script(args) => script::execute(args, console),
        Verb::Init(args) => init::execute(args),
        Verb::Doctor(args) => doctor::execute(args, console),
        Verb::Runs(args) => history::runs(args),
        Verb::Show(args) => history::show(args, console),
        Verb::Logs(args) => logs::execute(args, &console.stdout()),
        Verb::Download(args) => stored::download(args),
        Verb::Verify(args) => stored::verify(args),
        Verb::Diff(args) => diff::execute(args, console),
        Verb::Prune(args) => prune::execute(args, console),
        Verb::Auth(args) => auth::execute(args),
        Verb::Env(args) => env::execute(args, console),
        #[cfg(feature = "server")]
        Verb::Handlers(args) => handlers::execute(args, console),
        Verb::Channel(args) => setup::channel(args),
        Verb::Image(args) => setup::image(args),
        #[cfg(feature = "server")]
        Verb::Serve(args) => serve::execute(args),
        #[cfg(feature = "server")]
        Verb::Worker(args) => worker::execute(args),
        #[cfg(feature = "server")]
        Verb::Driver(args) => driver::execute(args),
        #[cfg(feature = "server")]
        Verb::Trigger(args) => trigger::execute(args),
        #[cfg(feature = "server")]
        Verb::Token(verb) => token::execute(verb),
        #[cfg(feature = "server")]
        Verb::Admin(verb) => token::admin(verb),
        #[cfg(not(feature = "server"))]
        Verb::Absent(_) => Err(Failure::new(Exit::Usage, "the server is not part of this build").help(
            "build the program with it: `cargo build --release --features server`, or without `--no-default-features`",
        )),
        Verb::Action => action::execute(console),
        Verb::Completions(args) => Ok(documents::completions(args)),
        Verb::Man(args) => documents::man(args),
    }
}

/// Help and versions are answers; everything else that clap has to say is wrong usage.
fn refuse(error: &clap::Error, words: &[OsString]) -> ExitCode {
    // A closed pipe is no reason to fail.
    let _ = error.print();
    for note in [blame::variable(error, &command(), words), blame::earlier(words)].into_iter().flatten() {
        Console::note(&note);
    }
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok.into(),
        _ => Exit::Usage.into(),
    }
}

fn tell(failure: &Failure, verb: &Verb, console: Console) -> Exit {
    let json = match verb {
        Verb::Run(args) => args.format == Format::Json,
        Verb::Validate(args) => args.format == FindingFormat::Json,
        Verb::Runs(args) => args.json,
        Verb::Show(args) => args.json,
        Verb::Doctor(args) => args.json,
        Verb::Diff(args) => args.format == args::DiffFormat::Json,
        Verb::Prune(args) => args.json,
        Verb::Auth(args::Auth::Status(args)) => args.json,
        Verb::Env(args::Env::List(args)) => args.json,
        #[cfg(feature = "server")]
        Verb::Handlers(args::Handlers::Check(args)) => args.format == args::PlainFormat::Json,
        #[cfg(feature = "server")]
        Verb::Handlers(args::Handlers::Test(args)) => args.format == args::PlainFormat::Json,
        _ => false,
    };
    if json {
        Console::answer(&format!("{}\n", failure.json()));
    } else if lines::are_objects() {
        Console::as_it_is(&lines::failure(failure));
    } else if !matches!(verb, Verb::Action) {
        // The Action said it as a command; the runner would obey a line of it that looks like another one.
        Console::note(&failure.human(console.stderr().color));
    }
    failure.exit
}
