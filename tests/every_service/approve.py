"""Writes the matrices as they are now; what changed is then read, by people, in the diff.

`python -m tests.every_service.approve [service …]`
"""

import sys

from tests.every_service.anatomy import SERVICES, approved, matrix

if __name__ == "__main__":
    for service in sys.argv[1:] or SERVICES:
        approved(service).write_text(matrix(service), encoding="utf-8")
