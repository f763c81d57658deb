-- Statuses of commits as they were last asked for: a newer one of the same name takes an older one's place, also one that
-- is left to be told later.
CREATE TABLE statuses (
    repo TEXT NOT NULL,
    sha TEXT NOT NULL,
    context TEXT NOT NULL,
    generation INTEGER NOT NULL,
    event_id INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    waiting TEXT,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (repo, sha, context)
);
CREATE INDEX statuses_changed ON statuses (changed_at);
