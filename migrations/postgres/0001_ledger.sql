-- The ledger. Times are nanoseconds since 1970, so that they keep their order exactly. Names sort by their bytes. What
-- people wrote stands in JSON texts, not jsonb: that takes no \u0000.

-- The result of one run of one job. The columns are what is asked for; the result has them all.
CREATE TABLE entry (
    job_id TEXT COLLATE "C" NOT NULL,
    run BIGINT NOT NULL,
    batch_id TEXT COLLATE "C",
    -- NULL where the job could not be read, like the two that follow.
    provider TEXT COLLATE "C",
    app_id TEXT COLLATE "C",
    room_id TEXT COLLATE "C",
    outcome TEXT COLLATE "C" NOT NULL,
    settled_at BIGINT NOT NULL,
    -- The whole result, as JSON.
    result TEXT NOT NULL,
    PRIMARY KEY (job_id, run)
);
CREATE INDEX entry_settled ON entry (settled_at);
CREATE INDEX entry_room ON entry (room_id, settled_at) WHERE room_id IS NOT NULL;
CREATE INDEX entry_batch ON entry (batch_id, settled_at) WHERE batch_id IS NOT NULL;
CREATE INDEX entry_provider ON entry (provider, settled_at) WHERE provider IS NOT NULL;
CREATE INDEX entry_app ON entry (app_id, settled_at) WHERE app_id IS NOT NULL;
-- The few that people look for among the many; with the outcome, so that the rows of the others need not be read.
CREATE INDEX entry_failed ON entry (settled_at, outcome)
    WHERE outcome IN ('already_gone', 'rejected', 'exhausted', 'expired', 'cancelled', 'invalid');

-- The requests of a run that its log still holds.
CREATE TABLE attempt (
    job_id TEXT COLLATE "C" NOT NULL,
    run BIGINT NOT NULL,
    -- Its place in the log: two may have been sent at one time.
    n INTEGER NOT NULL,
    at BIGINT NOT NULL,
    -- NULL if no reply gave one.
    request_id TEXT COLLATE "C",
    verdict TEXT COLLATE "C" NOT NULL,
    -- NULL if no reply came.
    http_status INTEGER,
    duration_ms BIGINT NOT NULL,
    -- Code and message, as JSON.
    error TEXT,
    PRIMARY KEY (job_id, run, n)
);
CREATE INDEX attempt_request ON attempt (request_id) WHERE request_id IS NOT NULL;

-- Counts change with every group of results: with room in each page, none of its indices does.
CREATE TABLE batch (
    batch_id TEXT COLLATE "C" PRIMARY KEY,
    -- NULL until somebody tells it.
    size BIGINT,
    created_at BIGINT NOT NULL,
    first_settled_at BIGINT,
    last_settled_at BIGINT,
    cancelled_at BIGINT,
    -- Who cancelled it first, when and why, as JSON.
    cancelled TEXT
) WITH (fillfactor = 50);
CREATE INDEX batch_created ON batch (created_at);
CREATE INDEX batch_cancelled ON batch (batch_id) WHERE cancelled_at IS NOT NULL;

CREATE TABLE batch_part (
    batch_id TEXT COLLATE "C" NOT NULL REFERENCES batch ON DELETE CASCADE,
    provider TEXT COLLATE "C" NOT NULL,
    lane TEXT COLLATE "C" NOT NULL,
    -- NULL until somebody tells it.
    jobs BIGINT,
    PRIMARY KEY (batch_id, provider, lane)
);

-- How many jobs of a batch ended how, each by its last run.
CREATE TABLE batch_tally (
    batch_id TEXT COLLATE "C" NOT NULL REFERENCES batch ON DELETE CASCADE,
    -- Empty where there is none.
    provider TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    jobs BIGINT NOT NULL,
    PRIMARY KEY (batch_id, provider, outcome)
) WITH (fillfactor = 50);

CREATE TABLE pause (
    provider TEXT COLLATE "C" PRIMARY KEY,
    -- Who paused it first, when and why, as JSON.
    act TEXT NOT NULL
);

CREATE TABLE sender (
    provider TEXT COLLATE "C" PRIMARY KEY,
    -- What its active sender told last, as JSON.
    report TEXT NOT NULL
);
