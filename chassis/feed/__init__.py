"""The feed: what a service has published, to be read over HTTP, numbered per topic in the order of publication.

For whoever may read a topic and does not find there what it needs: gaps, newcomers, long absences, partners without a
broker, read models that are built anew.

    serving    the route
    reading    the client of another service's feed
    refilling  what the broker has not got is fetched and heard, through the same code as ever
    rebuilding a read model made from the feed beside the live one, compared, and put in its place
"""

from chassis.feed.reading import FeedPlan, Feeds, NotHad, Page
from chassis.feed.rebuilding import NotComparable, ReadModel, Rebuild, Rebuilt
from chassis.feed.refilling import Refill
from chassis.feed.serving import MEDIA_TYPE, feed_routes

__all__ = [
    "MEDIA_TYPE",
    "FeedPlan",
    "Feeds",
    "NotComparable",
    "NotHad",
    "Page",
    "ReadModel",
    "Rebuild",
    "Rebuilt",
    "Refill",
    "feed_routes",
]
