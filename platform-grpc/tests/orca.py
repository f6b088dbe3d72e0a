"""What ORCA's message says, by protobuf's own code.

python orca.py BASE64

Prints each named metric as NAME=NUMBER, sorted.
"""

import base64
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def orca():
    """`xds.data.orca.v3.OrcaLoadReport`, which is in no package of gRPC's: the fields that are maps, and a number."""
    file = descriptor_pb2.FileDescriptorProto(name="orca.proto", package="xds.data.orca.v3", syntax="proto3")
    report = file.message_type.add(name="OrcaLoadReport")
    kinds = descriptor_pb2.FieldDescriptorProto
    report.field.add(name="cpu_utilization", number=1, type=kinds.TYPE_DOUBLE, label=kinds.LABEL_OPTIONAL)
    for name, entry, number in (("utilization", "UtilizationEntry", 5), ("named_metrics", "NamedMetricsEntry", 8)):
        nested = report.nested_type.add(name=entry)
        nested.options.map_entry = True
        nested.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
        nested.field.add(name="value", number=2, type=kinds.TYPE_DOUBLE, label=kinds.LABEL_OPTIONAL)
        report.field.add(
            name=name,
            number=number,
            type=kinds.TYPE_MESSAGE,
            label=kinds.LABEL_REPEATED,
            type_name=".xds.data.orca.v3.OrcaLoadReport." + entry,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("xds.data.orca.v3.OrcaLoadReport"))


text = sys.argv[1]
report = orca().FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
for name in sorted(report.named_metrics):
    print(f"{name}={report.named_metrics[name]}")
