-- The ledger: in a file of its own, or in that of the embedded queue. Times are nanoseconds since 1970.

-- A run of a job that is over.
CREATE TABLE entry (
    job_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    batch_id TEXT,
    provider TEXT,
    app_id TEXT,
    room_id TEXT,
    outcome TEXT NOT NULL,
    settled_at INTEGER NOT NULL,
    -- The whole result, as JSON.
    result TEXT NOT NULL,
    PRIMARY KEY (job_id, run)
) STRICT;
CREATE INDEX entry_recent ON entry (settled_at);
CREATE INDEX entry_room ON entry (room_id, settled_at) WHERE room_id IS NOT NULL;
CREATE INDEX entry_provider ON entry (provider, settled_at);
CREATE INDEX entry_app ON entry (app_id, settled_at) WHERE app_id IS NOT NULL;
-- With what else is counted or asked for in a batch, so that the rows need not be read.
CREATE INDEX entry_batch ON entry (batch_id, settled_at, outcome, job_id) WHERE batch_id IS NOT NULL;
-- What ended otherwise is rare, and looked for first.
CREATE INDEX entry_failed ON entry (outcome, settled_at, provider) WHERE outcome <> 'dismissed';

-- The requests of a run that its result tells of.
CREATE TABLE attempt (
    job_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    -- In the order of sending: several may have been sent at a time.
    nr INTEGER NOT NULL,
    at INTEGER NOT NULL,
    request_id TEXT,
    verdict TEXT NOT NULL,
    http_status INTEGER,
    duration_ms INTEGER NOT NULL,
    -- Its code and message, as JSON.
    error TEXT,
    PRIMARY KEY (job_id, run, nr)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_request ON attempt (request_id) WHERE request_id IS NOT NULL;

CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    -- NULL while nobody told it.
    size INTEGER,
    created_at INTEGER NOT NULL,
    cancelled_at INTEGER,
    cancelled_by TEXT,
    cancelled_why TEXT,
    first_settled_at INTEGER,
    last_settled_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_newest ON batch (created_at);
CREATE INDEX batch_cancelled ON batch (cancelled_at) WHERE cancelled_at IS NOT NULL;

CREATE TABLE batch_part (
    batch_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    lane TEXT NOT NULL,
    -- NULL while nobody told it.
    jobs INTEGER,
    PRIMARY KEY (batch_id, provider, lane)
) STRICT, WITHOUT ROWID;

-- Each job of a batch by how its last run ended.
CREATE TABLE batch_tally (
    batch_id TEXT NOT NULL,
    -- Empty: none.
    provider TEXT NOT NULL,
    outcome TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (batch_id, provider, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE pause (
    provider TEXT PRIMARY KEY,
    paused_at INTEGER NOT NULL,
    paused_by TEXT NOT NULL,
    why TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE sender (
    provider TEXT PRIMARY KEY,
    -- What it told last, as JSON.
    report TEXT NOT NULL
) STRICT, WITHOUT ROWID;
