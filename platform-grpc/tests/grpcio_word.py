"""The message of the tests' proto, as protobuf's own code makes it of descriptors."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def word_class(path):
    """The class of `platform.test.Word`, from a file with a descriptor set."""
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as read:
        files.ParseFromString(read.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("platform.test.Word"))
