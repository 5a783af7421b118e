"""Creates message classes, from short descriptions, for protos without an installed package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
}


def message_classes(package: str, messages: Mapping[str, str]) -> dict[str, Any]:
    """Creates a class for each message, in a separate descriptor pool, so names never collide.

    Args:
        package: package of the proto file.
        messages: fields by name of the message, as `number name type; ...`. `*` before the name
            makes a field repeated. A type is a scalar, another one of these messages, or one of
            protobuf's wrappers, such as `Int64Value`.
    """
    name = f"{package}.proto"
    wrappers = wrappers_pb2.DESCRIPTOR
    file: Any = descriptor_pb2.FileDescriptorProto(
        name=name, package=package, syntax="proto3", dependency=[wrappers.name]
    )
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for text in fields.split(";"):
            number, label, kind = text.split()
            field = described.field.add(
                name=label.removeprefix("*"),
                number=int(number),
                label=_Field.LABEL_REPEATED if label.startswith("*") else _Field.LABEL_OPTIONAL,
            )
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
                continue
            field.type = _Field.TYPE_MESSAGE
            of = package if kind in messages else wrappers.package
            field.type_name = f".{of}.{kind}"
    pool: Any = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.serialized_pb)
    pool.Add(file)
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))
        for message in messages
    }
