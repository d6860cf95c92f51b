"""What the services of a town really send to a collector: every age, lags, counters; and nobody's id."""

from __future__ import annotations

import asyncio
import re

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from chassis.metrics import EXPORT_SECONDS, INSTRUMENTS
from tests.journeys.journey import Journey
from tests.journeys.town import Town

SELDOM = {"inbox.duplicates", "sequence.gaps", "sequence.forks"}  # only where something has gone wrong
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)


async def test_every_metric_arrives_and_none_names_a_subject(town: Town, asked: Journey) -> None:
    wanted = {each.name for each in INSTRUMENTS} - SELDOM
    async with asyncio.timeout(3 * EXPORT_SECONDS):
        while wanted - {metric.name for _, metric in town.collector.metrics()}:  # noqa: ASYNC110  # exports come by the clock
            await asyncio.sleep(0.5)
    found = town.collector.metrics()
    assert {service for service, metric in found if metric.name == "outbox.oldest.age"} >= set(town.system.servers)
    listed = {each.name: set(each.attributes) for each in INSTRUMENTS}
    for _, metric in found:
        attributes = [attribute for point in _points(metric) for attribute in point.attributes]
        assert {attribute.key for attribute in attributes} <= listed[metric.name]
        assert not [attribute for attribute in attributes if ID.search(attribute.value.string_value)]


def _points(metric: Metric) -> list:  # type: ignore[type-arg]  # three kinds of points, alike in what is asked here
    data = getattr(metric, metric.WhichOneof("data") or "")
    return list(data.data_points)
