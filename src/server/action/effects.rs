//! The seam between deciding and doing: one method an action, each told under which key it is asked.

use async_trait::async_trait;
use serde_json::Value;

use super::Verb;
use super::arguments::{Chat, Check, Command, Comment, Dispatch, Http, Label, Log, Mail, Run, Shell, Status, Trigger};
use crate::server::event::Event;
use crate::server::handler::Key;

/// One thing to be done.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// What for: the same key is the same thing, also after a restart.
    pub key: Key,
    /// Why.
    pub event: &'a Event,
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct EffectFault {
    /// What, where and why; no secrets.
    pub message: String,
    /// What came of it all the same, for later steps: the address of a failed run.
    pub result: Value,
    /// Somebody called it off: it was not done, and nothing failed.
    pub called_off: bool,
    /// There was nothing that it could be done to: it was not done, nothing failed, and what follows is done.
    pub needless: bool,
}

impl EffectFault {
    /// A failure of which nothing is left.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with(message, Value::Null)
    }

    /// A failure of which this is left.
    pub fn with(message: impl Into<String>, result: Value) -> Self {
        Self { message: message.into(), result, called_off: false, needless: false }
    }

    /// Not done, because somebody called it off.
    pub fn called_off(message: impl Into<String>, result: Value) -> Self {
        Self { called_off: true, ..Self::with(message, result) }
    }

    /// Not done, because there was nothing that it could be done to.
    pub fn needless(message: impl Into<String>) -> Self {
        Self { needless: true, ..Self::new(message) }
    }
}

/// The result of an action, an object with names of [`Verb::result`].
pub type Answer = Result<Value, EffectFault>;

/// Who does things. A method is called at most once for a key while nothing is interrupted; after an interruption
/// again, where [`Verb::is_repeatable`] says so.
#[async_trait]
pub trait Effects: Send + Sync {
    /// Runs the pipeline.
    async fn run(&self, call: &Call<'_>, wanted: Run) -> Answer;
    /// Runs scripts in a container.
    async fn shell(&self, call: &Call<'_>, wanted: Shell) -> Answer;
    /// Writes a comment, or brings it up to date.
    async fn comment(&self, call: &Call<'_>, wanted: Comment) -> Answer;
    /// Sets a commit status.
    async fn status(&self, call: &Call<'_>, wanted: Status) -> Answer;
    /// Reports a check run.
    async fn check(&self, call: &Call<'_>, wanted: Check) -> Answer;
    /// Adds labels, and takes labels away.
    async fn label(&self, call: &Call<'_>, wanted: Label) -> Answer;
    /// Does what a comment asks for.
    async fn command(&self, call: &Call<'_>, wanted: Command) -> Answer;
    /// Starts a workflow elsewhere.
    async fn dispatch(&self, call: &Call<'_>, wanted: Dispatch) -> Answer;
    /// Makes a request.
    async fn http(&self, call: &Call<'_>, wanted: Http) -> Answer;
    /// Sends a mail.
    async fn mail(&self, call: &Call<'_>, wanted: Mail) -> Answer;
    /// Writes to a chat.
    async fn chat(&self, call: &Call<'_>, wanted: Chat) -> Answer;
    /// Rebuilds other repositories.
    async fn trigger(&self, call: &Call<'_>, wanted: Trigger) -> Answer;
    /// Writes a line to the log.
    async fn log(&self, call: &Call<'_>, wanted: Log) -> Answer;
    /// Goes on, beside others, with what was left for later.
    async fn resume(&self) {}
    /// Returns once nothing is under way that may not be done twice.
    async fn quiet(&self) {}
    /// How many of the calls that go on do nothing but wait for the end of a run.
    fn waiting(&self) -> usize {
        0
    }
}

/// Calls the method for a verb; `notify` is several calls and not known here.
pub(crate) async fn perform(effects: &dyn Effects, call: &Call<'_>, verb: Verb, wanted: Value) -> Answer {
    match verb {
        Verb::Run => effects.run(call, read(wanted)?).await,
        Verb::Shell => effects.shell(call, read(wanted)?).await,
        Verb::Comment => effects.comment(call, read(wanted)?).await,
        Verb::Status => effects.status(call, read(wanted)?).await,
        Verb::Check => effects.check(call, read(wanted)?).await,
        Verb::Label => effects.label(call, read(wanted)?).await,
        Verb::Command => effects.command(call, read(wanted)?).await,
        Verb::Dispatch => effects.dispatch(call, read(wanted)?).await,
        Verb::Http => effects.http(call, read(wanted)?).await,
        Verb::Mail => effects.mail(call, read(wanted)?).await,
        Verb::Chat => effects.chat(call, read(wanted)?).await,
        Verb::Trigger => effects.trigger(call, read(wanted)?).await,
        Verb::Log => effects.log(call, read(wanted)?).await,
        Verb::Notify => Err(EffectFault::new("`notify` was not taken apart")),
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(wanted: Value) -> Result<T, EffectFault> {
    serde_json::from_value(wanted)
        .map_err(|error| EffectFault::new(format!("an argument is not as it should be: {error}")))
}
