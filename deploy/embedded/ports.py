"""Choose free ports once, and remember them in the data folder."""

import atexit
import json
import secrets
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.embedded.files import PUBLIC, write

# Below the range from which systems take the near ends of outgoing connections (32768 on Linux, 49152 elsewhere):
# a remembered port is then taken only by another server.
RANGE = range(20_000, 32_000)
HOST = "127.0.0.1"
TRIES_MAX = 200
CLAIMS_MAX = 64  # more than one start needs

_claims: dict[int, socket.socket] = {}


def remembered(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Return a free port for each name: the one of last time, or another where somebody else listens there now."""
    before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        last = before.get(name)
        ports[name] = last if last is not None and is_free(last) and _claim(last) else _choose()
    write(file, json.dumps(ports, indent=2), PUBLIC)
    return ports


def listened_on(ports: Iterable[int]) -> None:
    """Somebody listens there now, which says it better than a sign; who starts on them again must find none of ours."""
    for port in ports:
        if (sign := _claims.pop(port, None)) is not None:
            sign.close()


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just closing do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _claim(port: int) -> bool:
    """Tell everybody on this machine, until this process ends, that somebody will listen there soon.

    Two who start at once would else both find it free. The sign is the UDP port of the same number, which nobody uses.
    """
    if port in _claims:
        return True
    sign = socket.socket(type=socket.SOCK_DGRAM)
    try:
        sign.bind((HOST, port))
    except OSError:
        sign.close()
        return False
    _claims[port] = sign
    if len(_claims) > CLAIMS_MAX:
        _claims.pop(next(iter(_claims))).close()
    return True


@atexit.register
def _claim_no_more() -> None:
    for sign in _claims.values():
        sign.close()


def _choose() -> int:
    for _ in range(TRIES_MAX):
        port = secrets.choice(RANGE)
        if port not in _claims and is_free(port) and _claim(port):
            return port
    raise RuntimeError(f"no free port found between {RANGE.start} and {RANGE.stop}")
