-- A held lane is tried again by itself when its first event is due; where it failed first, traces of later tries link to.
ALTER TABLE parked ADD COLUMN failed_in text, ADD COLUMN next_attempt_at timestamptz;

-- What was parked before there was a clock for it is due at once.
UPDATE parked SET next_attempt_at = clock_timestamp()
WHERE error_class NOT IN ('gap', 'behind', 'fork', 'invalid-body', 'wrong-key', 'wrong-topic', 'unreadable');

CREATE INDEX parked_due ON parked (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
