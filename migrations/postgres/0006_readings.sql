-- What the last reading asked for, as a JSON list of beginnings of refs; nothing where it was by an earlier program.
ALTER TABLE repos ADD COLUMN asked TEXT;
-- Where the host says that the repository is now.
ALTER TABLE repos ADD COLUMN moved TEXT;
