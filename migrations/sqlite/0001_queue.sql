-- The embedded queue. Times are milliseconds since 1970.

-- A job that waits or is being sent. Which ones are in hand only the one sender knows: if it dies, all are free again.
CREATE TABLE job (
    -- Never given twice, so that a job in hand is not mistaken for a later one.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    -- 0 urgent, 1 bulk
    lane INTEGER NOT NULL,
    -- 0 tried before, 1 new
    rank INTEGER NOT NULL,
    -- 0: at once
    available_at INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    -- The sweep it belongs to.
    tag TEXT,
    -- As it was put in, never rewritten.
    body BLOB NOT NULL,
    -- What is known of it so far, as JSON.
    progress TEXT
) STRICT;
CREATE INDEX job_next ON job (provider, lane, rank, available_at, seq);
CREATE INDEX job_due ON job (provider, available_at) WHERE available_at > 0;
CREATE INDEX job_tag ON job (tag) WHERE tag IS NOT NULL;

CREATE TABLE result (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    tag TEXT,
    batch_id TEXT,
    -- NULL where it is none of ours.
    provider TEXT,
    app_id TEXT,
    room_id TEXT,
    outcome TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    request_id TEXT,
    settled_at INTEGER NOT NULL,
    -- The whole result.
    json TEXT NOT NULL
) STRICT;
CREATE INDEX result_job ON result (job_id);
CREATE INDEX result_tally ON result (tag, outcome, attempts) WHERE tag IS NOT NULL;
CREATE INDEX result_tag ON result (tag) WHERE tag IS NOT NULL;

CREATE TABLE dead (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    tag TEXT,
    batch_id TEXT,
    provider TEXT,
    outcome TEXT NOT NULL,
    died_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    -- What travelled beside the body, and the headers that say why it is here, as JSON.
    properties TEXT NOT NULL
) STRICT;

CREATE TABLE sweep (
    tag TEXT PRIMARY KEY,
    -- Of what was to be swept.
    digest TEXT NOT NULL,
    total INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    -- NULL while there is something left to do.
    finished_at INTEGER
) STRICT;
CREATE INDEX sweep_digest ON sweep (digest) WHERE finished_at IS NULL;
