"""gRPC's own client for Python against our server when it refuses.

python grpcio_refused.py ADDRESS DESCRIPTORS BAGGAGE COUNT EVERY_MS WORK_MS

Begins COUNT calls, one every so many milliseconds, each of which works for so long, and prints how each ended as a line
of JSON: its code, its text, its trailers of interest, and the details of its status as their own messages read them.
"""

import json
import sys
import time

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from grpcio_word import word_class

address, descriptors, baggage, count, every, work = sys.argv[1:]

Word = word_class(descriptors)

TRAILERS = ("grpc-retry-pushback-ms", "platform-retry")


def told(call, known):
    trailers = dict(call.trailing_metadata())
    ended = {"code": call.code().name, "text": call.details(), "details": {}}
    ended |= {name: trailers[name] for name in TRAILERS if name in trailers}
    if "grpc-status-details-bin" in trailers:
        # The server's reflection knows these messages too.
        Status = message_factory.GetMessageClass(known.FindMessageTypeByName("google.rpc.Status"))
        status = Status.FromString(trailers["grpc-status-details-bin"])
        assert (status.code, status.message) == (call.code().value[0], call.details())
        for detail in status.details:
            name = detail.type_url.rpartition("/")[2]
            kind = message_factory.GetMessageClass(known.FindMessageTypeByName(name))
            ended["details"][name] = json_format.MessageToDict(kind.FromString(detail.value))
    return ended


with grpc.insecure_channel(address) as channel:
    database = ProtoReflectionDescriptorDatabase(channel)
    known = descriptor_pool.DescriptorPool(database)
    for name in ("Status", "RetryInfo", "ErrorInfo", "QuotaFailure"):
        # Asked before anything is refused.
        known.FindMessageTypeByName("google.rpc." + name)
    add = channel.unary_unary("/platform.test.Echo/Add", Word.SerializeToString, Word.FromString)
    calls = []
    for _ in range(int(count)):
        calls.append(add.future(Word(text="a", wait_ms=int(work)), timeout=10, metadata=(("baggage", baggage),)))
        time.sleep(int(every) / 1000)
    for call in calls:
        print(json.dumps(told(call, known)), flush=True)
