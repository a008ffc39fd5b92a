"""Google's protobuf with our schema table, and random messages: the judge of our reader and writer."""

from functools import cache

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import strategies as st

from prototxt_import import Message
from prototxt_import.schema import ENUMS, FIELDS, NUMBERING, SCALARS

_PROTO = descriptor_pb2.FieldDescriptorProto


def _default_text(field) -> str:
    if field.type == "bool":
        return "true" if field.default else "false"
    return str(field.default)


@cache
def message_class(dialect: str, type_name: str):
    """Protobuf's own class for a message of a dialect."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{dialect}.proto", package=dialect, syntax="proto2")
    for enum, values in ENUMS.items():  # each in a message of its own, since values of siblings share their scope
        scope = file.message_type.add(name=f"Scope{enum}").enum_type.add(name=enum)
        for name, number in values.items():
            scope.value.add(name=name, number=number)
    for name, fields in NUMBERING[dialect].items():
        message = file.message_type.add(name=name)
        for number, field in fields.items():
            proto = message.field.add(name=field.name, number=number)
            proto.label = _PROTO.LABEL_REPEATED if field.repeated else _PROTO.LABEL_OPTIONAL
            if field.packed:
                proto.options.packed = True
            if field.type in SCALARS:
                proto.type = getattr(_PROTO, f"TYPE_{field.type.upper()}")
            elif field.type in ENUMS:
                proto.type, proto.type_name = _PROTO.TYPE_ENUM, f".{dialect}.Scope{field.type}.{field.type}"
            else:
                proto.type, proto.type_name = _PROTO.TYPE_MESSAGE, f".{dialect}.{field.type}"
            if not field.repeated and not field.is_message and field.type != "bytes":
                proto.default_value = _default_text(field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{dialect}.{type_name}"))


# NaN is left out: text has one NaN where float32 has millions. Surrogates are no characters.
_VALUES = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "bytes": st.binary(max_size=8),
}


@st.composite
def messages(draw, type_name: str, dialect: str = "bvlc", depth: int = 4) -> Message:
    """A random message with a few fields, all of which the dialect has."""
    known = [field for field in NUMBERING[dialect][type_name].values() if depth or not field.is_message]
    chosen = draw(st.lists(st.sampled_from(known), max_size=4, unique_by=lambda field: field.name)) if known else []
    message = Message(type_name)
    for field in chosen:
        if field.is_message:
            values = messages(field.type, dialect, depth - 1)
        else:
            values = st.sampled_from(list(ENUMS[field.type])) if field.type in ENUMS else _VALUES[field.type]
        if field.is_array:
            dtype = np.float32 if field.type == "float" else np.float64
            setattr(message, field.name, np.array(draw(st.lists(values, max_size=4)), dtype))
        else:
            setattr(message, field.name, draw(st.lists(values, max_size=3) if field.repeated else values))
    return message


TYPE_NAMES = st.sampled_from(sorted(FIELDS))
