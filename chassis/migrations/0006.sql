-- A database that is older than what it has said: when that was found, by which signs, and what mended it.
CREATE TABLE restoration (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    found_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    findings      jsonb NOT NULL,
    recovered_at  timestamptz,
    recovered_by  text,
    report        jsonb
);

-- One at a time: while it is not mended the service stays shut.
CREATE UNIQUE INDEX restoration_open ON restoration ((true)) WHERE recovered_at IS NULL;

-- Up to which offset everything on a topic is accounted for: the next look at it begins there.
CREATE TABLE judged_up_to (
    topic        text NOT NULL,
    partition    integer NOT NULL,
    next_offset  bigint NOT NULL,
    judged_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition)
);
