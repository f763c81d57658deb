//! A plan, step by step: criteria, templates, actions, callbacks; what is remembered is not done again.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::decide::Plan;
use super::journal::{Journal, JournalError, Key, Outcome, Recall, State};
use super::message;
use super::names::Names;
use super::{Handler, Single, Step};
use crate::server::action::{Call, EffectFault, Effects, Verb, perform, read};
use crate::server::file::Target;
use crate::server::template::marked;

/// What came of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The handler's name.
    pub handler: String,
    /// How it ended; a step that failed and let it go on does not count.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// Every step that was reached, callbacks included.
    pub steps: Vec<StepReport>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Which, as in [`Key::index`].
    pub index: String,
    /// The name of its result.
    pub name: String,
    /// Its action.
    pub verb: Verb,
    /// How it ended.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
}

/// Does a plan. Steps whose outcome the journal knows are not done again, so calling this after an interruption goes on
/// behind the last finished step.
///
/// # Errors
/// When the journal cannot be read or written: what is done next is then unknown, so nothing is.
pub async fn execute(
    plan: &Plan<'_>,
    targets: &BTreeMap<String, Target>,
    effects: &dyn Effects,
    journal: &dyn Journal,
) -> Result<Report, JournalError> {
    let mut walk = Walk { plan, targets, effects, journal, names: Names::new(plan), steps: Vec::new() };
    let failed = walk.steps(&plan.handler.steps).await?;
    let Handler { on_success, on_failure, always, .. } = plan.handler;
    let callbacks = if failed.is_some() { ("on_failure", on_failure) } else { ("on_success", on_success) };
    let mut error = failed;
    for (word, singles) in [callbacks, ("always", always)] {
        let more = walk.callbacks(singles, word).await?;
        // The first failure is the one that people have to know.
        error = error.or(more);
    }
    let state = if error.is_some() { State::Failed } else { State::Succeeded };
    Ok(Report { handler: plan.handler.name.clone(), state, error, steps: walk.steps })
}

struct Walk<'a> {
    plan: &'a Plan<'a>,
    targets: &'a BTreeMap<String, Target>,
    effects: &'a dyn Effects,
    journal: &'a dyn Journal,
    names: Names,
    steps: Vec<StepReport>,
}

/// What one step, with its callbacks, came to.
struct Done {
    outcome: Outcome,
    reports: Vec<StepReport>,
}

