-- What is looked up for each event that is swept, and for each run that ended: without these, by reading every run.
CREATE INDEX runs_event ON runs (event_id);
CREATE INDEX runs_lane ON runs (lane, id);
