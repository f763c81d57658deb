-- Builds elsewhere that were asked for, as `server::action::dispatch` writes them.
CREATE TABLE builds (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    changed_at INTEGER NOT NULL
);
