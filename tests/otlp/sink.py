#!/usr/bin/env python3
"""sink.py - an OTLP collector that prints what it gets, decoded by OpenTelemetry's own messages.

    sink.py [STATUS ...]     answers so, one after the other, and then always with 200

The first line is its port. Then a line of JSON for each message that was answered with 200: its
headers, its resource and its spans.
"""
import http.server
import json
import sys
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

one_at_a_time = threading.Lock()
answers = [int(word) for word in sys.argv[1:]]


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof('value')) for pair in pairs}


def plain(span, resource):
    return {'trace': span.trace_id.hex(), 'id': span.span_id.hex(),
            'parent': span.parent_span_id.hex(), 'name': span.name, 'kind': span.kind,
            'start': span.start_time_unix_nano, 'end': span.end_time_unix_nano,
            'attributes': attributes(span.attributes), 'status': span.status.code,
            'links': [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
            'service': resource.get('service.name')}


def say(line):
    """Threads answer, but lines stay whole."""
    with one_at_a_time:
        print(line, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        status = answers.pop(0) if answers else 200
        if status == 200:
            message = ExportTraceServiceRequest.FromString(body)
            for part in message.resource_spans:
                resource = attributes(part.resource.attributes)
                say(json.dumps({
                    'path': self.path, 'headers': dict(self.headers), 'resource': resource,
                    'scopes': [scoped.scope.name for scoped in part.scope_spans],
                    'spans': [plain(span, resource) for scoped in part.scope_spans
                              for span in scoped.spans]}))
        self.send_response(status)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
