-- What the mechanism of every service remembers; one statement per paragraph, run inside the service's first migration.

-- Append-only truth of what this service said, as it goes onto the wire. Kept as long as its subject.
CREATE TABLE event_log (
    pos         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL UNIQUE,
    topic       text NOT NULL,
    key         uuid NOT NULL,
    seq         integer NOT NULL CHECK (seq > 0),
    type        text NOT NULL,
    headers     jsonb NOT NULL,
    payload     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (topic, key, seq)
);

CREATE INDEX event_log_key ON event_log (key);

-- Narrow queue of positions; a row is deleted when the broker has acknowledged. No foreign key: it would cost a lock per row.
CREATE TABLE outbox (
    pos    bigint PRIMARY KEY,
    topic  text NOT NULL,
    key    uuid NOT NULL
);

ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, fillfactor = 90);

-- A subject whose first unsent record can never be sent; the others go on.
CREATE TABLE outbox_hold (
    topic   text NOT NULL,
    key     uuid NOT NULL,
    reason  text NOT NULL,
    since   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, key)
);

-- What was published, numbered per topic in the order of publication: the proof of delivery, and the order of a feed.
CREATE TABLE publication (
    topic         text NOT NULL,
    number        bigint NOT NULL,
    pos           bigint NOT NULL,
    partition     integer NOT NULL,
    "offset"      bigint NOT NULL,
    published_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, number)
);

CREATE INDEX publication_pos ON publication (pos);

-- Last number given to a fact, per topic and subject: 1, 2, 3 … without gaps, counted under the subject's lock.
CREATE TABLE stream_head (
    topic  text NOT NULL,
    key    uuid NOT NULL,
    last   integer NOT NULL,
    PRIMARY KEY (topic, key)
);

-- Causes that have had their effect: an event may concern several subjects, hence the subject in the key.
CREATE TABLE inbox (
    consumer     text NOT NULL,
    event_id     uuid NOT NULL,
    subject      uuid NOT NULL,
    topic        text NOT NULL,
    key          uuid NOT NULL,
    seq          integer NOT NULL,
    type         text NOT NULL,
    traceparent  text,
    said_at      timestamptz,
    heard_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, event_id, subject)
);

CREATE INDEX inbox_key ON inbox (key);

CREATE INDEX inbox_heard_at ON inbox (heard_at);

-- Per consumer, topic and subject: the last number and id applied. Tells a repeat, a gap and a fork apart, for ever.
CREATE TABLE lane (
    consumer    text NOT NULL,
    topic       text NOT NULL,
    key         uuid NOT NULL,
    last_seq    integer NOT NULL,
    last_id     uuid,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, key)
);

-- Events that wait for a human (or for what is missing before them), original bytes, in the order of their lane.
CREATE TABLE parked (
    consumer       text NOT NULL,
    topic          text NOT NULL,
    key            uuid NOT NULL,
    seq            integer NOT NULL,
    event_id       uuid NOT NULL,
    type           text NOT NULL,
    partition      integer NOT NULL,
    "offset"       bigint NOT NULL,
    headers        jsonb NOT NULL,
    payload        bytea NOT NULL,
    error_class    text NOT NULL,
    reason         text NOT NULL,
    attempts       integer NOT NULL DEFAULT 1,
    traceparent    text,
    parked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_tried_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, key, seq, event_id)
);

-- Records that are no events: bytes sealed by encryption with the service's own key, because nobody knows what is in them.
CREATE TABLE unreadable (
    consumer   text NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    "offset"   bigint NOT NULL,
    reason     text NOT NULL,
    sealed     bytea NOT NULL,
    found_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, partition, "offset")
);

-- One row per subject and kind of deadline; the database's clock decides.
CREATE TABLE deadline (
    kind      text NOT NULL,
    subject   uuid NOT NULL,
    id        uuid NOT NULL,
    due_at    timestamptz NOT NULL,
    attempts  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject)
);

CREATE INDEX deadline_due ON deadline (due_at);

-- Work that needs the network, written with the decision that asks for it; ids and codes only.
CREATE TABLE errand (
    name       text NOT NULL,
    subject    uuid NOT NULL,
    key        text NOT NULL,
    id         uuid NOT NULL,
    about      jsonb NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    last_word  text,
    taken_by   text,
    traceparent text,
    next_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, subject, key)
);

CREATE INDEX errand_next ON errand (next_at);

-- Rules across subjects: only one holder per (name, key).
CREATE TABLE reservation (
    name    text NOT NULL,
    key     text NOT NULL,
    holder  uuid NOT NULL,
    since   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, key)
);

-- Idempotency-Key and its answer: ids, states, versions; never content. The fingerprint is an HMAC under a secret of the service.
CREATE TABLE answer (
    principal    text NOT NULL,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    status       integer,
    headers      jsonb,
    body         bytea,
    answered_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (principal, key)
);

CREATE INDEX answer_answered_at ON answer (answered_at);

-- Random secrets of this service: the fingerprint key, the key that seals unreadable records.
CREATE TABLE service_secret (
    name   text PRIMARY KEY,
    value  bytea NOT NULL
);
