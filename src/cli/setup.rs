//! `soopervisor channel` and `soopervisor image`: what a closed network needs beforehand.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam;
use crate::environment::channel::{self, Options};
use crate::report::bytes;
use crate::run::figures::count;
use crate::run::host::RUNNER_IMAGE;
use crate::secret::withhold;
use crate::store::Home;

/// The channel that a local one takes the place of.
const REPLACED: &str = "conda-forge";
/// Around what `channel use` writes into config.yaml; everything else in that file is the user's.
const BEGIN: &str = "# >>> written by `soopervisor channel use`";
const END: &str = "# <<<";

/// What the image is made from, so that the program alone can make it.
const RECIPE: [(&str, &str); 2] = [
    ("build.sh", include_str!("../../images/runner/build.sh")),
    ("packages", include_str!("../../images/runner/packages")),
];

pub(super) fn channel(args: &args::Channel) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    let line = match args {
        args::Channel::Build(build) => build_channel(&options(build))?,
        args::Channel::Add { files } => add_to_channel(files, &home)?,
        args::Channel::Use { channel } => use_channel(channel, &home)?,
    };
    Console::answer(&line);
    Ok(Exit::Ok)
}

fn options(args: &args::BuildChannel) -> Options {
    Options {
        to: args.to.clone(),
        pythons: args.python.clone(),
        packages: args.package.clone(),
        specs: args.spec.clone(),
        refresh: args.refresh,
        ..Options::default()
    }
}

/// Builds the channel that stands in for conda-forge anew, with what some files ask for besides.
fn add_to_channel(files: &[PathBuf], home: &Home) -> Result<String, Failure> {
    let config = seam::config(home)?.unwrap_or_default();
    let in_use = config.mirrors.get(REPLACED).into_iter().flatten().map(PathBuf::from).find(|place| place.is_dir());
    let Some(to) = in_use else {
        return Err(Failure::new(Exit::Usage, format!("no local channel stands in for {REPLACED}"))
            .why(format!("{} names none", home.config().display()))
            .help("soopervisor channel build --to DIR --spec environment.yml, then: soopervisor channel use DIR"));
    };
    build_channel(&Options { to, specs: files.to_vec(), ..Options::default() })
}

fn build_channel(options: &Options) -> Result<String, Failure> {
    let summary = channel::build(options).map_err(|error| Failure::of(Exit::EngineUnavailable, &error))?;
    let mut text = summary.notes.iter().fold(String::new(), |text, note| text + "note: " + note + "\n");
    let done = if summary.reused { "is up to date" } else { "built" };
    text += &format!(
        "channel {} {done}: CPython {}, {}, {}\n",
        summary.channel.display(),
        summary.pythons.join(" "),
        count(summary.packages.len() as u64, "package"),
        bytes(summary.bytes)
    );
    Ok(text)
}

/// Writes, replaces or takes out our block of config.yaml.
fn use_channel(channel: &str, home: &Home) -> Result<String, Failure> {
    let path = home.config();
    let before = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::of(Exit::Usage, &error)),
    };
    let own = without_block(&before);
    if own.lines().any(|line| line.starts_with("mirrors:")) {
        return Err(Failure::new(Exit::Usage, format!("`{}` has `mirrors:` of its own", path.display()))
            .why("what a person wrote there is not changed by this command")
            .help(format!("add under its `mirrors:`  {REPLACED}: [{channel}]")));
    }
    let (text, line) = if channel == "none" {
        (own, format!("environments use {REPLACED} itself\n"))
    } else {
        let place = place_of(channel)?;
        let quoted = serde_json::to_string(&place).unwrap_or_default();
        let block = format!("{BEGIN}\nmirrors:\n  {REPLACED}:\n    - {quoted}\n{END}\n");
        (own + &block, format!("environments use {place} in place of {REPLACED}, as {} says\n", path.display()))
    };
    write(path, &text).map_err(|error| Failure::of(Exit::Internal, &error))?;
    Ok(line)
}

/// An address as it is; a folder must be a channel, and is named so that it can be found from anywhere.
fn place_of(channel: &str) -> Result<String, Failure> {
    if channel.contains("://") {
        return Ok(channel.to_owned());
    }
    let folder = std::path::absolute(channel).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let is_channel =
        ["noarch", "linux-64", "linux-aarch64"].iter().any(|name| folder.join(name).join("repodata.json").is_file());
    if !is_channel {
        return Err(Failure::new(Exit::Usage, format!("`{}` is not a conda channel", folder.display()))
            .why("there is no repodata.json in its noarch or linux-64")
            .help(format!("soopervisor channel build --to {channel}")));
    }
    Ok(folder.display().to_string())
}

fn without_block(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        inside = inside || line.starts_with(BEGIN);
        let keep = !inside;
        inside = inside && !line.starts_with(END);
        keep
    });
    kept.fold(String::new(), |text, line| text + line + "\n")
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

pub(super) fn image(args: &args::Image) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    if !args.rebuild && seam::has_image(RUNNER_IMAGE, &home)? {
        Console::answer(&format!("{RUNNER_IMAGE} is there\n"));
        return Ok(Exit::Ok);
    }
    build_image().map_err(|error| Failure::of(Exit::Internal, &error))?;
    if !seam::has_image(RUNNER_IMAGE, &home)? {
        return Err(Failure::new(Exit::EngineUnavailable, format!("{RUNNER_IMAGE} could not be built"))
            .why("it is made from the packages of Debian or Ubuntu; elsewhere, images/runner/Dockerfile makes it")
            .help("--image IMAGE runs pipelines in any other image with glibc and bash"));
    }
    Console::answer(&format!("{RUNNER_IMAGE} built\n"));
    Ok(Exit::Ok)
}

/// Runs the recipe; what it says goes to the terminal.
fn build_image() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, text) in RECIPE {
        fs_err::write(folder.path().join(name), text)?;
    }
    let mut command = Command::new("bash");
    withhold(&mut command);
    command.arg(folder.path().join("build.sh")).arg(RUNNER_IMAGE).status()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        (dir, home)
    }

    #[test]
    fn our_block_comes_and_goes_and_the_users_lines_stay() {
        let (dir, home) = home();
        let channel = dir.path().join("channel");
        std::fs::create_dir_all(channel.join("noarch")).unwrap();
        std::fs::write(channel.join("noarch/repodata.json"), "{}").unwrap();
        std::fs::write(home.config(), "storage: local:x # mine\n").unwrap();
        for _ in 0..2 {
            use_channel(channel.to_str().unwrap(), &home).unwrap();
            let text = std::fs::read_to_string(home.config()).unwrap();
            assert!(text.starts_with("storage: local:x # mine\n"));
            assert_eq!(text.matches("mirrors:").count(), 1, "{text}");
        }
        use_channel("none", &home).unwrap();
        assert_eq!(std::fs::read_to_string(home.config()).unwrap(), "storage: local:x # mine\n");
    }

    #[test]
    fn a_folder_that_is_no_channel_and_mirrors_of_a_person_are_refused() {
        let (dir, home) = home();
        let failure = use_channel(dir.path().to_str().unwrap(), &home).unwrap_err();
        assert!(failure.help.unwrap().contains("channel build"));
        std::fs::write(home.config(), "mirrors:\n  x: [y]\n").unwrap();
        let failure = use_channel("https://mirror.example.org/forge", &home).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(std::fs::read_to_string(home.config()).unwrap(), "mirrors:\n  x: [y]\n");
    }
}
