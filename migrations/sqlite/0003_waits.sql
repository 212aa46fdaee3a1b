-- A retry waits by a clock that nobody sets; only a job's own time is told by the wall clock.

-- For how long the job was deferred, in milliseconds: then available_at is told by the sender's own clock, which showed the
-- wall-clock time when the sender started. 0: it waits for its own time, or not at all.
ALTER TABLE job ADD COLUMN wait_ms INTEGER NOT NULL DEFAULT 0;

DROP INDEX job_due;
CREATE INDEX job_due ON job (provider, available_at) WHERE available_at > 0 AND wait_ms = 0;
CREATE INDEX job_deferred ON job (provider, available_at) WHERE wait_ms > 0;
