//! What the program says of itself, on stderr, a line each: text for people, or JSON for programs. A line begins with
//! what it is about (`run 12 of churn`), whichever part of the program says it.
//!
//! Names of our own modules are told only to who asks for them. No value breaks a line, or reaches a terminal as more than
//! text.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use rustix::fs::fstat;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::args::LogFormat;
use super::failure::Failure;

/// Set where systemd's journal reads a stream: its device and inode.
const JOURNAL: &str = "JOURNAL_STREAM";
/// Fields that say why.
const CAUSES: [&str; 3] = ["error", "fault", "why"];
/// Digits of a commit.
const COMMIT: usize = 10;

/// Whether all that is said on stderr is JSON; set once, at the start.
static OBJECTS: AtomicBool = AtomicBool::new(false);

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text, for who watches.
    Bare,
    /// Text after its time.
    Timed,
    /// Text after its priority; the journal has the time.
    Journal,
    /// An object.
    Object,
}

impl Form {
    /// `asked` is a server's; all others are watched by who started them.
    fn of(asked: Option<LogFormat>) -> Self {
        match asked {
            None => Self::Bare,
            Some(LogFormat::Json) => Self::Object,
            Some(LogFormat::Auto) if is_journal() => Self::Journal,
            Some(LogFormat::Auto | LogFormat::Plain) => Self::Timed,
        }
    }
}

/// Whether the journal reads our stderr, and not only that of whoever started us.
fn is_journal() -> bool {
    let (Ok(told), Ok(stat)) = (std::env::var(JOURNAL), fstat(io::stderr())) else { return false };
    told == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Listens to the program from now on. `asked` is how a server's log is written, `modules` whether lines name their
/// modules.
pub(super) fn begin(asked: Option<LogFormat>, modules: bool, filter: &str) {
    let form = Form::of(asked);
    OBJECTS.store(form == Form::Object, Ordering::Relaxed);
    let lines = Lines { form, modules };
    // Whoever read stderr may be gone: what cannot be said there is no reason to panic.
    let subscriber = tracing_subscriber::fmt().log_internal_errors(false);
    let subscriber = subscriber.with_env_filter(filter).with_writer(io::stderr).event_format(lines);
    // A test that runs two verbs in one process has one already.
    let _ = subscriber.try_init();
}

/// Whether all that is said on stderr is JSON.
pub(super) fn are_objects() -> bool {
    OBJECTS.load(Ordering::Relaxed)
}

/// Each line of a text as an object.
pub(super) fn objects(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.map(|line| object(Timestamp::now(), Level::INFO, line, Map::new()) + "\n").collect()
}

/// Why the program ends, as one object.
pub(super) fn failure(failure: &Failure) -> String {
    let mut fields = Map::new();
    fields.insert("exit_code".to_owned(), json!(failure.exit.code()));
    fields.insert("why".to_owned(), json!(failure.why));
    fields.insert("help".to_owned(), json!(failure.help));
    object(Timestamp::now(), Level::ERROR, &failure.what, fields) + "\n"
}

fn object(at: Timestamp, level: Level, message: &str, fields: Map<String, Value>) -> String {
    let time = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let mut object = Map::new();
    object.insert("time".to_owned(), json!(time));
    object.insert("level".to_owned(), json!(level.to_string().to_lowercase()));
    object.insert("message".to_owned(), json!(message));
    for (name, value) in fields {
        object.entry(name).or_insert(value);
    }
    Value::Object(object).to_string()
}

/// Writes what is told to us as lines.
#[derive(Debug, Clone, Copy)]
struct Lines {
    form: Form,
    modules: bool,
}

impl Lines {
    fn line(self, at: Timestamp, level: Level, module: &str, said: Said) -> String {
        if self.form == Form::Object {
            let Said { message, mut fields } = said;
            if self.modules {
                fields.insert("module".to_owned(), json!(module));
            }
            return object(at, level, &message, fields);
        }
        let mut line = match self.form {
            Form::Timed => at.strftime("%Y-%m-%dT%H:%M:%SZ ").to_string(),
            Form::Journal => format!("<{}>", priority(level)),
            Form::Bare | Form::Object => String::new(),
        };
        line.push_str(level.as_str());
        line.push(' ');
        if self.modules {
            line.push_str(module);
            line.push(' ');
        }
        line + &harmless(&said.text())
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let about = event.metadata();
        writeln!(writer, "{}", self.line(Timestamp::now(), *about.level(), about.target(), said))
    }
}

/// As syslog counts them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// One line, whatever is in it.
fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// What one part of the program says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // What a handler logs.
            ("text", Value::String(text)) if self.message.is_empty() => self.message = text,
            ("reference", value) => drop(self.fields.insert("ref".to_owned(), value)),
            // An event is told by its number; handlers know the key that it has at its source.
            ("event", Value::String(key)) => drop(self.fields.insert("event_key".to_owned(), Value::String(key))),
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }

    fn word(&self, name: &str) -> Option<String> {
        self.fields.get(name).map(word)
    }

    /// The whole line: what it is about, what is said, more of it, why.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        let others = self.fields.iter().filter(|(name, _)| !is_subject(name));
        let (causes, more): (Vec<_>, Vec<_>) = others.partition(|(name, _)| CAUSES.contains(&name.as_str()));
        // What the message says already is not said again.
        let more = more.into_iter().map(|(name, value)| (name, word(value))).filter(|(_, value)| !text.contains(value));
        let more: Vec<String> = more.map(|(name, value)| format!("{name}={}", quoted(&value))).collect();
        if !more.is_empty() {
            let _ = write!(text, " ({})", more.join(", "));
        }
        let is_new = |cause: &String| !cause.trim().is_empty() && !self.message.contains(cause);
        for cause in causes.into_iter().map(|(_, value)| word(value)).filter(is_new) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        match self.subject() {
            Some(subject) if !self.names_itself() => format!("{subject}: {text}"),
            _ => text,
        }
    }

    /// `run 12 of churn (main 4f1c2d9a0b)`
    fn subject(&self) -> Option<String> {
        let numbered = |name: &str| Some(format!("{name} {}", self.word(name)?));
        let named = ["run", "handler", "event"].into_iter().filter_map(numbered).collect::<Vec<_>>().join(", ");
        let subject = match (named.is_empty(), self.word("repo")) {
            (true, None) => return None,
            (true, Some(repo)) => repo,
            (false, None) => named,
            (false, Some(repo)) => format!("{named} of {repo}"),
        };
        let place = [self.word("ref").map(|name| short_ref(&name)), self.word("commit").map(|sha| short_sha(&sha))];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Some(if place.is_empty() { subject } else { format!("{subject} ({place})") })
    }

    /// Whether the message begins with the run or the event that it is about.
    fn names_itself(&self) -> bool {
        let begins = |name: &str| self.word(name).is_some_and(|id| self.message.starts_with(&format!("{name} {id} ")));
        begins("run") || begins("event")
    }
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, json!(format!("{value:?}")));
    }
}

