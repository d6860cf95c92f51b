-- Which process hears as this instance: whoever came last. One that finds somebody else here steps aside.
CREATE TABLE seat (
    consumer  text NOT NULL,
    instance  text NOT NULL,
    process   text NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, instance)
);
