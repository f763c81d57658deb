//! What keeps handlers from beginning runs for ever: the end of a run, or a run that is asked for, may call for the next,
//! and which handlers did so already travels with it.
//!
//! Pure. A handler begins a run of one repository once in a chain, and a chain has three runs of one repository at most, as
//! a forge's own workflows have that begin when others end.

use crate::server::event::{Event, Kind, Link};

/// Runs of one repository in a chain.
const LEVELS: usize = 3;

/// What a run that an event's handler begins has behind it. What was asked for was counted where it was asked for.
pub(super) fn of_run(event: &Event, handler: &str, repo: &str) -> Result<Vec<Link>, String> {
    if event.kind == Kind::RunFinished { next(event, handler, repo) } else { Ok(event.chain.clone()) }
}

/// What a run that a handler asks for has behind it.
///
/// # Errors
/// Why it is not begun.
pub(super) fn next(event: &Event, handler: &str, repo: &str) -> Result<Vec<Link>, String> {
    if event.chain.iter().any(|link| link.handler == handler && link.repo == repo) {
        return Err(format!("`{handler}` began a run of `{repo}` already, of which this came: it begins no other"));
    }
    if event.chain.iter().filter(|link| link.repo == repo).count() >= LEVELS {
        return Err(format!("{LEVELS} runs of `{repo}` began one another already: no other is begun"));
    }
    let link = Link { handler: handler.to_owned(), repo: repo.to_owned() };
    Ok(event.chain.iter().cloned().chain([link]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::event::Source;

    /// How often handlers begin a run when each run that ends, or is asked for, is told to all of them.
    fn begun(kind: Kind, handlers: &[&str], repos: &[&str]) -> usize {
        let event =
            |repo: &str, chain| Event { chain, ..Event::new(kind, repo, jiff::Timestamp::UNIX_EPOCH, Source::Server) };
        let (mut told, mut count) = (vec![event(repos[0], Vec::new())], 0);
        while let Some(event_now) = told.pop() {
            for (handler, repo) in handlers.iter().flat_map(|handler| repos.iter().map(move |repo| (handler, repo))) {
                if let Ok(chain) = next(&event_now, handler, repo) {
                    count += 1;
                    told.push(event(repo, chain));
                }
            }
        }
        count
    }

    #[test]
    fn no_handlers_begin_one_anothers_runs_for_ever() {
        for kind in [Kind::RunFinished, Kind::Manual] {
            assert_eq!(begun(kind, &["one"], &["a/b"]), 1);
            assert_eq!(begun(kind, &["one", "two"], &["a/b"]), 4);
            assert_eq!(begun(kind, &["one", "two", "three", "four"], &["a/b"]), 4 + 12 + 24);
            assert_eq!(begun(kind, &["one"], &["a/b", "c/d"]), 4);
        }
    }

    #[test]
    fn one_handler_takes_a_chain_of_repositories_to_its_end() {
        let mut event = Event::new(Kind::RunFinished, "r/0", jiff::Timestamp::UNIX_EPOCH, Source::Server);
        for number in 1..9 {
            event.chain = next(&event, "rebuild", &format!("r/{number}")).unwrap();
        }
        assert!(next(&event, "rebuild", "r/1").unwrap_err().contains("`rebuild` began a run of `r/1` already"));
    }

    #[test]
    fn a_run_for_a_push_has_nothing_behind_it_and_one_that_was_asked_for_what_its_asking_had() {
        let mut event = Event::new(Kind::Push, "a/b", jiff::Timestamp::UNIX_EPOCH, Source::Poll);
        assert!(of_run(&event, "build", "a/b").unwrap().is_empty());
        event.kind = Kind::Manual;
        event.chain = next(&event, "rebuild", "a/b").unwrap();
        assert_eq!(of_run(&event, "build", "a/b").unwrap(), event.chain);
    }
}