/// Whether a field says what a line is about.
fn is_subject(name: &str) -> bool {
    matches!(name, "run" | "event" | "handler" | "repo" | "ref" | "commit")
}

/// A value without the quotes of JSON.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn quoted(value: &str) -> String {
    if value.contains([' ', ',', '(', ')']) { format!("`{value}`") } else { value.to_owned() }
}

fn short_ref(name: &str) -> String {
    name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name).to_owned()
}

fn short_sha(sha: &str) -> String {
    sha.get(..COMMIT).unwrap_or(sha).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cli::exit::Exit;

    /// What a writer was given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of what `say` tells, without the line's end.
    fn written(form: Form, modules: bool, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = Lines { form, modules };
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("trace")
            .with_writer(move || writer.clone())
            .event_format(lines)
            .finish();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn a_line_begins_with_what_it_is_about_and_ends_with_why() {
        let line = |say: &dyn Fn()| written(Form::Bare, false, say);
        let unwritten = line(&|| tracing::warn!(run = 12, error = "no room", "not written"));
        assert_eq!(unwritten, "WARN run 12: not written: no room");
        let silent = line(&|| tracing::warn!(run = 12, error = " ", "not written"));
        assert_eq!(silent, "WARN run 12: not written", "no line ends with a colon");
        let told = line(&|| {
            tracing::warn!(repo = "acme/churn", fault = "no access", "not read");
        });
        assert_eq!(told, "WARN acme/churn: not read: no access");
        let event = line(&|| {
            let (reference, commit) = (Some("refs/heads/main"), Some("4f1c2d9a0b1c5e"));
            tracing::info!(event = 17, kind = "push", repo = "churn", reference, commit, runs = 1, "push, 1 run");
        });
        assert_eq!(event, "INFO event 17 of churn (main 4f1c2d9a0b): push, 1 run", "nothing is said twice");
        let begun = line(&|| {
            tracing::info!(run = 12, repo = "churn", "run 12 of churn (main 4f1c2d) started");
        });
        assert_eq!(begun, "INFO run 12 of churn (main 4f1c2d) started");
        let other = line(&|| tracing::info!(run = 1, "run 12 is another one"));
        assert_eq!(other, "INFO run 1: run 12 is another one");
        let logged = line(&|| tracing::info!(handler = "nightly", event = 3, text = "hello"));
        assert_eq!(logged, "INFO handler nightly, event 3: hello");
        let keyed = line(&|| tracing::info!(handler = "nightly", event = "push:1", "skipped"));
        assert_eq!(keyed, "INFO handler nightly: skipped (event_key=push:1)", "numbers only are numbers of events");
        assert_eq!(line(&|| tracing::info!(place = "the disk", "ready again")), "INFO ready again (place=`the disk`)");
        assert_eq!(line(&|| tracing::info!(repo = None::<&str>, "nothing")), "INFO nothing");
    }

    #[test]
    fn no_value_makes_a_line_of_its_own_or_speaks_to_a_terminal() {
        let line = written(Form::Bare, false, || tracing::warn!(why = "a\nINFO run 1 \u{1b}[31mstarted", "failed"));
        assert_eq!(line, "WARN failed: a\\nINFO run 1 \\u{1b}[31mstarted");
    }

    #[test]
    fn times_priorities_and_modules_are_where_somebody_wants_them() {
        let at: Timestamp = "2026-11-30T07:11:02.5Z".parse().unwrap();
        let line = |form, modules, level| {
            let said = Said { message: "ready".to_owned(), fields: Map::new() };
            Lines { form, modules }.line(at, level, "soopervisor::server", said)
        };
        assert_eq!(line(Form::Timed, false, Level::INFO), "2026-11-30T07:11:02Z INFO ready");
        assert_eq!(line(Form::Timed, true, Level::INFO), "2026-11-30T07:11:02Z INFO soopervisor::server ready");
        assert_eq!(line(Form::Journal, false, Level::WARN), "<4>WARN ready");
        assert_eq!(line(Form::Journal, false, Level::ERROR), "<3>ERROR ready");
        assert_eq!(line(Form::Bare, false, Level::DEBUG), "DEBUG ready");
        let object = r#"{"time":"2026-11-30T07:11:02.500Z","level":"info","message":"ready"}"#;
        assert_eq!(line(Form::Object, false, Level::INFO), object);
        let module = r#","module":"soopervisor::server"}"#;
        assert!(line(Form::Object, true, Level::INFO).ends_with(module));
    }

    #[test]
    fn an_object_has_its_fields_under_their_names_and_no_line_of_its_own() {
        let line = written(Form::Object, false, || {
            let reference = "refs/heads/main";
            tracing::info!(run = 12, event = 17, repo = "acme/churn", reference, time = "mine", "a \"b\"\nc");
        });
        let object: Value = serde_json::from_str(&line).unwrap();
        for (name, wanted) in [
            ("level", json!("info")),
            ("message", json!("a \"b\"\nc")),
            ("run", json!(12)),
            ("event", json!(17)),
            ("repo", json!("acme/churn")),
            ("ref", json!("refs/heads/main")),
        ] {
            assert_eq!(object[name], wanted, "{name}");
        }
        assert!(object["time"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{line}");
        assert_eq!((line.lines().count(), objects("one\n\n  two\n").lines().count()), (1, 2));
        let failed = failure(&Failure::new(Exit::Usage, "no such file").help("look"));
        let failed: Value = serde_json::from_str(&failed).unwrap();
        assert_eq!((&failed["level"], &failed["exit_code"]), (&json!("error"), &json!(2)));
    }
}
