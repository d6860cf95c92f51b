-- A deadline that is postponed keeps what it was due at first: how late it is counts from there, however often it is tried.
ALTER TABLE deadline ADD COLUMN postponed_from timestamptz;
