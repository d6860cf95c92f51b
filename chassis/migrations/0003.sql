-- Where hearing stands: the next offset of each partition, written in the transaction of what was heard before it. The
-- broker's committed offsets are no substitute: they know nothing of a restore of this database.
CREATE TABLE heard_up_to (
    consumer     text NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    next_offset  bigint NOT NULL CHECK (next_offset >= 0),
    written_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, partition)
);
