-- A deadline that cannot fire says what it waits for; one statement per paragraph.

-- What it waits for (a topic that is not read yet, a lane that is held, the broker), or why its command was refused.
ALTER TABLE deadline ADD COLUMN reason text;
