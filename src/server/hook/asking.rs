//! What the payload of a comment does not say, asked of the forge: what its author may do, and which commit it is about.
//!
//! The rules are those of the Action (`gha`): the head of the pull request counts only where the forge's own clock says that
//! it was there before the comment, or a commit that the comment names in full. Else the event is about no commit, and
//! nothing can be run for it. A stranger's comment is never about one.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::forge::{Permission, PullRequest};
use crate::gha::{self, Call, Command, CommentEvent, Decision, NotUnderstood};
use crate::server::event::{Event, Kind};
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
        if event.kind != Kind::Comment || !self.is_wanted(event) {
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
        if let Some(comment) = &mut event.comment {
            comment.permission = Some(word(facts.permission).to_owned());
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

    /// Whether any handler waits for comments there: nobody else is worth a request.
    fn is_wanted(&self, event: &Event) -> bool {
        self.file.handlers.iter().any(|handler| {
            let here = handler.repos.is_empty() || handler.repos.iter().any(|glob| glob.matches(&event.repo));
            handler.enabled && here && handler.on.contains(&Kind::Comment)
        })
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
    let created: Timestamp = text("/comment/created_at")?.parse().ok()?;
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
