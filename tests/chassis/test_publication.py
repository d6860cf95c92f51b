"""What was published is found by where it lies without reading what lies before it, however much that is."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.feed.serving import _PAGE, PAGE, PAGE_BYTES_MAX
from chassis.recovery.noticing import _EVER
from tests.chassis.plans import by_index, explained, nodes, pages, settled

ROWS, PARTITIONS = 100_000, 6
TOPIC = "a.boxes.events"
PAGES_READ_MAX = 4_000  # of 8 KB: three for each row that is looked at; all rows would need 300 000
# Offsets of a partition are 0, 1, 2 …; every thousandth the broker has not said.
SAID = sa.text("""
    INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload)
    SELECT gen_random_uuid(), :topic, gen_random_uuid(), 1, 'test', '[["content-type", "x"]]', '1'
    FROM generate_series(1, :rows)
""")
PUBLISHED = sa.text("""
    INSERT INTO publication (topic, number, pos, partition, "offset")
    SELECT :topic, pos, pos, pos % :partitions, CASE WHEN pos % 1000 = 0 THEN -1 ELSE pos / :partitions END
    FROM event_log WHERE pos <= 10 OR pos % :partitions <> :quiet
""")
NONE, QUIET = -1, 3  # which partition was last spoken to long ago


async def test_the_feed_of_a_partition_begins_at_an_offset_by_index(database: AsyncEngine) -> None:
    await filled(database, NONE)
    last = ROWS // PARTITIONS - 510  # ten before one that was not said
    for offset, after in ((0, 0), (last, 0), (last, last * PARTITIONS + 300)):
        plan = await explained(database, _PAGE[False, True], wanted(offset, after))
        assert "publication_place" in {node.get("Index Name") for node in nodes(plan)}
        assert by_index(plan)
        assert pages(plan) < PAGES_READ_MAX
    async with database.connect() as tx:
        rows = (await tx.execute(_PAGE[False, True], wanted(last, 0))).all()
    offsets = [row.offset for row in rows]
    assert offsets[0] == last
    assert [each for each in offsets if each >= 0] == sorted(each for each in offsets if each >= 0)
    assert -1 in offsets


async def test_a_quiet_partitions_last_record_is_found_by_index(database: AsyncEngine) -> None:
    await filled(database, QUIET)
    plan = await explained(database, _EVER, {"topics": [TOPIC, TOPIC], "partitions": [QUIET, 4]})
    assert {node["Index Name"] for node in nodes(plan) if "Index Name" in node} == {"publication_place"}
    assert by_index(plan)
    assert pages(plan) < PAGES_READ_MAX


def wanted(offset: int, after: int) -> dict[str, Any]:
    """A page of one partition, as the route asks for it."""
    place = {"partition": 4, "offset": offset}
    return {"topic": TOPIC, "after": after, "limit": PAGE, "bytes": PAGE_BYTES_MAX, **place}


async def filled(database: AsyncEngine, quiet: int) -> None:
    async with database.begin() as tx:
        await tx.execute(SAID, {"topic": TOPIC, "rows": ROWS})
        await tx.execute(PUBLISHED, {"topic": TOPIC, "partitions": PARTITIONS, "quiet": quiet})
    await settled(database)
