//! `--dry-run`: the plan in words, or as JSON. No container is started and no storage touched.
//!
//! Where no storage is given, all else is shown: that one is missing is a finding, and the exit code says so.
//!
//! With `-q` only findings are shown: the exit code says the rest.

use serde_json::json;

use super::args::Format;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{seam, validate};
use crate::diag::{has_errors, render};
use crate::run::request::RunRequest;
use crate::script::quote;
use crate::store::Home;

pub(super) fn execute(request: &RunRequest, home: &Home, format: Format, console: Console) -> Result<Exit, Failure> {
    let decided = seam::plan(request, home)?;
    if format == Format::Json {
        let document = json!({"schema": 1, "findings": render::json(&decided.findings), "plan": decided.value});
        Console::answer(&format!("{document}\n"));
    } else {
        validate::show_findings(&decided.findings, console);
        if let Some(plan) = decided.value.as_ref().filter(|_| !console.is_quiet()) {
            let word = |text: &str| quote::word(text.as_bytes()).unwrap_or_default();
            Console::answer(&(plan.describe(&word).join("\n") + "\n"));
        }
    }
    let is_fine = decided.value.is_some() && !has_errors(&decided.findings);
    Ok(if is_fine { Exit::Ok } else { Exit::InvalidSpec })
}
