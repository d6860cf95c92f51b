-- One other party whose words are not heard for now; without one it is the whole consumer that is stopped.
ALTER TABLE brake ADD COLUMN party text;

DROP INDEX brake_on;

CREATE UNIQUE INDEX brake_on ON brake (consumer, coalesce(party, '')) WHERE released_at IS NULL;
