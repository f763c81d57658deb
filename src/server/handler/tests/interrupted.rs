//! Plans that are interrupted at every point, and go on; what is remembered of them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::Value;

use super::{Noting, event, file, states};
use crate::server::handler::{Journal, JournalError, Key, Memory, Outcome, Plan, Recall, State, execute};

/// A journal that breaks after so many writes, as a killed process does.
struct Dying {
    inner: Memory,
    left: Mutex<usize>,
    /// The arguments that it was given.
    begun: Mutex<Vec<Value>>,
}

impl Dying {
    fn write(&self) -> Result<(), JournalError> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or_else(|| JournalError("killed".to_owned()))?;
        Ok(())
    }
}

#[async_trait]
impl Journal for Dying {
    async fn recall(&self, key: &Key) -> Result<Recall, JournalError> {
        self.inner.recall(key).await
    }
    async fn begin(&self, key: &Key, arguments: &Value) -> Result<(), JournalError> {
        self.write()?;
        self.begun.lock().unwrap().push(arguments.clone());
        self.inner.begin(key, arguments).await
    }
    async fn finish(&self, key: &Key, outcome: &Outcome) -> Result<(), JournalError> {
        self.write()?;
        self.inner.finish(key, outcome).await
    }
}

const LONG: &str = "    do:
      - run: {mode: sample}
        before: [{log: {text: pre}}]
      - parallel: [{log: {text: a}, name: a}, {log: {text: '{{ run.url }}'}, name: b}]
      - log: {text: skipped}
        when: run.seconds > 100
      - notify: {to: [team, ops]}
      - log: {text: fail}
        name: last
    on_failure: [{log: {text: '{{ failure.step }}'}}]
    always: [{log: {text: end}}]
";

#[tokio::test]
async fn a_plan_that_is_interrupted_at_any_point_goes_on_and_repeats_nothing_that_is_known_to_be_done() {
    let (file, event) = (file(LONG), event());
    let plan = Plan { handler: &file.handlers[0], event: &event };
    let (whole, journal) = (Noting::default(), Memory::default());
    let wanted = execute(&plan, &file.notify, &whole, &journal).await.unwrap();
    let mut deaths = 0;
    for point in 0.. {
        let effects = Noting::default();
        let journal = Dying { inner: Memory::default(), left: Mutex::new(point), begun: Mutex::default() };
        if execute(&plan, &file.notify, &effects, &journal).await.is_ok() {
            break;
        }
        deaths += 1;
        *journal.left.lock().unwrap() = usize::MAX;
        let known: Vec<String> = journal
            .inner
            .all()
            .into_iter()
            .filter(|(_, recall)| matches!(recall, Recall::Finished(_)))
            .map(|(key, _)| key.index)
            .collect();
        let before = effects.done().len();
        let report = execute(&plan, &file.notify, &effects, &journal).await.unwrap();
        assert_eq!(states(&report), states(&wanted), "died after {point} writes");
        for again in &effects.done()[before..] {
            let index = again.split(' ').next().unwrap();
            assert!(!known.iter().any(|one| one == index), "{again} was done twice after {point} writes");
        }
        // Everything was done at least once, and what nobody knew about at most twice.
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for one in effects.done() {
            *counts.entry(one).or_default() += 1;
        }
        let all: Vec<String> = counts.keys().cloned().collect();
        let mut once = whole.done();
        once.sort();
        assert_eq!(all, once);
        assert!(counts.values().filter(|count| **count > 1).count() <= 2, "{counts:?}");
    }
    assert!(deaths > 20, "{deaths}");
}

#[tokio::test]
async fn what_is_remembered_of_a_message_is_its_plain_text() {
    let handler = "    do: [{notify: {to: [team, ops], text: 'it is {{ event.message }}'}}, {notify: {to: ops}}]\n";
    let (file, event, effects) = (file(handler), event(), Noting::default());
    let journal = Dying { inner: Memory::default(), left: Mutex::new(usize::MAX), begun: Mutex::default() };
    let plan = Plan { handler: &file.handlers[0], event: &event };
    assert_eq!(execute(&plan, &file.notify, &effects, &journal).await.unwrap().state, State::Succeeded);
    let begun = journal.begun.into_inner().unwrap();
    let texts: Vec<&str> = begun.iter().filter_map(|arguments| arguments["text"].as_str()).collect();
    assert_eq!(texts[..4], ["it is Fix it"; 4], "the step, a mail, two chats");
    assert!(texts.len() == 5 && texts.iter().all(|text| crate::server::template::marked::plain(text) == *text));
}

#[tokio::test]
async fn a_script_of_which_nobody_knows_whether_it_ran_is_not_run_again_unless_it_may_be() {
    for (retry, again) in [("false", false), ("true", true)] {
        let handler = format!("    do: [{{shell: {{script: deploy, retry: {retry}}}}}]\n");
        let (file, event, effects, journal) = (file(&handler), event(), Noting::default(), Memory::default());
        let plan = Plan { handler: &file.handlers[0], event: &event };
        let key = Key { event: event.key(), handler: "h".to_owned(), index: "0".to_owned() };
        journal.begin(&key, &Value::Null).await.unwrap();
        let report = execute(&plan, &file.notify, &effects, &journal).await.unwrap();
        assert_eq!(effects.done().len(), usize::from(again));
        assert_eq!(report.state == State::Succeeded, again);
        assert_eq!(report.error.is_some_and(|error| error.contains("interrupted")), !again);
    }
}
