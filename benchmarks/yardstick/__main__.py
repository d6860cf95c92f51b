"""One service of the yardstick: `python -m benchmarks.yardstick <agency> <service> <data>`."""

import sys

import uvloop

from benchmarks.yardstick.engine import serve
from benchmarks.yardstick.services import MEANINGS

agency, service, data = sys.argv[1:]
uvloop.run(serve(agency, service, data, MEANINGS[service](agency)))
