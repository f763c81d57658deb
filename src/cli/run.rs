//! `soopervisor run`: the request goes to the runner, its events to a reporter.

use std::io::Read;
use std::path::Path;

use super::args::{self, Format};
use super::columns::in_one_line;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{blame, dry_run, parse, seam};
use crate::report::{self, Style};
use crate::store::Home;

pub(super) fn execute(args: &args::Run, console: Console) -> Result<Exit, Failure> {
    check(&args.pipeline)?;
    let mut request = args.request();
    let home = Home::from_env()?;
    if args.dry_run {
        return dry_run::execute(&request, &home, args.format, console);
    }
    let format = match args.format {
        Format::Auto => report::Format::detect(|name| std::env::var(name).ok()),
        Format::Plain => report::Format::Plain,
        Format::Json => report::Format::Json,
        Format::Github => report::Format::GitHub,
    };
    let style: Style = match format {
        report::Format::Terminal => console.stderr(),
        report::Format::Plain => console.plain(),
        report::Format::Json | report::Format::GitHub => console.stdout(),
    };
    request.colours = style.color;
    seam::run(&request, &home, report::open(format, style, &token()?))
}

/// What clap cannot check, or would repeat in its refusal.
pub(super) fn check(pipeline: &args::Pipeline) -> Result<(), Failure> {
    for secret in &pipeline.secret {
        let refuse = |why| Failure::new(Exit::Usage, "a value of `--secret` is not understood").why(why);
        parse::secret(secret).map_err(refuse)?;
    }
    check_path(&pipeline.path)
}

/// A path that is not there is most often a mistyped verb.
pub(super) fn check_path(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    let shown = in_one_line(&path.display().to_string());
    if path.exists() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.map_or_else(|| ".".to_owned(), |parent| in_one_line(&parent.display().to_string()));
        return Err(Failure::new(Exit::Usage, format!("`{shown}` is a file, not a folder"))
            .why("PATH is the repository, or the folder in it that holds pipeline.yaml")
            .help(format!("soopervisor {folder}")));
    }
    let failure = Failure::new(Exit::Usage, format!("there is no folder `{shown}`"));
    if path.to_str().is_some_and(blame::is_earlier) {
        return Err(failure.why(format!("`{shown}` is a verb of earlier Soopervisors")).help(blame::NOW));
    }
    Err(match path.to_str().and_then(similar_verb) {
        Some(verb) => failure.help(format!("did you mean the verb `{verb}`? soopervisor {verb} --help")),
        None => failure.help("soopervisor PATH, where PATH is the folder that holds pipeline.yaml"),
    })
}

fn similar_verb(word: &str) -> Option<String> {
    let command = super::command();
    let verbs = command.get_subcommands().map(|verb| verb.get_name().to_owned());
    let rated = verbs.map(|verb| (strsim::jaro_winkler(word, &verb), verb));
    let best = rated.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.8).then_some(best.1)
}

/// 32 hexadecimal digits that nobody can guess.
pub(super) fn token() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    let read = fs_err::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Failure::of(Exit::Internal, &error))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_verbs_are_recognised_and_paths_are_not() {
        assert_eq!(similar_verb("valdate").as_deref(), Some("validate"));
        assert_eq!(similar_verb("docter").as_deref(), Some("doctor"));
        assert_eq!(similar_verb("../my/repo"), None);
        assert_ne!(token().unwrap(), token().unwrap());
    }
}
