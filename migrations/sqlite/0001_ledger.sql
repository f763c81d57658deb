-- Times are milliseconds since 1970 by the database's own clock; JSON is text.
CREATE TABLE repos (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL DEFAULT '{}',
    active INTEGER NOT NULL DEFAULT 1,
    first_seen INTEGER,
    read_at INTEGER,
    changed_at INTEGER,
    hook_at INTEGER,
    head TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    fault TEXT,
    created_at INTEGER NOT NULL
);

CREATE TABLE refs (
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sha TEXT NOT NULL,
    generation INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (repo_id, name)
);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    forge TEXT NOT NULL,
    delivery TEXT NOT NULL,
    event TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    fault TEXT,
    received_at INTEGER NOT NULL,
    UNIQUE (forge, delivery)
);
CREATE INDEX deliveries_waiting ON deliveries (state, not_before);
CREATE INDEX deliveries_received ON deliveries (received_at);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    repo_id INTEGER REFERENCES repos (id) ON DELETE SET NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    reference TEXT,
    old_sha TEXT,
    new_sha TEXT,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    fault TEXT,
    created_at INTEGER NOT NULL,
    handled_at INTEGER
);
CREATE INDEX events_waiting ON events (state, not_before);
CREATE INDEX events_created ON events (created_at);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    repo_id INTEGER NOT NULL REFERENCES repos (id),
    event_id INTEGER REFERENCES events (id) ON DELETE SET NULL,
    lane TEXT NOT NULL,
    reference TEXT,
    sha TEXT NOT NULL,
    mode TEXT NOT NULL,
    request TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease_until INTEGER,
    cancel INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    exit_code INTEGER,
    summary TEXT,
    local_run TEXT,
    superseded_by INTEGER REFERENCES runs (id)
);
CREATE INDEX runs_state ON runs (state, priority DESC, id);
CREATE INDEX runs_repo ON runs (repo_id, id);
CREATE INDEX runs_commit ON runs (repo_id, sha, mode);

CREATE TABLE attempts (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    worker TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    summary TEXT,
    PRIMARY KEY (run_id, epoch)
);

CREATE TABLE steps (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    elapsed_ms INTEGER NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (run_id, epoch, seq)
);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    handler TEXT NOT NULL,
    position INTEGER NOT NULL,
    action TEXT NOT NULL,
    retryable INTEGER NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    result TEXT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    UNIQUE (event_id, handler, position)
);
CREATE INDEX outbox_waiting ON outbox (state, not_before);

CREATE TABLE journal (
    event TEXT NOT NULL,
    handler TEXT NOT NULL,
    step TEXT NOT NULL,
    arguments TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    outcome TEXT,
    ended_at INTEGER,
    PRIMARY KEY (event, handler, step)
);
CREATE INDEX journal_begun ON journal (begun_at);

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    revoked_at INTEGER
);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    next_at INTEGER NOT NULL,
    last_at INTEGER
);

CREATE TABLE handlers (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
);
