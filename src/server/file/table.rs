//! The keys of the server's file, but for those of handlers.

use super::form::{Form, Table, may, must};
use crate::server::action::table::CHATS;

/// What is kept, and for how long.
const KEEP: Table = Table {
    what: "`keep`",
    keys: &[
        may("logs", Form::Duration, "logs of runs that went well; those of others twice as long [default: 90d]"),
        may("log_size", Form::Size, "bytes of all logs together; where it is more, the oldest go first [default: 20G]"),
    ],
};

const SERVER: Table = Table {
    what: "`server`",
    keys: &[
        may("bind", Form::Bind, "where it listens [default: 127.0.0.1:8080]"),
        may(
            "database",
            Form::Secret,
            "where the address of a Postgres database is; without it, SQLite below the home of soopervisor",
        ),
        may(
            "workers",
            Form::Count(0, 1000),
            "runs at once in this process; 0 leaves them to `soopervisor worker` [default: 2]",
        ),
        may("concurrency", Form::Count(1, 100_000), "runs at once on all workers together [default: no limit]"),
        may(
            "lease",
            Form::Duration,
            "how long a worker may be silent before its runs are given to others [default: 60s]",
        ),
        may(
            "poll_rate",
            Form::Count(1, 10_000),
            "readings of repositories a second, of one host with one credential [default: 20]",
        ),
        may("keep", Form::Object(&KEEP), "how long history is kept"),
        may("public_url", Form::Url(&["https", "http"]), "how the server is reached from outside, for links"),
    ],
};

const CREDENTIAL: Table = Table {
    what: "a credential",
    keys: &[
        may("token", Form::Secret, "a token, for HTTPS and for the forge's API"),
        may(
            "trigger_token",
            Form::Secret,
            "a GitLab project's pipeline trigger token: `dispatch` starts pipelines with it in place of `token`",
        ),
        may("user", Form::Name, "the user that goes with the token, where the server asks for one"),
        may("ssh_key", Form::Secret, "a private key, for SSH"),
        may("app_id", Form::Count(1, u64::MAX), "a GitHub App's id"),
        may("private_key", Form::Secret, "the App's private key"),
        may("installation", Form::Count(1, u64::MAX), "the App's installation [default: found by the repository]"),
        may("api", Form::Url(&["https", "http"]), "the forge's API [default: by the repository's host and `forge`]"),
        may(
            "forge",
            Form::Choice(&["github", "gitlab", "gitea"]),
            "which forge the host is; gitea is Forgejo too [default: by the host or by `api`]",
        ),
    ],
};

const WEBHOOK: Table = Table {
    what: "a webhook",
    keys: &[must("secrets", Form::List(&Form::Secret), "secrets that sign deliveries; several while they are changed")],
};

const WEBHOOKS: Table = Table {
    what: "`webhooks`",
    keys: &[
        may("github", Form::Object(&WEBHOOK), "GitHub, at /hooks/github"),
        may("gitea", Form::Object(&WEBHOOK), "Gitea and Forgejo, at /hooks/gitea"),
        may("gitlab", Form::Object(&WEBHOOK), "GitLab, at /hooks/gitlab"),
    ],
};

/// One repository.
pub const REPO: Table = Table {
    what: "a repository",
    keys: &[
        must("url", Form::Repository, "its address"),
        may("name", Form::Name, "its name here [default: the last two parts of the address]"),
        may("branches", Form::List(&Form::Glob), "branches that are watched [default: all]"),
        may("tags", Form::List(&Form::Glob), "tags that are watched [default: none]"),
        may("poll", Form::WordOr("off", &Form::Duration), "how often it is asked, or `off` [default: 60s]"),
        may("credential", Form::Name, "a name of `credentials`"),
        may("project", Form::Name, "first folder in the storage [default: the repository's name]"),
        may("storage", Form::Text, "where outputs go"),
        may(
            "secrets",
            Form::List(&Form::Name),
            "names of `secrets` that its pipelines get; what its commits name besides is refused [default: none]",
        ),
        may("concurrency", Form::Count(1, 100), "runs at once [default: 1]"),
        may(
            "commits",
            Form::Choice(&["latest", "each_push", "each_commit"]),
            "what is an event when several commits came: the last (the default), each push, each commit",
        ),
        may(
            "on_first_seen",
            Form::Choice(&["record", "run_default_branch"]),
            "what happens when it is seen first [default: record]",
        ),
        may(
            "dependents",
            Form::WordOr("all", &Form::List(&Form::Glob)),
            "repositories that `trigger` rebuilds: `all`, or globs over names",
        ),
        may("submodules", Form::Flag, "`shell` fetches submodules that are on the same host [default: false]"),
    ],
};

const TARGET: Table = Table {
    what: "a target",
    keys: &[
        may("mail", Form::List(&Form::Mail), "addresses"),
        may(CHATS[0], Form::Secret, "a Slack webhook's address, by reference"),
        may(CHATS[1], Form::Secret, "a Mattermost webhook's address, by reference"),
        may(CHATS[2], Form::Secret, "a Microsoft Teams webhook's address, by reference"),
        may(CHATS[3], Form::Secret, "a Discord webhook's address, by reference"),
    ],
};

const MAIL: Table = Table {
    what: "`mail`",
    keys: &[
        must("host", Form::Text, "the SMTP server"),
        may("port", Form::Count(1, 65_535), "its port [default: 587, 465 with `tls: implicit`, 25 with `tls: none`]"),
        must("from", Form::Mail, "the sender's address"),
        may(
            "tls",
            Form::Choice(&["starttls", "implicit", "none"]),
            "how the connection is protected [default: starttls]",
        ),
        may("user", Form::Text, "the user to log in as"),
        may("password", Form::Secret, "the password, by reference"),
        may("ca", Form::Text, "a file of certificates to trust"),
        may("timeout", Form::Duration, "how long sending may take [default: 30s]"),
    ],
};

const HTTP: Table = Table {
    what: "`http`",
    keys: &[
        may(
            "allow",
            Form::List(&Form::Text),
            "hosts, addresses or networks that are not public and may be reached all the same",
        ),
        may("deny", Form::List(&Form::Text), "hosts, addresses or networks that may not be reached"),
        may("max_size", Form::Size, "bytes of an answer [default: 1M]"),
    ],
};

/// The file.
pub const FILE: Table = Table {
    what: "the server's file",
    keys: &[
        may("server", Form::Object(&SERVER), "how the server itself runs"),
        may("secrets", Form::Map(&Form::Secret), "secrets by name, for actions; `env:NAME` or `file:PATH`"),
        may("credentials", Form::Map(&Form::Object(&CREDENTIAL)), "how repositories and forges are reached"),
        may("webhooks", Form::Object(&WEBHOOKS), "who may deliver webhooks"),
        may("repos", Form::List(&Form::Object(&REPO)), "the repositories that are watched"),
        may("notify", Form::Map(&Form::Object(&TARGET)), "whom to tell"),
        may("mail", Form::Object(&MAIL), "how mails are sent"),
        may("http", Form::Object(&HTTP), "what HTTP actions may reach"),
        may("handlers", Form::Json, "what is done when something happens"),
    ],
};
