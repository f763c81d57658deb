//! `soopervisor completions` and `soopervisor man`: made from the arguments themselves, so they cannot lag behind.

use std::path::Path;

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;

pub(super) fn completions(args: &args::Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "soopervisor", &mut text);
    Console::answer(&String::from_utf8_lossy(&text));
    Exit::Ok
}

pub(super) fn man(args: &args::Man) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::Internal, &error);
    match &args.to {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(super::command()).render(&mut text).map_err(failed)?;
            Console::answer(&String::from_utf8_lossy(&text));
        }
        Some(folder) => {
            let count = write_pages(folder).map_err(failed)?;
            Console::answer(&format!("{count} pages: {}\n", folder.display()));
        }
    }
    Ok(Exit::Ok)
}

fn write_pages(folder: &Path) -> std::io::Result<usize> {
    fs_err::create_dir_all(folder)?;
    clap_mangen::generate_to(super::command(), folder)?;
    fs_err::read_dir(folder).map(Iterator::count)
}
