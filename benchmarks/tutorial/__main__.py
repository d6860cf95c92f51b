"""One service of the tutorial: `python -m benchmarks.tutorial <agency> <service> <data>`."""

import sys
from collections.abc import Callable, Mapping

import uvicorn

from benchmarks.tutorial.consent import Consents
from benchmarks.tutorial.handover import Handovers
from benchmarks.tutorial.intake import Intakes
from benchmarks.tutorial.offers import Offers
from benchmarks.tutorial.service import Meaning, Place, app, place

MEANINGS: Mapping[str, Callable[[Place], Meaning]] = {
    "intake": Intakes,
    "consent": Consents,
    "handover": Handovers,
    "offers": Offers,
}

if __name__ == "__main__":
    where = place(*sys.argv[1:])
    service = app(where, MEANINGS[where.service](where))
    uvicorn.run(service, host="127.0.0.1", port=int(where.settings["STAFFEL_PORT"]), access_log=False)
