-- What was published from an offset on: the feed by partition, and the look at a restored database.
CREATE INDEX publication_place ON publication (topic, partition, "offset");
