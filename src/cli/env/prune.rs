//! `soopervisor env prune`: makes room, and says what really became free.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::{args, prune, seam};
use super::short;
use crate::environment::{Pruned, Room, Store};
use crate::report::bytes;
use crate::run::figures::count;
use crate::run::stop::Stop;
use crate::store::Home;

pub(super) fn execute(args: &args::EnvPrune, home: &Home, console: Console) -> Result<Exit, Failure> {
    let answer = |text: &str| {
        if !console.is_quiet() {
            Console::answer(text);
        }
    };
    let Some(store) = seam::environments(home)? else {
        answer("nothing to remove: no environment was ever built here\n");
        return Ok(Exit::Ok);
    };
    let asked = args.all || args.older_than.is_some() || args.keep_size.is_some();
    let wish = Room { older_than: args.older_than, keep_bytes: args.keep_size, all: args.all, ..Room::default() };
    let wish = if asked { wish } else { Room::limits(seam::keep(home)?) };
    // Leases say who uses what; an engine that answers says it a second time.
    let shown = seam::shown(home).unwrap_or_default();
    if asked && !args.dry_run && !args.yes && !agreed(&store, wish, &shown, args.all)? {
        answer("nothing was removed: nobody said yes\n");
        return Ok(Exit::Ok);
    }
    let pruned = store.prune(Room { dry_run: args.dry_run, ..wish }, &shown).map_err(Stop::from)?;
    Console::note(&super::unreadable(&pruned.unreadable));
    answer(&tell(&pruned, args.dry_run, args.all));
    if store.has_volumes() && !args.dry_run {
        let removed = seam::sweep_volumes(&store, home);
        let is_told = removed.is_err() && console.is_quiet();
        let text = tell_volumes(removed, pruned.volumes);
        if is_told {
            Console::note(&text);
        } else {
            answer(&text);
        }
    }
    Ok(Exit::Ok)
}

/// What became of volumes in the engine, of which so many should go.
fn tell_volumes(removed: Result<usize, Failure>, wanted: usize) -> String {
    let volumes = |number: usize| count(number as u64, "volume");
    match removed {
        Ok(removed) if removed < wanted => format!(
            "removed {} in the engine; {} more are in use or in another engine, and go with the next build there, or with \
             `DOCKER_HOST=… soopervisor env prune`\n",
            volumes(removed),
            wanted - removed
        ),
        Ok(0) => String::new(),
        Ok(removed) => format!("removed {} in the engine\n", volumes(removed)),
        Err(_) if wanted == 0 => String::new(),
        Err(error) => format!(
            "{} stay in the engine, which cannot be asked now ({}): `soopervisor env prune` removes them once it answers\n",
            volumes(wanted),
            error.what
        ),
    }
}

/// Asks, on a terminal, before the last environment goes; who calls this from a script has said what he wants.
fn agreed(store: &Store, wish: Room, shown: &[PathBuf], all: bool) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    let plan = store.prune(Room { dry_run: true, ..wish }, shown).map_err(Stop::from)?;
    let there = store.list().map_err(Stop::from)?.environments.len();
    if !everything(&plan, there) {
        return Ok(true);
    }
    Console::note(&tell(&plan, true, all));
    Ok(prune::said_yes())
}

/// Whether no environment would stay but those that somebody uses.
fn everything(plan: &Pruned, there: usize) -> bool {
    !plan.environments.is_empty() && plan.environments.len() + plan.in_use.len() >= there
}

fn tell(pruned: &Pruned, dry_run: bool, all: bool) -> String {
    let (remove, free) = if dry_run { ("would remove", "would be free") } else { ("removed", "free now") };
    let mut text = String::new();
    // Writing to a string does not fail.
    for gone in &pruned.environments {
        let idle = super::list::ago(gone.idle);
        let _ = writeln!(text, "{remove} {}, last used {idle}: {}", short(&gone.key), bytes(gone.bytes));
    }
    if pruned.caches > 0 {
        let what = if pruned.caches == 1 { "part" } else { "parts" };
        let _ = writeln!(text, "{remove} {} {what} of the caches: {}", pruned.caches, bytes(pruned.cache_bytes));
    }
    if pruned.leftovers > 0 {
        let _ = writeln!(text, "{remove} {} of builds that died", count(pruned.leftovers as u64, "leftover"));
    }
    for key in &pruned.in_use {
        let _ = writeln!(text, "kept    {}: it is in use", short(key));
    }
    if pruned.building {
        text += "kept    the caches: something is being built with them\n";
    }
    let _ = writeln!(text, "{} {free}, {} left", bytes(pruned.freed()), bytes(pruned.left));
    if pruned.freed() == 0 && pruned.leftovers == 0 && !all {
        text += "more goes with --older-than TIME, --keep-size SIZE or --all\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::environment::{Gone, Unreadable};

    #[test]
    fn says_what_went_what_stayed_and_what_is_free() {
        let gone = |key: char, days: u64, bytes| Gone {
            key: key.to_string().repeat(64),
            idle: Duration::from_hours(24 * days),
            bytes,
        };
        let pruned = Pruned {
            environments: vec![gone('a', 40, 12_300_000), gone('b', 31, 512_000_000)],
            caches: 121,
            cache_bytes: 440_000_000,
            leftovers: 2,
            in_use: vec!["c".repeat(64)],
            building: false,
            left: 1_200_000_000,
            ..Pruned::default()
        };
        insta::assert_snapshot!("env_prune", tell(&pruned, false, false));
        assert!(tell(&pruned, true, true).contains("would remove aaaaaaaaaaaaaaaa, last used 40 days ago: 12.3 MB"));
        let nothing = tell(&Pruned { building: true, ..Pruned::default() }, false, false);
        assert!(nothing.contains("--all") && nothing.contains("being built"), "{nothing}");
        assert_eq!(tell_volumes(Ok(2), 2), "removed 2 volumes in the engine\n");
        let fewer = tell_volumes(Ok(1), 3);
        assert!(fewer.contains("removed 1 volume in the engine; 2 more") && fewer.contains("env prune"), "{fewer}");
        let away = tell_volumes(Err(Failure::new(Exit::EngineUnavailable, "no engine answers")), 1);
        assert!(away.contains("1 volume") && away.contains("no engine answers"), "{away}");
        assert_eq!(tell_volumes(Ok(0), 0), "");
        let broken = Unreadable { path: "/store/keys/x.json".into(), reason: "EOF while parsing".to_owned() };
        let broken = super::super::unreadable(&[broken]);
        assert!(broken.contains("EOF while parsing") && broken.contains("rm '/store/keys/x.json'"), "{broken}");
        assert!(everything(&pruned, 3), "the third one is in use");
        assert!(!everything(&pruned, 4) && !everything(&Pruned::default(), 0));
    }
}
