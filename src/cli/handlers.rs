//! `soopervisor handlers`: check a server's file, and rehearse it against an event; nothing is done.

use std::path::Path;

use serde_json::{Value, json};

use super::args::{self, PlainFormat};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::validate::show_findings;
use super::{seam, serve, trigger};
use crate::diag::{has_errors, render};
use crate::report::Style;
use crate::server::event::Event;
use crate::server::file::{self, File};
use crate::server::handler::rehearse::{Rehearsal, Rehearsed, rehearse};
use crate::server::ledger;
use crate::server::perform::addressed;
use crate::store::database::DatabaseError;

/// A server's file has at most this many bytes, an event at most GitHub's payload.
const LARGEST: u64 = 32 * 1024 * 1024;

pub(super) fn execute(args: &args::Handlers, console: Console) -> Result<Exit, Failure> {
    match args {
        args::Handlers::Check(args) => check(args, console),
        args::Handlers::Test(args) => test(args, console),
        args::Handlers::Schema => {
            Console::answer(&format!("{:#}\n", file::schema::document()));
            Ok(Exit::Ok)
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::new(Exit::Usage, format!("cannot read `{}`", path.display())).why(why);
    let size = fs_err::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > LARGEST {
        return Err(failed(format!("it is larger than {LARGEST} bytes")));
    }
    fs_err::read(path).map_err(|error| failed(error.to_string()))
}

fn check(args: &args::HandlersCheck, console: Console) -> Result<Exit, Failure> {
    let bytes = read(&args.file)?;
    let (_, found) = file::parse(&args.file.to_string_lossy(), &bytes);
    match args.format {
        PlainFormat::Json => Console::answer(&format!("{}\n", render::json(&found))),
        PlainFormat::Human if found.is_empty() => Console::answer("everything is fine\n"),
        PlainFormat::Human => {
            let style = console.stdout();
            let style = render::Style { color: style.color, unicode: style.unicode, width: style.width };
            Console::answer(&render::human(&found, style));
        }
    }
    Ok(if has_errors(&found) { Exit::InvalidSpec } else { Exit::Ok })
}

fn test(args: &args::HandlersTest, console: Console) -> Result<Exit, Failure> {
    let (file, found) = file::parse(&args.file.to_string_lossy(), &read(&args.file)?);
    show_findings(&found, console);
    let Some(file) = file else { return Ok(Exit::InvalidSpec) };
    let event = match (&args.event, args.event_id) {
        (_, Some(id)) => recorded(id, args.database.as_deref(), &file)?,
        (Some(path), None) => written(path)?,
        (None, None) => return Err(Failure::new(Exit::Usage, "there is no event").help("name one: --event FILE.json")),
    };
    let rehearsed = chosen(&file, args.handler.as_deref(), &event)?;
    match args.format {
        PlainFormat::Json => {
            let document = json!({"schema": 1, "event": event.key(), "handlers": rehearsed});
            Console::answer(&format!("{document}\n"));
        }
        PlainFormat::Human => {
            Console::answer(&draw(&event, &rehearsed, &console.stdout()));
            if let Some(stranger) = stranger(&file, &event) {
                Console::answer(&stranger);
            }
        }
    }
    Ok(Exit::Ok)
}

/// The event that stands in a file.
fn written(path: &Path) -> Result<Event, Failure> {
    serde_json::from_slice(&read(path)?).map_err(|error| {
        Failure::new(Exit::Usage, format!("`{}` is not a recorded event", path.display()))
            .why(error.to_string())
            .help("examples/server/events/push.json is one")
    })
}

/// The event that the server's database has under a number, as handlers see it.
fn recorded(id: i64, asked: Option<&str>, file: &File) -> Result<Event, Failure> {
    let of_file = match (asked, &file.server.database) {
        (None, Some(reference)) => Some(serve::text_of(reference)?),
        _ => None,
    };
    let address = match of_file {
        Some(address) => address,
        None => trigger::database(asked)?,
    };
    seam::block_on(async {
        let database = trigger::open(&address).await?;
        let found = ledger::recorded(&database, id).await;
        database.close().await;
        let found = found.map(|event| addressed(file, event));
        found.map_err(|error| match error {
            ledger::LedgerError::Database(DatabaseError::Missing { .. }) => Failure::of(Exit::Usage, &error)
                .help("GET /api/events lists those that there are; they are kept for 90 days"),
            _ => trigger::unwritten(&error),
        })
    })
}

/// What the server says of an event of a repository that it does not watch: nothing at all.
fn stranger(file: &File, event: &Event) -> Option<String> {
    if file.repo(&event.repo).is_some() {
        return None;
    }
    let repo = clean(&event.repo);
    let help = if file.repos.is_empty() {
        "it has none".to_owned()
    } else {
        crate::spec::suggest::help(&repo, file.repos.iter().map(|repo| repo.name.as_str()))
    };
    Some(format!("but the file has no repository `{repo}`, so the server would hear nothing of this: {help}\n"))
}

fn chosen(file: &File, name: Option<&str>, event: &Event) -> Result<Vec<Rehearsal>, Failure> {
    let Some(name) = name else { return Ok(rehearse(&file.handlers, event)) };
    let Some(handler) = file.handlers.iter().find(|handler| handler.name == name) else {
        let names = file.handlers.iter().map(|handler| handler.name.as_str());
        let help = crate::spec::suggest::help(name, names);
        return Err(Failure::new(Exit::Usage, format!("there is no handler `{name}`")).help(help));
    };
    Ok(rehearse(std::slice::from_ref(handler), event))
}

/// Text of a file or an event on a terminal: no control character of it gets there.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn draw(event: &Event, rehearsed: &[Rehearsal], style: &Style) -> String {
    let paint = |code: &str, text: &str| {
        if style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let (yes, no) = if style.unicode { ("✓", "–") } else { ("+", "-") };
    let mut text = clean(&format!("{} of {}{}\n", event.kind, event.repo, place(event)));
    for one in rehearsed {
        let (code, mark) = if one.matches { ("32", yes) } else { ("2", no) };
        text += &format!("\n{} {}: {}\n", paint(code, mark), paint("1", &clean(&one.handler)), clean(&one.because));
        for reason in &one.reasons {
            let holds = if reason.holds { paint("32", "true ") } else { paint("31", "false") };
            text += &format!("    {holds} {}\n", clean(&reason.expression));
            for (name, value) in &reason.values {
                text += &format!("          {} is {}\n", clean(name), clean(&value.to_string()));
            }
        }
        for step in &one.steps {
            text += &drawn(step, &paint);
        }
    }
    let count = rehearsed.iter().filter(|one| one.matches).count();
    text += &format!("\n{count} of {} handlers would run; nothing was done\n", rehearsed.len());
    text
}

fn place(event: &Event) -> String {
    let pull = event.pull.as_ref().map(|pull| format!("#{}", pull.number));
    let place = pull.or_else(|| event.branch().or(event.tag()).map(str::to_owned));
    place.map(|place| format!(" ({place})")).unwrap_or_default()
}

fn drawn(step: &Rehearsed, paint: &dyn Fn(&str, &str) -> String) -> String {
    let on = if step.on.is_empty() { String::new() } else { format!(" {}", paint("2", &step.on.replace('_', " "))) };
    let mut text = format!("    {}{on} {}\n", paint("1", step.action.name()), named(step));
    if let Some(when) = &step.when {
        let holds = match step.holds {
            Some(true) => "holds",
            Some(false) => "does not hold: the step is skipped",
            None => "is decided when the steps before have run",
        };
        text += &format!("        when {} {}\n", clean(when), paint("2", holds));
    }
    if let Some(error) = &step.error {
        text += &format!("        {}\n", paint("31", &clean(error)));
    }
    for (name, value) in step.arguments.as_object().into_iter().flatten() {
        let shown = match value {
            Value::String(text) if text.contains('\n') => format!("\n{}", text.trim_end()),
            Value::String(text) => text.clone(),
            other => span(other).unwrap_or_else(|| other.to_string()),
        };
        text += &format!("        {name}: {}\n", clean(&shown).replace('\n', "\n            "));
    }
    text
}

/// A time as it is written in the file.
fn span(value: &Value) -> Option<String> {
    let (secs, nanos) = (value.get("secs")?.as_u64()?, value.get("nanos")?.as_u64()?);
    Some(match secs {
        _ if nanos > 0 || value.as_object()?.len() != 2 => return None,
        secs if secs > 0 && secs % 3600 == 0 => format!("{}h", secs / 3600),
        secs if secs > 0 && secs % 60 == 0 => format!("{}m", secs / 60),
        secs => format!("{secs}s"),
    })
}

fn named(step: &Rehearsed) -> String {
    if step.name == step.action.name() { String::new() } else { format!("as {}", step.name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_they_are_written() {
        let shown = |secs: u64| span(&json!({"secs": secs, "nanos": 0})).unwrap();
        assert_eq!([shown(1200), shown(7200), shown(90), shown(0)], ["20m", "2h", "90s", "0s"]);
        assert_eq!(span(&json!({"secs": 1, "nanos": 0, "more": 1})), None);
        assert_eq!(span(&json!("20m")), None);
    }

    #[test]
    fn an_event_of_a_repository_that_is_not_watched_is_told_as_such() {
        let file = file::parse("server.yaml", b"repos: [{url: 'https://h/acme/churn'}]").0.unwrap();
        let of = |repo: &str| {
            let at = "2026-11-28T12:00:00Z".parse().unwrap();
            let kind = crate::server::event::Kind::Push;
            stranger(&file, &Event::new(kind, repo, at, crate::server::event::Source::Person))
        };
        assert_eq!(of("acme/churn"), None);
        assert!(of("acme/chrun").unwrap().contains("did you mean `acme/churn`?"));
    }
}
