//! What the payload of a comment does not say, asked of the forge: what its author may do, and which commit it is about.
//!
//! The rules are those of the Action (`gha`): the head of the pull request counts only where the forge's own clock says that
//! it was there before the comment, or a commit that the comment names in full. Else the event is about no commit, and
//! nothing can be run for it. A stranger's comment is never about one.

use std::sync::Arc;

use serde_json::Value;

use crate::forge::{Permission, PullRequest};
use crate::gha::{self, Call, Command, CommentEvent, Decision, Facts, NotUnderstood, Reason, Trust};
use crate::server::event::{self, Event, Kind};
use crate::server::file::File;
use crate::server::forges::Forges;
use crate::web::Fault;

/// What a comment asks for that names no command of ours: a handler may have words of its own.
const PLAIN: &str = "/soopervisor run";

/// Asks forges about comments.
#[derive(Debug, Clone)]
pub struct Asking {
    file: Arc<File>,
    forges: Forges,
}

impl Asking {
    /// Asks for the handlers of this file.
    pub fn of(file: Arc<File>, forges: Forges) -> Self {
        Self { file, forges }
    }

    /// Fills in what the forge knows about a comment; other events stay as they are.
    ///
    /// # Errors
    /// Why the forge could not be asked now; another time it may. What it refuses to tell stays unknown.
    pub async fn fill(&self, event: &mut Event) -> Result<(), String> {
        if !self.asks_about(event) {
            return Ok(());
        }
        let Ok(place) = self.forges.place(&event.repo) else { return Ok(()) };
        let Some(comment) = read(event) else { return Ok(()) };
        let Ok(call) = Call::of(&comment) else { return Ok(()) };
        let facts = match gha::gather(&*place.forge, &place.repo, &comment, &call, None).await {
            Ok(facts) => facts,
            Err(fault) if fault.is_passing() || matches!(fault, Fault::Login(_)) => {
                return Err(place.said(&fault).message);
            }
            Err(fault) => {
                tracing::warn!(repo = event.repo, %fault, "the forge does not say what a comment's author may do");
                return Ok(());
            }
        };
        if let Some(said) = &mut event.comment {
            said.permission = Some(word(facts.permission).to_owned());
            rule(said, &comment, &facts);
        }
        describe(event, &facts.pull);
        // Which mode a handler runs is its own affair; here only the commit is wanted.
        let nothing = facts.pull.head.commit.clone();
        let happened = gha::Event::Comment(comment);
        if let Decision::Run(order) = gha::decide(&happened, &nothing, gha::SampleInput::default(), Some(&facts)) {
            event.after = Some(order.commit.clone());
            if let Some(pull) = event.pull.as_mut().filter(|_| order.commit == facts.pull.head.commit) {
                pull.head = Some(order.commit);
            }
        }
        Ok(())
    }

    /// Whether the forge is asked about an event.
    pub(super) fn asks_about(&self, event: &Event) -> bool {
        event.kind == Kind::Comment && self.waits_for_comments(&event.repo)
    }

    /// Whether any handler waits for comments there: nobody else is worth a request.
    pub(in crate::server) fn waits_for_comments(&self, repo: &str) -> bool {
        self.file.handlers.iter().any(|handler| {
            let here = handler.repos.is_empty() || handler.repos.iter().any(|glob| glob.matches(repo));
            handler.enabled && here && handler.on.contains(&Kind::Comment)
        })
    }
}

/// What the rules say of a command of ours, as it is written.
fn rule(said: &mut event::Comment, comment: &CommentEvent, facts: &Facts) {
    if Command::of(&said.body).is_none() {
        return;
    }
    let written = gha::Event::Comment(CommentEvent { body: said.body.clone(), ..comment.clone() });
    let nothing = facts.pull.head.commit.clone();
    match gha::decide(&written, &nothing, gha::SampleInput::default(), Some(facts)) {
        Decision::Run(order) | Decision::Done(order) => said.vouched = order.trust == Trust::Vouched,
        Decision::Cancel { .. } | Decision::Help { .. } => {}
        Decision::Refuse(reason) => {
            said.unanswered = matches!(reason, Reason::NotAllowed { .. } | Reason::TooMany { first: false, .. });
            said.refused = Some(reason.to_string());
        }
        Decision::Ignore(reason) => (said.refused, said.unanswered) = (Some(reason.to_string()), true),
    }
}

fn word(permission: Permission) -> &'static str {
    match permission {
        Permission::None => "none",
        Permission::Read => "read",
        Permission::Write => "write",
        Permission::Admin => "admin",
    }
}

fn describe(event: &mut Event, found: &PullRequest) {
    let Some(pull) = &mut event.pull else { return };
    pull.fork = found.is_fork();
    pull.head_branch = Some(found.head.branch.clone());
    pull.head_repo = found.head.repo.as_ref().map(ToString::to_string);
    pull.base_branch = Some(found.base.branch.clone());
}

/// The comment as the rules know it. One without a command of ours is read as one that asks for a run.
fn read(event: &Event) -> Option<CommentEvent> {
    let (comment, pull) = (event.comment.as_ref()?, event.pull.as_ref()?);
    let text = |pointer: &str| event.payload.pointer(pointer).and_then(Value::as_str);
    let created = comment.created?;
    let body = match Command::of(&comment.body) {
        // A commit that is cut short names none, and does not mean the head either.
        Some(Ok(Command::Run { .. }) | Err(NotUnderstood::Short)) => comment.body.clone(),
        // Help, a word of the handler's own, a plain sentence: all are about the head.
        Some(Ok(_) | Err(NotUnderstood::Words)) | None => PLAIN.to_owned(),
    };
    Some(CommentEvent {
        action: "created".to_owned(),
        number: pull.number,
        on_pull: true,
        open: true,
        id: comment.id,
        body,
        author: comment.author.clone(),
        bot: false,
        sender: text("/sender/login").unwrap_or(&comment.author).to_owned(),
        created,
    })
}
