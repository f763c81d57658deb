//! `soopervisor script`: the bash file on stdout, findings on stderr.

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{run, seam, validate};
use crate::store::Home;

pub(super) fn execute(args: &args::Script, console: Console) -> Result<Exit, Failure> {
    run::check(&args.pipeline)?;
    let mut request = args.pipeline.request();
    // A plan has a storage; no line of the script depends on which.
    request.storage = Some("local:artifacts".to_owned());
    let decided = seam::script(&request, &Home::from_env()?)?;
    validate::show_findings(&decided.findings, console);
    let Some(script) = decided.value else { return Ok(Exit::InvalidSpec) };
    Console::answer(&script);
    Ok(Exit::Ok)
}
