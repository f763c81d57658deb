//! `soopervisor validate`: every finding about a folder's files, in the form asked for.

use super::args::{self, FindingFormat};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{run, seam};
use crate::diag::{Diagnostic, has_errors, render};

pub(super) fn execute(args: &args::Validate, console: Console) -> Result<Exit, Failure> {
    if args.list_rules {
        for (code, about) in seam::rules() {
            Console::answer(&format!("{code:<40} {about}\n"));
        }
        return Ok(Exit::Ok);
    }
    run::check_path(&args.path)?;
    let (findings, no_commit) = seam::validate(&args.path, &args.files)?;
    match args.format {
        FindingFormat::Human if findings.is_empty() => Console::answer("everything is fine\n"),
        FindingFormat::Human => Console::answer(&draw(&findings, console, console.stdout().color)),
        FindingFormat::Json => Console::answer(&format!("{}\n", render::json(&findings))),
        FindingFormat::Github => Console::answer(&render::github(&findings)),
    }
    if let (Some(none), FindingFormat::Human) = (&no_commit, args.format) {
        let help = none.help.iter().map(|help| format!("help: {help}\n"));
        Console::note(&format!("note: {}\n{}", none.what, help.collect::<String>()));
    }
    Ok(if has_errors(&findings) { Exit::InvalidSpec } else { Exit::Ok })
}

/// Findings that come beside an answer go to stderr.
pub(super) fn show_findings(findings: &[Diagnostic], console: Console) {
    if !findings.is_empty() {
        Console::note(&draw(findings, console, console.stderr().color));
    }
}

fn draw(findings: &[Diagnostic], console: Console, color: bool) -> String {
    let style = console.stdout();
    render::human(findings, render::Style { color, unicode: style.unicode, width: style.width })
}
