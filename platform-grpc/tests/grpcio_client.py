"""gRPC's own client for Python against our server.

python grpcio_client.py ADDRESS DESCRIPTORS [CA [CERTIFICATE KEY]]

Prints `ok CASE` for each case; the first that fails ends it with its traceback.
"""

import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from grpcio_word import word_class

ADDRESS, DESCRIPTORS, *TLS = sys.argv[1:]

Word = word_class(DESCRIPTORS)

ECHO = "/platform.test.Echo/"
CASES = []


def case(run):
    CASES.append(run)
    return run


class Echo:
    """What generated code would be."""

    def __init__(self, channel):
        kinds = {
            "Say": channel.unary_unary,
            "Add": channel.unary_unary,
            "Shout": channel.unary_unary,
            "Repeat": channel.unary_stream,
            "Join": channel.stream_unary,
            "Chat": channel.stream_stream,
        }
        for name, kind in kinds.items():
            setattr(self, name, kind(ECHO + name, Word.SerializeToString, Word.FromString))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def connect(options):
    if not TLS:
        return grpc.insecure_channel(ADDRESS, options=options)
    ca, certificate, key = [*map(read, TLS), None, None][:3]
    credentials = grpc.ssl_channel_credentials(ca, private_key=key, certificate_chain=certificate)
    return grpc.secure_channel(ADDRESS, credentials, options=options)


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error
    raise AssertionError(f"{code} was expected")


@case
def empty_unary(echo):
    assert echo.Say(Word()) == Word()


@case
def large_unary(echo):
    word = Word(load=bytes(900_000))
    assert echo.Say(word) == word
    fails(grpc.StatusCode.OUT_OF_RANGE, lambda: echo.Say(Word(load=bytes(1_100_000))))


@case
def client_streaming(echo):
    assert echo.Join(iter([Word(text="a"), Word(text="b"), Word(text="c")])).text == "abc"


@case
def server_streaming(echo):
    assert [word.text for word in echo.Repeat(Word(times=4))] == ["0", "1", "2", "3"]


@case
def ping_pong(echo):
    said = threading.Semaphore(1)
    words = ["a", "bb", "ccc"]

    def talk():
        for word in words:
            said.acquire()
            yield Word(text=word)

    heard = []
    for word in echo.Chat(talk()):
        heard.append(word.text)
        said.release()
    assert heard == words


@case
def empty_stream(echo):
    assert list(echo.Chat(iter([]))) == []


@case
def custom_metadata(echo):
    sent = (("echo-initial", "as it was"), ("echo-bin", b"\x0a\x0b\x0a\x0b\xff"))
    _, call = echo.Say.with_call(Word(text="a"), metadata=sent)
    seen = dict(call.initial_metadata())
    assert seen["echo-initial"] == "as it was", seen
    assert seen["echo-bin"] == b"\x0a\x0b\x0a\x0b\xff", seen
    assert len(seen["x-request-id"]) == 32, seen


@case
def status_code_and_message(echo):
    error = fails(grpc.StatusCode.UNKNOWN, lambda: echo.Say(Word(text="test status message", code=2)))
    assert error.details() == "test status message"
    error = fails(grpc.StatusCode.UNKNOWN, lambda: list(echo.Chat(iter([Word(text="test status message", code=2)]))))
    assert error.details() == "test status message"


@case
def special_status_message(echo):
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    error = fails(grpc.StatusCode.UNKNOWN, lambda: echo.Say(Word(text=text, code=2)))
    assert error.details() == text


@case
def unimplemented_method(echo):
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: echo.Shout(Word()))


@case
def unimplemented_service(echo):
    nobody = echo.channel.unary_unary("/platform.test.Nobody/Say", Word.SerializeToString, Word.FromString)
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: nobody(Word()))


@case
def cancel_after_begin(echo):
    never = threading.Event()
    call = echo.Join.future(iter(lambda: never.wait() and None, 1))
    call.cancel()
    assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED
    never.set()


