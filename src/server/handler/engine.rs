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
    /// Why it failed, or was called off.
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
    /// Why it failed, was called off, or had nothing to be done to.
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
    let mut stop = walk.steps(&plan.handler.steps).await?;
    let Handler { on_success, on_failure, always, .. } = plan.handler;
    let callbacks = after(stop.as_ref().map_or(State::Succeeded, |stop| stop.state), on_success, on_failure);
    for (word, singles) in callbacks.into_iter().chain([("always", always.as_slice())]) {
        let more = walk.callbacks(singles, word).await?;
        // The first failure is the one that people have to know.
        stop = stop.or(more);
    }
    let (state, error) = stop.map_or((State::Succeeded, None), |stop| (stop.state, Some(stop.why)));
    Ok(Report { handler: plan.handler.name.clone(), state, error, steps: walk.steps })
}

/// Why nothing further is done.
struct Stop {
    state: State,
    why: String,
}

impl Stop {
    /// That of a step which does not let others go on.
    fn of(single: &Single, outcome: &Outcome) -> Option<Self> {
        let stops = outcome.state.stops() && !single.goes_on;
        stops.then(|| Self { state: outcome.state, why: outcome.error.clone().unwrap_or_default() })
    }

    /// Of steps that are done at once, a failure says more than that one was called off.
    fn further(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.state == State::Failed && self.state != State::Failed => other,
            _ => self,
        }
    }
}

/// The callbacks for an ending, besides those that are always done. What was called off, or had nothing to be done to,
/// neither went well nor failed.
fn after<'a>(state: State, well: &'a [Single], not: &'a [Single]) -> Option<(&'static str, &'a [Single])> {
    match state {
        State::Succeeded => Some(("on_success", well)),
        State::Failed => Some(("on_failure", not)),
        State::Cancelled | State::Skipped => None,
    }
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
    async fn steps(&mut self, steps: &[Step]) -> Result<Option<Stop>, JournalError> {
        for (place, step) in steps.iter().enumerate() {
            let singles = step.singles();
            let index = |member: usize| match step {
                Step::One(_) => place.to_string(),
                Step::Parallel(_) => format!("{place}.{member}"),
            };
            let all = singles.iter().enumerate().map(|(member, single)| self.whole(single, index(member)));
            let all: Vec<Result<Done, JournalError>> = join_all(all).await;
            let mut stopped: Option<Stop> = None;
            for (single, done) in singles.iter().zip(all) {
                let Done { outcome, reports } = done?;
                self.names.add(single, &outcome);
                self.steps.extend(reports);
                let stop = Stop::of(single, &outcome);
                let first = stopped.as_ref().is_none_or(|known| known.state != State::Failed);
                if let Some(stop) = stop.as_ref().filter(|stop| first && stop.state == State::Failed) {
                    self.names.fail(Some((single, &stop.why)));
                }
                stopped = match stopped {
                    Some(known) => Some(known.further(stop)),
                    None => stop,
                };
            }
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
        Ok(None)
    }

    /// Callbacks of the handler; a failing one does not keep the others from being done.
    async fn callbacks(&mut self, singles: &[Single], word: &str) -> Result<Option<Stop>, JournalError> {
        let mut failed = None;
        for (place, single) in singles.iter().enumerate() {
            let outcome = self.one(single, &format!("{word}.{place}"), &self.names).await?;
            self.names.add(single, &outcome);
            self.steps.push(told(single, &format!("{word}.{place}"), &outcome));
            failed = failed.or(Stop::of(single, &outcome));
        }
        Ok(failed)
    }

    /// One step with what is done before and after it.
    async fn whole(&self, single: &Single, index: String) -> Result<Done, JournalError> {
        let mut names = self.names.clone();
        let mut reports = Vec::new();
        if let Some(outcome) = self.skipped(single, &index, &names).await? {
            reports.push(told(single, &index, &outcome));
            return Ok(Done { outcome, reports });
        }
        let mut outcome = match self.around(&single.before, &index, "before", &mut names, &mut reports).await? {
            Some(Stop { state, why }) => Outcome { state, result: Value::Null, error: Some(why) },
            None => self.one(single, &index, &names).await?,
        };
        reports.push(told(single, &index, &outcome));
        names.add(single, &outcome);
        let failed = outcome.error.clone().filter(|_| outcome.state == State::Failed);
        names.fail(failed.as_deref().map(|error| (single, error)));
        let callbacks = after(outcome.state, &single.on_success, &single.on_failure);
        for (word, singles) in callbacks.into_iter().chain([("always", single.always.as_slice())]) {
            let more = self.around(singles, &index, word, &mut names, &mut reports).await?;
            // A step whose callback failed has not done all that was asked of it.
            if let (Some(Stop { state, why }), State::Succeeded) = (more, outcome.state) {
                outcome = Outcome { state, result: outcome.result, error: Some(why) };
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
    ) -> Result<Option<Stop>, JournalError> {
        let mut failed = None;
        for (place, single) in singles.iter().enumerate() {
            let index = format!("{index}/{word}.{place}");
            let outcome = self.one(single, &index, names).await?;
            names.add(single, &outcome);
            reports.push(told(single, &index, &outcome));
            failed = failed.or(Stop::of(single, &outcome));
            if word == "before" && failed.is_some() {
                break;
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
            // One that had nothing to be done to says so, and was begun.
            Recall::Finished(outcome) => {
                Ok(Some(outcome).filter(|outcome| outcome.state == State::Skipped && outcome.error.is_none()))
            }
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
        Err(fault) if fault.needless => {
            Outcome { state: State::Skipped, result: fault.result, error: Some(fault.message) }
        }
        Err(fault) if fault.called_off => {
            Outcome { state: State::Cancelled, result: fault.result, error: Some(fault.message) }
        }
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
