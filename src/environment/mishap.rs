//! What ends a builder that is no fault of what it built: a full disk, too little memory, a kill from outside. It is
//! told as what it is, and nothing is kept that would blame the files for it.

use std::path::Path;

use super::EnvironmentError;
use super::builder::Finished;

/// Why the builder did not come to its end; nothing where it failed, or not, by itself. `store` is the folder of this
/// machine that it wrote to, where it did.
pub(super) fn mishap(finished: &Finished, store: Option<&Path>, doing: &'static str) -> Option<EnvironmentError> {
    let tail = finished.tail.clone();
    let full = ["No space left on device", "os error 28", "Disk quota exceeded"].iter().any(|w| tail.contains(w));
    let ended = |how: &str| EnvironmentError::Builder { step: doing, tail: format!("{tail}\n  {how}") };
    match (finished.exit.code, store) {
        (0, _) => None,
        (_, Some(store)) if full => Some(EnvironmentError::no_space(store, doing)),
        (_, None) if full => Some(EnvironmentError::EngineFull { doing, tail }),
        _ if finished.exit.oom_killed => Some(ended("the builder ran out of memory")),
        (137 | 143, _) => Some(ended("the builder was killed from outside")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Exit;

    fn said(code: i64, oom_killed: bool, tail: &str, store: Option<&str>) -> String {
        let finished = Finished { exit: Exit { code, oom_killed, peak_memory_bytes: None }, tail: tail.to_owned() };
        mishap(&finished, store.map(Path::new), "building").map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_came_from_outside_is_told_apart_from_what_the_files_did() {
        let full = "cp: error writing '/x': No space left on device";
        for (code, oom, tail, store, words) in [
            (0, false, full, None, ""),
            (1, false, "error: invalid command 'bdist_wheel'", Some("/"), ""),
            (1, false, full, Some("/"), "no space left below / while building"),
            (1, false, full, None, "no space left on the engine's disk while building"),
            (137, true, "x", Some("/"), "the builder ran out of memory"),
            (1, true, "a worker ended", None, "the builder ran out of memory"),
            (137, false, "x", None, "the builder was killed from outside"),
            (143, false, "x", Some("/"), "the builder was killed from outside"),
        ] {
            let said = said(code, oom, tail, store);
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{code} {tail}: {said}");
        }
    }
}