@case
def cancel_after_first_response(echo):
    call = echo.Repeat(Word(text="a", times=10_000, wait_ms=5))
    assert next(call).text == "a"
    call.cancel()
    fails(grpc.StatusCode.CANCELLED, lambda: list(call))


@case
def timeout_on_sleeping_server(echo):
    begun = time.monotonic()
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: echo.Add(Word(wait_ms=60_000), timeout=0.1))
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(echo.Repeat(Word(text="a", times=1000, wait_ms=50), timeout=0.1)))
    assert time.monotonic() - begun < 5


@case
def deadline_is_seen_by_the_handler(echo):
    left = echo.Say(Word(text="left"), timeout=5).text
    assert 0 < int(left.removeprefix("Some(").removesuffix(")")) <= 5100, left  # gRPC rounds up


@case
def error_details(echo):
    error = fails(grpc.StatusCode.UNAVAILABLE, lambda: echo.Say(Word(text="full")))
    trailing = dict(error.trailing_metadata())
    assert trailing["grpc-retry-pushback-ms"] == "30", trailing
    assert trailing["platform-retry"] == "safe", trailing
    assert b"OVERLOADED" in trailing["grpc-status-details-bin"], trailing


@case
def service_config_retry(_):
    config = """{"methodConfig": [{"name": [{"service": "platform.test.Echo"}], "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.02s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""
    with connect([("grpc.service_config", config)]) as channel:
        echo = Echo(channel)
        before = int(echo.Say(Word(text="asked")).text)
        begun = time.monotonic()
        fails(grpc.StatusCode.UNAVAILABLE, lambda: echo.Say(Word(text="full")))
        assert time.monotonic() - begun >= 0.06, "twice the pushback of 30 ms"
        # Those three, and this one.
        assert int(echo.Say(Word(text="asked")).text) == before + 4


@case
def health_check_and_watch(echo):
    health = health_pb2_grpc.HealthStub(echo.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ["", "platform.test.Echo"]:
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == serving
    fails(grpc.StatusCode.NOT_FOUND, lambda: health.Check(health_pb2.HealthCheckRequest(service="nobody")))
    watch = health.Watch(health_pb2.HealthCheckRequest(service="platform.test.Echo"))
    assert next(watch).status == serving
    watch.cancel()


@case
def reflection_v1alpha(echo):
    database = ProtoReflectionDescriptorDatabase(echo.channel)
    services = set(database.get_services())
    assert {"platform.test.Echo", "grpc.health.v1.Health"} <= services, services
    found = descriptor_pool.DescriptorPool(database).FindServiceByName("platform.test.Echo")
    assert [method.name for method in found.methods] == ["Say", "Add", "Repeat", "Join", "Chat"]


@case
def reflection_v1(echo):
    # The messages of v1 are those of v1alpha.
    ask = echo.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    answer = next(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
    assert "platform.test.Echo" in [service.name for service in answer.list_services_response.service]


@case
def client_and_server_compressed_unary(echo):
    word = Word(text="a" * 200_000)
    assert echo.Say(word, compression=grpc.Compression.Gzip) == word
    # The limit is for what a message is, not for what it was packed into.
    fails(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        lambda: echo.Say(Word(load=bytes(2_000_000)), compression=grpc.Compression.Gzip),
    )


@case
def client_compressed_streaming(echo):
    words = [Word(text="a" * 50_000), Word(text="b" * 50_000)]
    assert len(echo.Join(iter(words), compression=grpc.Compression.Gzip).text) == 100_000


@case
def server_compressed_streaming(echo):
    heard = list(echo.Repeat(Word(text="a" * 100_000, times=3), compression=grpc.Compression.Gzip))
    assert [len(word.text) for word in heard] == [100_000] * 3


with connect([]) as channel:
    stub = Echo(channel)
    stub.channel = channel
    for run in CASES:
        run(stub)
        print("ok", run.__name__, flush=True)
