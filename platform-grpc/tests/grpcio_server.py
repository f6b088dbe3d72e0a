"""gRPC's own server for Python, with a script for our channel.

python grpcio_server.py DESCRIPTORS [OPTION=NUMBER ...] [tls=FOLDER]

Prints its port, serves until its standard input is closed. With health=1 it has gRPC's own health service too; with a
folder it speaks TLS as `server.pem` and `server.key` say, and with mtls=1 asks for a certificate of `ca.pem`. What a word asks for:

fail-twice    UNAVAILABLE for the first two of its tag, then the attempts that it was told of
pushback      UNAVAILABLE with a pushback of 80 ms once, then how long that took in milliseconds
stop          UNAVAILABLE with a pushback of -1
head-first    the head, a while later INTERNAL
slow          an answer after ten seconds
asked         how often its tag was asked
left          how many calls of its tag their caller cancelled
metadata      what came as echo-initial goes back at once, echo-trailing-bin at the end
join          (of many words) counts its tag with the first; it ends with the word `over`
health        what its health service says of platform.test.Echo from now on is its tag: SERVING, NOT_SERVING
half          (stream) one word, then UNAVAILABLE
loaded        says in its trailers that it has as many requests under way as its load says, whatever else
anything      the same again
The tag is what stands behind a colon.
"""

import collections
import struct
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grpcio_word import word_class

Word = word_class(sys.argv[1])

CODES = {code.value[0]: code for code in grpc.StatusCode}
lock = threading.Lock()
asked = collections.Counter()
left = collections.Counter()
since = {}


def watch(tag, context):
    """Counts the call if it is cancelled."""
    ended = threading.Event()

    def over():
        if not ended.is_set():
            with lock:
                left[tag] += 1

    context.add_callback(over)
    return ended


def tell_load(word, context):
    """ORCA's message with `named_metrics = {"rif": ..., "latency_ms": 1}`, beside a `cpu_utilization`."""
    said = b"\x09" + struct.pack("<d", 0.5)
    for name, number in ((b"rif", len(word.load)), (b"latency_ms", 1)):
        entry = b"\x0a" + bytes([len(name)]) + name + b"\x11" + struct.pack("<d", number)
        said += b"\x42" + bytes([len(entry)]) + entry
    context.set_trailing_metadata((("endpoint-load-metrics-bin", said),))


def say(word, context):
    what, _, tag = word.text.partition(":")
    with lock:
        if what not in ("asked", "left"):
            asked[tag] += 1
        count = left[tag] if what == "left" else asked[tag]
    metadata = dict(context.invocation_metadata())
    if what == "fail-twice":
        if count <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return Word(text=metadata.get("grpc-previous-rpc-attempts", "none"))
    if what == "pushback":
        if count == 1:
            since[tag] = time.monotonic()
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "80"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return Word(text=str(int((time.monotonic() - since[tag]) * 1000)))
    if what == "loaded":
        tell_load(word, context)
    if what == "stop":
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "do not come back")
    if what == "head-first":
        context.send_initial_metadata((("seen", "yes"),))
        time.sleep(0.3)
        context.abort(grpc.StatusCode.INTERNAL, "after all")
    if what == "health":
        servicer.set("platform.test.Echo", health_pb2.HealthCheckResponse.ServingStatus.Value(tag))
    if what == "slow":
        time.sleep(10)
    if what == "metadata":
        context.send_initial_metadata((("echo-initial", metadata["echo-initial"]),))
        context.set_trailing_metadata((("echo-trailing-bin", metadata["echo-trailing-bin"]),))
    if word.code:
        context.abort(CODES[word.code], word.text)
    if what in ("asked", "left"):
        return Word(text=str(count))
    if what == "told":
        return Word(text=" ".join(f"{name}={metadata[name]}" for name in sorted(metadata)))
    return word


def repeat(word, context):
    what, _, tag = word.text.partition(":")
    with lock:
        asked[tag] += 1
    if what == "half":
        yield word
        context.abort(grpc.StatusCode.UNAVAILABLE, "no more")
    if what == "loaded":
        tell_load(word, context)
    ended = watch(tag, context)
    for _ in range(word.times):
        time.sleep(word.wait_ms / 1000)
        if not context.is_active():
            return
        yield word
    ended.set()


def join(words, context):
    text, ended = "", None
    for word in words:
        what, _, tag = word.text.partition(":")
        if what == "join":
            ended = watch(tag, context)
            with lock:
                asked[tag] += 1
        text += word.text
    # A stream that its caller cancelled may look to grpcio like one that has ended, so an end is a last word.
    if ended and text.endswith("over"):
        ended.set()
    return Word(text=text)


def chat(words, context):
    for word in words:
        if word.code:
            context.abort(CODES[word.code], word.text)
        yield word


def handler(kind, method):
    return kind(method, request_deserializer=Word.FromString, response_serializer=Word.SerializeToString)


given = dict(text.split("=", 1) for text in sys.argv[2:])
folder, mutual = given.pop("tls", None), given.pop("mtls", None)
servicer = None
if given.pop("health", None):
    servicer = health.HealthServicer()
    servicer.set("platform.test.Echo", health_pb2.HealthCheckResponse.SERVING)
options = [(name, int(value)) for name, value in given.items()]
server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=options)
methods = {
    "Say": handler(grpc.unary_unary_rpc_method_handler, say),
    "Add": handler(grpc.unary_unary_rpc_method_handler, say),
    "Repeat": handler(grpc.unary_stream_rpc_method_handler, repeat),
    "Join": handler(grpc.stream_unary_rpc_method_handler, join),
    "Chat": handler(grpc.stream_stream_rpc_method_handler, chat),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("platform.test.Echo", methods),))
if servicer:
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if folder:

    def read(name):
        with open(f"{folder}/{name}", "rb") as file:
            return file.read()

    authority = read("ca.pem") if mutual else None
    pair = (read("server.key"), read("server.pem"))
    credentials = grpc.ssl_server_credentials([pair], authority, require_client_auth=bool(mutual))
    print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
else:
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(0)