impl Walk<'_> {
    /// The steps of `do`; says why it stopped.
    async fn steps(&mut self, steps: &[Step]) -> Result<Option<String>, JournalError> {
        for (place, step) in steps.iter().enumerate() {
            let singles = step.singles();
            let index = |member: usize| match step {
                Step::One(_) => place.to_string(),
                Step::Parallel(_) => format!("{place}.{member}"),
            };
            let all = singles.iter().enumerate().map(|(member, single)| self.whole(single, index(member)));
            let all: Vec<Result<Done, JournalError>> = join_all(all).await;
            let mut failed = None;
            for (single, done) in singles.iter().zip(all) {
                let Done { outcome, reports } = done?;
                self.names.add(single, &outcome);
                self.steps.extend(reports);
                if outcome.state == State::Failed && !single.goes_on && failed.is_none() {
                    let error = outcome.error.unwrap_or_default();
                    self.names.fail(Some((single, &error)));
                    failed = Some(error);
                }
            }
            if failed.is_some() {
                return Ok(failed);
            }
        }
        Ok(None)
    }

    /// Callbacks of the handler; a failing one does not keep the others from being done.
    async fn callbacks(&mut self, singles: &[Single], word: &str) -> Result<Option<String>, JournalError> {
        let mut failed = None;
        for (place, single) in singles.iter().enumerate() {
            let outcome = self.one(single, &format!("{word}.{place}"), &self.names).await?;
            self.names.add(single, &outcome);
            self.steps.push(told(single, &format!("{word}.{place}"), &outcome));
            if outcome.state == State::Failed && !single.goes_on && failed.is_none() {
                failed.clone_from(&outcome.error);
            }
        }
        Ok(failed)
    }

    /// One step with what is done before and after it.
    async fn whole(&self, single: &Single, index: String) -> Result<Done, JournalError> {
        let mut names = self.names.clone();
        let mut reports = Vec::new();
        let mut outcome = match self.skipped(single, &index, &names).await? {
            Some(outcome) => outcome,
            None => match self.around(&single.before, &index, "before", &mut names, &mut reports).await? {
                Some(error) => failure(error, Value::Null),
                None => self.one(single, &index, &names).await?,
            },
        };
        reports.push(told(single, &index, &outcome));
        if outcome.state == State::Skipped {
            return Ok(Done { outcome, reports });
        }
        names.add(single, &outcome);
        let failed = outcome.error.clone();
        names.fail(failed.as_deref().map(|error| (single, error)));
        let callbacks = match outcome.state {
            State::Failed => ("on_failure", &single.on_failure),
            _ => ("on_success", &single.on_success),
        };
        for (word, singles) in [callbacks, ("always", &single.always)] {
            let more = self.around(singles, &index, word, &mut names, &mut reports).await?;
            // A step whose callback failed has not done all that was asked of it.
            if let (Some(error), State::Succeeded) = (more, outcome.state) {
                outcome = failure(error, outcome.result);
            }
        }
        Ok(Done { outcome, reports })
    }

    /// Callbacks of a step. Those before it stop at the first failure, those after it are all done.
    async fn around(
        &self,
        singles: &[Single],
        index: &str,
        word: &str,
        names: &mut Names,
        reports: &mut Vec<StepReport>,
    ) -> Result<Option<String>, JournalError> {
        let mut failed = None;
        for (place, single) in singles.iter().enumerate() {
            let index = format!("{index}/{word}.{place}");
            let outcome = self.one(single, &index, names).await?;
            names.add(single, &outcome);
            reports.push(told(single, &index, &outcome));
            if outcome.state == State::Failed && !single.goes_on {
                failed = failed.or(outcome.error);
                if word == "before" {
                    break;
                }
            }
        }
        Ok(failed)
    }

    fn key(&self, index: &str) -> Key {
        Key { event: self.plan.event.key(), handler: self.plan.handler.name.clone(), index: index.to_owned() }
    }

    /// Whether the criterion of a step keeps it from being done. What was decided once stays decided.
    async fn skipped(&self, single: &Single, index: &str, names: &Names) -> Result<Option<Outcome>, JournalError> {
        let Some(when) = &single.when else { return Ok(None) };
        let key = self.key(index);
        match self.journal.recall(&key).await? {
            Recall::Finished(outcome) => Ok(Some(outcome).filter(|outcome| outcome.state == State::Skipped)),
            Recall::Begun => Ok(None),
            Recall::New if when.holds(names.value()) => Ok(None),
            Recall::New => {
                let outcome = Outcome { state: State::Skipped, result: Value::Null, error: None };
                self.journal.finish(&key, &outcome).await?;
                Ok(Some(outcome))
            }
        }
    }

    /// One action, as far as it is not known to be done.
    async fn one(&self, single: &Single, index: &str, names: &Names) -> Result<Outcome, JournalError> {
        if let Some(outcome) = self.skipped(single, index, names).await? {
            return Ok(outcome);
        }
        let key = self.key(index);
        let recall = self.journal.recall(&key).await?;
        if let Recall::Finished(outcome) = recall {
            return Ok(outcome);
        }
        let outcome = match single.action.render(names.value()) {
            Err(error) => failure(error.to_string(), Value::Null),
            Ok(arguments) => {
                let again = single.action.verb.is_repeatable(&arguments);
                if recall == Recall::Begun && !again {
                    let told = "the server was interrupted while it was done; whether it was done to the end is not known, \
                                so it is not done again";
                    failure(told.to_owned(), Value::Null)
                } else {
                    self.begin(&key, &arguments).await?;
                    self.act(single.action.verb, &key, arguments, names).await?
                }
            }
        };
        self.journal.finish(&key, &outcome).await?;
        Ok(outcome)
    }

    /// Notes that an action begins. What tells strangers' words from ours is for whoever sends them, and for no reader.
    async fn begin(&self, key: &Key, arguments: &Value) -> Result<(), JournalError> {
        self.journal.begin(key, &marked::plain_document(arguments.clone())).await
    }

    async fn act(&self, verb: Verb, key: &Key, arguments: Value, names: &Names) -> Result<Outcome, JournalError> {
        if verb == Verb::Notify {
            return self.notify(key, arguments, names).await;
        }
        let call = Call { key: key.clone(), event: self.plan.event };
        Ok(settled(perform(self.effects, &call, verb, arguments).await))
    }

    /// Each target is a step of its own, so that nobody is told twice because somebody else could not be.
    async fn notify(&self, key: &Key, arguments: Value, names: &Names) -> Result<Outcome, JournalError> {
        let wanted: crate::server::action::arguments::Notify = match read(arguments) {
            Ok(wanted) => wanted,
            Err(fault) => return Ok(settled(Err(fault))),
        };
        let handler = &self.plan.handler.name;
        let subject = wanted.subject.unwrap_or_else(|| message::subject(handler, names.value()));
        let text = wanted.text.unwrap_or_else(|| message::text(handler, names.value()));
        let mut calls = Vec::new();
        let mail =
            |to: &[String]| json!({"to": to, "subject": message::one_line(&subject), "text": marked::plain(&text)});
        if !wanted.mail.is_empty() {
            calls.push(("mail".to_owned(), Verb::Mail, mail(&wanted.mail)));
        }
        for name in &wanted.to {
            let Some(target) = self.targets.get(name) else {
                return Ok(failure(format!("there is no target `{name}` any more"), Value::Null));
            };
            if !target.mail.is_empty() {
                calls.push((name.clone(), Verb::Mail, mail(&target.mail)));
            }
            for service in target.chats.keys() {
                let chat = json!({"service": service, "secret": format!("notify:{name}"), "text": text});
                calls.push((format!("{name}.{service}"), Verb::Chat, chat));
            }
        }
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        for (name, verb, arguments) in calls {
            let key = Key { index: format!("{}/{name}", key.index), ..key.clone() };
            let outcome = if let Recall::Finished(outcome) = self.journal.recall(&key).await? {
                outcome
            } else {
                self.begin(&key, &arguments).await?;
                let call = Call { key: key.clone(), event: self.plan.event };
                let outcome = settled(perform(self.effects, &call, verb, arguments).await);
                self.journal.finish(&key, &outcome).await?;
                outcome
            };
            match outcome.error {
                None => sent.push(name),
                Some(error) => failed.push(format!("{name}: {error}")),
            }
        }
        let result = json!({"sent": sent});
        Ok(if failed.is_empty() { settled(Ok(result)) } else { failure(failed.join("; "), result) })
    }
}

fn settled(answer: Result<Value, EffectFault>) -> Outcome {
    match answer {
        Ok(result) => Outcome { state: State::Succeeded, result, error: None },
        Err(fault) => failure(fault.message, fault.result),
    }
}

fn failure(error: String, result: Value) -> Outcome {
    Outcome { state: State::Failed, result, error: Some(error) }
}

fn told(single: &Single, index: &str, outcome: &Outcome) -> StepReport {
    StepReport {
        index: index.to_owned(),
        name: single.name.clone(),
        verb: single.action.verb,
        state: outcome.state,
        error: outcome.error.clone(),
    }
}
