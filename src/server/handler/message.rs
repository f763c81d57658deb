//! The message of a `notify` that has none of its own, and the mark of our own comments.

use serde_json::Value;

use crate::comment::escape::address;
use crate::server::template::marked::mark;

/// Comments that begin with this are our own: they are never events.
pub const OWN_MARK: &str = "<!-- soopervisor";

/// One line: what happened to what.
pub(super) fn subject(handler: &str, names: &Value) -> String {
    let event = &names["event"];
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let place = match (event["branch"].as_str(), event["pull"]["number"].as_u64()) {
        (_, Some(number)) => format!("#{number}"),
        (Some(branch), None) => branch.to_owned(),
        (None, None) => event["tag"].as_str().unwrap_or("").to_owned(),
    };
    let ending = match names["failure"]["error"] {
        Value::Null if is_called_off(names) => "called off",
        Value::Null => "done",
        _ => "failed",
    };
    let at = if place.is_empty() { String::new() } else { format!(" ({place})") };
    one_line(&format!("{handler}: {ending} for {}{at}", text("repo")))
}

/// Whether one of the steps was.
fn is_called_off(names: &Value) -> bool {
    let mut results = names.as_object().into_iter().flatten().filter(|(name, _)| name.as_str() != "event");
    results.any(|(_, result)| matches!(result["status"].as_str(), Some("cancelled" | "superseded")))
}

/// What happened, why, and where more stands; what others wrote is marked.
pub(super) fn text(handler: &str, names: &Value) -> String {
    let mut lines = vec![mark(&subject(handler, names))];
    if let Some(error) = names["failure"]["error"].as_str() {
        let step = names["failure"]["step"].as_str().unwrap_or_default();
        lines.push(format!("`{step}`: {}", mark(error)));
    }
    if let Some(commit) = names["event"]["commit"].as_str() {
        let message = names["event"]["message"].as_str().map(|message| format!(" {}", mark(&one_line(message))));
        lines.push(format!("{}{}", commit.get(..10).unwrap_or(commit), message.unwrap_or_default()));
    }
    let urls = names.as_object().into_iter().flatten().filter(|(name, _)| name.as_str() != "event");
    lines.extend(urls.filter_map(|(_, result)| address(result["url"].as_str()?)));
    lines.join("\n")
}

/// A line break in a subject would be a new header.
pub(super) fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().to_owned()
}
