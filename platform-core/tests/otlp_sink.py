"""An OTLP collector for tests, made of OpenTelemetry's own Python messages.

    otlp_sink.py grpc|http answer|hang|refuse

prints {"port": N} when it listens on loopback. Then, if it answers, one JSON line per span; if it hangs or
refuses, {"calls": N} per export.
"""

import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

PROTOCOL, MODE = sys.argv[1:3]
LOCK = threading.Lock()
CALLS = 0


def say(line):
    with LOCK:
        print(json.dumps(line), flush=True)


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def keep(request, headers):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                say({
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": trace.Span.SpanKind.Name(span.kind),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": trace.Status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                    "attributes": attributes(span.attributes),
                    "events": [event.name for event in span.events],
                    "remote_parent": bool(span.flags & trace.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
                    "sampled": bool(span.flags & 1),
                    "resource": attributes(resource.resource.attributes),
                    "headers": headers,
                })


def refuses():
    """Counts a call; hangs, or says whether it is refused."""
    global CALLS
    if MODE == "answer":
        return False
    with LOCK:
        CALLS += 1
        calls = CALLS
    say({"calls": calls})
    if MODE == "hang":
        threading.Event().wait()
    return True


def serve_grpc():
    def export(request, context):
        if refuses():
            context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        keep(request, dict(context.invocation_metadata()))
        return service.ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=service.ExportTraceServiceRequest.FromString,
        response_serializer=service.ExportTraceServiceResponse.SerializeToString,
    )
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say({"port": port})
    server.wait_for_termination()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
            self.answer(404, b"")
        elif refuses():
            self.answer(503, b"")
        else:
            headers = {name.lower(): text for name, text in self.headers.items()}
            keep(service.ExportTraceServiceRequest.FromString(body), headers)
            self.answer(200, service.ExportTraceServiceResponse().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve_http():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    say({"port": server.server_port})
    server.serve_forever()


{"grpc": serve_grpc, "http": serve_http}[PROTOCOL]()
