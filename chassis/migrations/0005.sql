-- Who asked for which parked event to be skipped, who agreed, when and why. Rows are added, never changed.
CREATE TABLE skip (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer     text NOT NULL,
    topic        text NOT NULL,
    key          uuid NOT NULL,
    seq          integer NOT NULL,
    event_id     uuid NOT NULL,
    type         text NOT NULL,
    error_class  text NOT NULL,
    word         text NOT NULL CHECK (word IN ('asked', 'skipped')),
    said_by      text NOT NULL,
    reason       text NOT NULL CHECK (length(reason) <= 500),
    said_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (consumer, event_id, said_by)
);

CREATE FUNCTION skip_is_kept() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''what was said about a skipped event is kept''; END';

CREATE TRIGGER skip_is_kept BEFORE UPDATE OR DELETE ON skip FOR EACH ROW EXECUTE FUNCTION skip_is_kept();

-- The consumer is stopped while a row is not released; released ones say who let go, and when.
CREATE TABLE brake (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer     text NOT NULL,
    cause        text NOT NULL,
    lanes        integer NOT NULL,
    pulled_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_at  timestamptz,
    released_by  text
);

CREATE UNIQUE INDEX brake_on ON brake (consumer) WHERE released_at IS NULL;

CREATE INDEX parked_parked_at ON parked (parked_at);

-- Starts of a consumer that has not lived through its first batch yet: what is left here counts its deaths.
CREATE TABLE consumer_start (
    consumer  text NOT NULL,
    instance  text NOT NULL,
    times     integer NOT NULL DEFAULT 1,
    PRIMARY KEY (consumer, instance)
);
