-- How far a list of a forge's was read: comments of repositories whose webhooks do not reach us.
CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
