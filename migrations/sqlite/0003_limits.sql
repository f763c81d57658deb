-- What the server's file says of all workers, on every machine.
ALTER TABLE repos ADD COLUMN concurrency INTEGER NOT NULL DEFAULT 1;
CREATE TABLE policy (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
-- What a run published, as JSON: where, and its first files.
ALTER TABLE runs ADD COLUMN artifacts TEXT;
