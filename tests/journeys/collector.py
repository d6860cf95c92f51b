"""A collector of traces and metrics that keeps what it is sent: an OTLP/HTTP endpoint for tests."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What has been exported so far, by service."""

    def __init__(self) -> None:
        self.url = ""
        self.raw: list[bytes] = []
        self.raw_metrics: list[bytes] = []

    def spans(self) -> list[tuple[str, Span]]:
        """(service, span) of everything received."""
        found = []
        for raw in list(self.raw):
            request = ExportTraceServiceRequest.FromString(raw)
            for resource in request.resource_spans:
                names = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
                for scope in resource.scope_spans:
                    found += [(names[0], span) for span in scope.spans]
        return found

    def metrics(self) -> list[tuple[str, Metric]]:
        """(service, metric) of everything received."""
        found = []
        for raw in list(self.raw_metrics):
            for resource in ExportMetricsServiceRequest.FromString(raw).resource_metrics:
                names = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
                found += [(names[0], metric) for scope in resource.scope_metrics for metric in scope.metrics]
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept = collector.raw_metrics if self.path.endswith("/v1/metrics") else collector.raw
            kept.append(_unzipped(body, self.headers.get("content-encoding")))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name it has in the library
            """Tests read the exit code, not this."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _unzipped(body: bytes, encoding: str | None) -> bytes:
    return gzip.decompress(body) if encoding == "gzip" else body
