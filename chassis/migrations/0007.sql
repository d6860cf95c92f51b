-- Since when an errand has been under way: an alarm looks at ages.
ALTER TABLE errand ADD COLUMN sent_at timestamptz NOT NULL DEFAULT clock_timestamp();
