//! The sorts of events, and who tells of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$about])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As written in files, in the database and in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|one| one.name() == text).ok_or(())
            }
        }
    };
}

words! {
    /// What sort of thing happened.
    Kind {
        /// A branch that was there points somewhere else. Handlers `on: push` hear of new branches, too.
        Push = "push",
        /// A branch is new, or there again.
        BranchCreated = "branch_created",
        /// A branch is gone.
        BranchDeleted = "branch_deleted",
        /// A tag is new.
        TagCreated = "tag_created",
        /// A tag points somewhere else.
        TagMoved = "tag_moved",
        /// A tag is gone.
        TagDeleted = "tag_deleted",
        /// A pull request was opened, got commits, was closed, labelled, and so on (`event.pull.action`).
        PullRequest = "pull_request",
        /// Somebody wrote a comment.
        Comment = "comment",
        /// A schedule struck.
        Schedule = "schedule",
        /// A person or a program asked for it.
        Manual = "manual",
        /// A run that a worker had ended; one that was cancelled or superseded before it began is none.
        RunFinished = "run_finished",
        /// A workflow of the forge left an artifact.
        Artifact = "artifact",
        /// Somebody set a status on a commit.
        CommitStatus = "commit_status",
    }
}

words! {
    /// Who told of an event.
    Source {
        /// A poll of the refs.
        Poll = "poll",
        /// A webhook.
        Webhook = "webhook",
        /// A schedule of the server's file.
        Schedule = "schedule",
        /// A person at the command line or in the browser.
        Person = "person",
        /// A program through the API.
        Api = "api",
        /// The server itself, for instance when a run ended.
        Server = "server",
    }
}
