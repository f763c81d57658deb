//! `soopervisor env`: what is kept of environments, one file for each thing to do with them.

use super::args::Env;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use crate::environment::Unreadable;
use crate::store::Home;

mod list;
mod prune;
mod why;

pub(super) fn execute(args: &Env, console: Console) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    match args {
        Env::List(args) => list::execute(args, &home),
        Env::Prune(args) => prune::execute(args, &home, console),
        Env::Why(args) => why::execute(args, &home, console),
    }
}

/// What is said of key files that say nothing: what they may name stays, and so does every leftover.
fn unreadable(files: &[Unreadable]) -> String {
    files.iter().fold(String::new(), |text, Unreadable { path, reason }| {
        let path = path.display();
        text + &format!(
            "warning: {path} cannot be read and was passed over: {reason}\n  while it is there, leftovers of dead builds \
             stay; remove it: rm '{path}'\n"
        )
    })
}

/// The part of a key that people see and type.
fn short(key: &str) -> &str {
    key.get(..16).unwrap_or(key)
}
