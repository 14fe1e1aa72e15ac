"""A collector of OpenTelemetry traces: checks each request against the protocol's own
definition, and appends `TRACE NAME` of each span to a file.

Usage: collector.py PORT FILE. It needs `opentelemetry-proto` (PyPI).
"""

import base64
import http.server
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def protobuf_form(node):
    """The JSON form of the protocol has ids in hex digits, that of protobuf in base64."""
    if isinstance(node, list):
        return [protobuf_form(one) for one in node]
    if not isinstance(node, dict):
        return node
    ids = ("traceId", "spanId", "parentSpanId")
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode() if name in ids else protobuf_form(value)
        for name, value in node.items()
    }


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
        right = right and self.headers["Authorization"] == "token"
        if not right:
            return self.send_error(400)
        request = json_format.ParseDict(protobuf_form(json.loads(body)), ExportTraceServiceRequest())
        with open(sys.argv[2], "a") as out:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        assert len(span.trace_id) == 16 and len(span.span_id) == 8
                        assert span.end_time_unix_nano >= span.start_time_unix_nano > 0
                        out.write(f"{span.trace_id.hex()} {span.name}\n")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector).serve_forever()
