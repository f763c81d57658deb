//! Every request that the API takes: one table, from which the description is made and by which tests hold the router.

use super::token::Scope;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `get`, `post`, `put`, `delete`.
    pub method: &'static str,
    /// With parameters in braces.
    pub path: &'static str,
    /// Unique, for clients that are made from the description.
    pub id: &'static str,
    /// One line.
    pub about: &'static str,
    /// What a token must allow; none where nobody is asked.
    pub scope: Option<Scope>,
    /// Parameters of the query: name, type, one line.
    pub query: &'static [(&'static str, &'static str, &'static str)],
    /// The schema of the body.
    pub body: Option<&'static str>,
    /// Status and schema of the answer; media types, separated by commas, where it is no JSON.
    pub answer: (u16, &'static str),
}

const fn get(path: &'static str, id: &'static str, about: &'static str, answer: &'static str) -> Route {
    Route { method: "get", path, id, about, scope: Some(Scope::Read), query: &[], body: None, answer: (200, answer) }
}

const OLDER: (&str, &str, &str) = ("before", "int64", "only those with a lower number");
const LIMIT: (&str, &str, &str) = ("limit", "limit", "at most so many, 200 at most; 50 when it is left out");

const LOG: &str = "The masked log of a run; where it lies with a worker elsewhere, the 404 says with which";

/// All of them.
pub const ROUTES: &[Route] = &[
    Route { scope: None, ..get("/healthz", "health", "Whether the process is there", "text/plain") },
    Route { scope: None, ..get("/readyz", "ready", "Whether database, disk and engine are there", "Ready") },
    get("/metrics", "metrics", "Counters for Prometheus", "text/plain"),
    Route { scope: None, ..get("/api/openapi.json", "description", "This description", "application/json") },
    Route {
        method: "post",
        scope: None,
        body: Some("SetUp"),
        answer: (201, "NewToken"),
        ..get("/api/setup", "setUp", "Trade the one-time set-up token for the first admin token", "NewToken")
    },
    get("/api/repos", "listRepos", "Repositories that are watched", "RepoList"),
    Route {
        method: "post",
        scope: Some(Scope::Run),
        body: Some("Trigger"),
        answer: (202, "Triggered"),
        ..get("/api/trigger", "trigger", "Ask for a run by hand, as `soopervisor trigger` does", "Triggered")
    },
    Route {
        query: &[("repo", "string", "only of this repository"), ("state", "state", "only in this state"), OLDER, LIMIT],
        ..get("/api/runs", "listRuns", "Runs, newest first", "RunList")
    },
    get("/api/runs/{id}", "getRun", "One run with its steps and attempts", "RunDetail"),
    Route {
        query: &[("follow", "boolean", "as a stream of events until the run ends; `Last-Event-ID` resumes it")],
        ..get("/api/runs/{id}/log", "getLog", LOG, "text/plain, text/event-stream")
    },
    Route {
        method: "post",
        scope: Some(Scope::Run),
        answer: (202, "Cancelled"),
        ..get("/api/runs/{id}/cancel", "cancelRun", "Stop a run", "Cancelled")
    },
    Route { query: &[OLDER, LIMIT], ..get("/api/events", "listEvents", "Events, newest first", "EventList") },
    get("/api/events/{id}", "getEvent", "One event, with each step that was done because of it", "EventDetail"),
    Route {
        scope: Some(Scope::Admin),
        ..get("/api/tokens", "listTokens", "Tokens, without the tokens themselves", "TokenList")
    },
    Route {
        method: "post",
        scope: Some(Scope::Admin),
        body: Some("TokenAsk"),
        answer: (201, "NewToken"),
        ..get("/api/tokens", "createToken", "Make a token; it is shown this once", "NewToken")
    },
    Route {
        method: "delete",
        scope: Some(Scope::Admin),
        answer: (204, ""),
        ..get("/api/tokens/{id}", "revokeToken", "Take a token back", "")
    },
    Route {
        query: &[LIMIT],
        scope: Some(Scope::Admin),
        ..get("/api/audit", "listAudit", "Who changed what, newest first", "AuditList")
    },
    get("/api/handlers", "listHandlers", "Handlers of the server's file and of the API", "HandlerList"),
    Route {
        method: "put",
        scope: Some(Scope::Admin),
        body: Some("HandlerAsk"),
        answer: (200, "HandlerVersion"),
        ..get("/api/handlers/{name}", "putHandler", "Write a new version of a handler", "HandlerVersion")
    },
    Route {
        method: "delete",
        scope: Some(Scope::Admin),
        answer: (200, "HandlerVersion"),
        ..get("/api/handlers/{name}", "deleteHandler", "Remove a handler; its versions are kept", "HandlerVersion")
    },
    get("/api/handlers/{name}/versions", "listHandlerVersions", "Every version, newest first", "HandlerVersionList"),
];
