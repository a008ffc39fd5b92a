"""Protobuf's wire format, in which .caffemodel files are written, to messages and back.

A file is memory-mapped. The numbers of a blob become an array that is a view of the map: nothing is copied, and pages
of blobs that nobody uses are never read.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from .errors import FormatError
from .message import Message, Repeated
from .replace import replacing
from .schema import DIALECTS, ENUMS, FIELDS, NUMBERING, Field

_VARINT, _FIXED64, _LENGTH, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
_WIRE_TYPES = ("varint", "fixed64", "length-delimited", "start of group", "end of group", "fixed32")
_REALS = {"float": np.dtype("<f4"), "double": np.dtype("<f8")}
_OTHER_KINDS = {
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
}
_MOST_BYTES = 2**31 - 1  # of a message that protobuf, and so Caffe, reads


def map_file(path: str | os.PathLike) -> mmap.mmap:
    """The bytes of a file, read-only and read from disk page by page as they are used."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise FormatError(f"{path}: the file is empty; copy or download it again")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def map_message(path: str | os.PathLike) -> mmap.mmap:
    """The bytes of a binary message (see `map_file`).

    Raises:
        FormatError: the file is empty or of another kind.
        OSError: the file cannot be read.
    """
    data = map_file(path)
    kind = next((kind for signature, kind in _OTHER_KINDS.items() if data[: len(signature)] == signature), None)
    if kind is None and is_text(data):
        kind = f"text, {data[:40].decode(errors='replace')!r}"
    if kind is not None:
        raise FormatError(f"{path}: expected one of Caffe's binary files, found {kind}")
    return data


def is_text(data: mmap.mmap) -> bool:
    """The file is text: it begins without the control characters that every binary message has."""
    beginning = data[:4096]
    return not any(byte < 32 and byte not in b"\t\n\v\f\r" for byte in beginning)


def _wire_type(field: Field) -> int:
    """The wire type of one value of the field."""
    if field.type in _REALS:
        return _FIXED32 if field.type == "float" else _FIXED64
    return _LENGTH if field.is_message or field.type in ("string", "bytes") else _VARINT


class Decoder:
    """Reads messages from bytes, as one dialect numbers them. Depth is bounded by the nesting of the schema.

    Attributes:
        skipped: what was met that the schema does not know, and how often.
    """

    def __init__(self, data: mmap.mmap | bytes, name: str, dialect: str):
        self.data = memoryview(data)
        self.name = name
        self.dialect = dialect
        self.skipped: dict[str, int] = {}

    def _fail(self, start: int, problem: str) -> NoReturn:
        raise FormatError(f"{self.name}: byte {start}: {problem}")

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """The unsigned integer at `start` and the offset after it."""
        value = 0
        for index in range(10):
            if start + index >= end:
                self._fail(start, "a number runs beyond the end; the file is truncated or damaged")
            byte = self.data[start + index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, start + index + 1
        self._fail(start, "expected a number of at most 10 bytes, found a longer one; the file is damaged")

    def _value_end(self, wire_type: int, start: int, end: int, what: str) -> tuple[int, int]:
        """Where the value at `start`, of this wire type, begins and ends."""
        if wire_type == _VARINT:
            return start, self._varint(start, end)[1]
        if wire_type == _LENGTH:
            length, value_start = self._varint(start, end)
        elif wire_type in (_FIXED32, _FIXED64):
            length, value_start = 4 if wire_type == _FIXED32 else 8, start
        elif wire_type == _START_GROUP:
            return start, self._group_end(start, end, what)
        else:
            self._fail(start, f"found wire type {wire_type} in {what}, which cannot stand here; the file is damaged")
        left = end - value_start
        if length > left:
            self._fail(start, f"a value of {length} bytes in {what} with {left} left; the file is truncated or damaged")
        return value_start, value_start + length

    def _group_end(self, start: int, end: int, what: str) -> int:
        """The end of a group, which may hold groups. Caffe has none, so a group is only stepped over."""
        depth = 1
        while depth:
            key, start = self._varint(start, end)
            if key & 7 == _START_GROUP:
                depth += 1
            elif key & 7 == _END_GROUP:
                depth -= 1
            else:
                start = self._value_end(key & 7, start, end, what)[1]
        return start

    def _field(self, start: int, end: int, what: str) -> tuple[int, int, int, int]:
        """Number and wire type of the field at `start`, and where its value begins and ends."""
        key, start_of_value = self._varint(start, end)
        number, wire_type = key >> 3, key & 7
        if not 0 < number < 2**29:
            self._fail(start, f"expected the number of a field of {what}, found {number}; the file is damaged")
        return number, wire_type, *self._value_end(wire_type, start_of_value, end, what)

    def fields(self, start: int, end: int, what: str) -> Iterator[tuple[int, int, int, int]]:
        """Number and wire type of each field between the offsets, and where its value begins and ends."""
        while start < end:
            field = self._field(start, end, what)
            yield field
            start = field[-1]

    def message(
        self, type_name: str, start: int = 0, end: int | None = None, leave_out: frozenset[str] = frozenset()
    ) -> Message:
        """The message between the offsets; at any depth without the fields whose names are in `leave_out`.

        Raises:
            FormatError: with the offset.
        """
        end = len(self.data) if end is None else end
        numbering = NUMBERING[self.dialect][type_name]
        values: dict[str, Any] = {}
        arrays: dict[str, list[np.ndarray]] = {}
        while start < end:
            number, wire_type, value_start, value_end = self._field(start, end, type_name)
            field = numbering.get(number)
            if field is None:
                self._note_skipped(f"{type_name} field {number}")
            elif field.name not in leave_out:
                packed = wire_type == _LENGTH and field.repeated
                if wire_type != _wire_type(field) and not packed:
                    self._fail(
                        start,
                        f"{type_name}.{field.name}: expected {_WIRE_TYPES[_wire_type(field)]}, found "
                        f"{_WIRE_TYPES[wire_type]}; the file is damaged, or its dialect is not {self.dialect!r}",
                    )
                if field.is_array:
                    array, value_end = self._array(field, packed, start, value_start, value_end, end)
                    arrays.setdefault(field.name, []).append(array)
                elif field.is_message:
                    self._add(values, field, self.message(field.type, value_start, value_end, leave_out), start)
                elif _wire_type(field) == _LENGTH:
                    self._add(values, field, self._string(field, value_start, value_end), start)
                else:
                    for value in self._numbers(field, wire_type, value_start, value_end):
                        self._add(values, field, value, start)
            start = value_end
        for name, pieces in arrays.items():
            values[name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return Message._from_values(type_name, values)

    def _note_skipped(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1

    def _add(self, values: dict[str, Any], field: Field, value: Any, start: int) -> None:
        if field.repeated:
            values.setdefault(field.name, Repeated(field)).append(value)
        elif field.is_message and field.name in values:
            self._fail(start, f"{field.name} occurs twice in one message; expected it once")
        else:
            values[field.name] = value

    def _array(
        self, field: Field, packed: bool, start: int, value_start: int, value_end: int, end: int
    ) -> tuple[np.ndarray, int]:
        """The numbers of a packed value, or of the run of single values that begins here; and the offset after it."""
        dtype = _REALS[field.type]
        if packed:
            count, rest = divmod(value_end - value_start, dtype.itemsize)
            if rest:
                self._fail(start, f"{field.name}: expected a multiple of {dtype.itemsize} bytes, found {rest} more")
            return np.ndarray(count, dtype, self.data, value_start), value_end
        stride = value_end - start
        count = self._run_length(start, stride, end) if value_start == start + 1 else 1
        return np.ndarray(count, dtype, self.data, value_start, (stride,)), start + count * stride

    def _run_length(self, start: int, stride: int, end: int) -> int:
        """How many fields stand one after the other, each with the byte at `start` before its value."""
        keys = np.ndarray((end - start) // stride, np.uint8, self.data, start, (stride,))
        first, block = 0, 64  # the block doubles, so that many short runs cost no more than one long one
        while first < len(keys):
            others = np.flatnonzero(keys[first : first + block] != keys[0])
            if len(others):
                return first + int(others[0])
            first, block = first + block, 2 * block
        return len(keys)

    def _string(self, field: Field, start: int, end: int) -> str | bytes:
        value = bytes(self.data[start:end])
        if field.type == "bytes":
            return value
        try:
            return value.decode()
        except UnicodeDecodeError:
            self._fail(start, f"{field.name}: expected a string in UTF-8, found {value[:40]!r}; the file is damaged")

    def _numbers(self, field: Field, wire_type: int, start: int, end: int) -> Iterator[Any]:
        """The value of a number, or the values of a packed one; numbers that the enum does not know are skipped."""
        if field.type in _REALS:
            if (end - start) % _REALS[field.type].itemsize:
                self._fail(start, f"{field.name}: {end - start} bytes are not a whole number of values")
            yield from np.frombuffer(self.data[start:end], _REALS[field.type]).tolist()
            return
        while start < end:
            number, start = self._varint(start, end)
            if field.type in ENUMS:
                name = _enum_name(field.type, _signed(number, 32))
                if name is None:
                    self._note_skipped(f"{field.type} number {number}")
                else:
                    yield name
            elif field.type == "bool":
                yield number != 0
            elif field.type == "uint32":
                yield number & 0xFFFF_FFFF
            else:
                yield _signed(number, 32 if field.type == "int32" else 64)


def _signed(number: int, bits: int) -> int:
    """The low bits of `number` in two's complement."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def _enum_name(type_name: str, number: int) -> str | None:
    return next((name for name, value in ENUMS[type_name].items() if value == number), None)


class Encoder:
    """Writes messages to bytes, as one dialect numbers them.

    Attributes:
        left_out: what was set that the dialect has no number for, and how often.
    """

    def __init__(self, dialect: str):
        self.numbering = NUMBERING[dialect]
        self.left_out: dict[str, int] = {}

    def encode(self, message: Message) -> list[bytes | memoryview]:
        """The bytes of a message in pieces; the numbers of blobs are not copied where they lie contiguously."""
        numbers = {field.name: number for number, field in self.numbering.get(message.type_name, {}).items()}
        pieces: list[bytes | memoryview] = []
        for name, value in sorted(message.fields(), key=lambda item: numbers.get(item[0], 0)):
            field = FIELDS[message.type_name][name]
            if name not in numbers:
                what = f"{message.type_name}.{name}"
                self.left_out[what] = self.left_out.get(what, 0) + 1
            elif field.packed:
                pieces += _delimited(numbers[name], _packed(field, value))
            else:
                for member in value if field.repeated else [value]:
                    pieces += self._field(field, numbers[name], member)
        return pieces

    def _field(self, field: Field, number: int, value: Any) -> list[bytes | memoryview]:
        if field.is_message:
            return _delimited(number, self.encode(value))
        if field.type in ("string", "bytes"):
            return _delimited(number, [value.encode() if field.type == "string" else value])
        return [_varint(number << 3 | _wire_type(field)) + _number(field, value)]


def _delimited(number: int, pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    return [_varint(number << 3 | _LENGTH) + _varint(sum(map(len, pieces))), *pieces]


def _packed(field: Field, values: Any) -> list[bytes | memoryview]:
    if field.is_array:
        return [memoryview(np.ascontiguousarray(values, _REALS[field.type])).cast("B")]
    return [b"".join(_number(field, value) for value in values)]


def _number(field: Field, value: Any) -> bytes:
    if field.type in _REALS:
        return struct.pack("<f" if field.type == "float" else "<d", value)
    return _varint((ENUMS[field.type][value] if field.type in ENUMS else int(value)) & 0xFFFF_FFFF_FFFF_FFFF)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_message(path: str | os.PathLike, type_name: str, dialect: str = "bvlc") -> Message:
    """The message of type `type_name` that a binary file holds, e.g. the SolverState of a .solverstate.

    Raises:
        FormatError: with the byte offset.
        OSError: the file cannot be read.
    """
    return Decoder(map_message(path), str(path), dialect).message(type_name)


def write_message(path: str | os.PathLike, message: Message, dialect: str = "bvlc") -> dict[str, int]:
    """Write a binary file that Caffe reads, whole or not at all.

    Returns:
        What the dialect has no field for and was left out, and how often: `{"LayerParameter.input_param": 1}`.

    Raises:
        FormatError: the message is larger than protobuf allows.
        OSError: the file cannot be written.
    """
    encoder = Encoder(dialect)
    pieces = encoder.encode(message)
    size = sum(map(len, pieces))
    if size > _MOST_BYTES:
        raise FormatError(f"{path}: {size} bytes, but Caffe reads at most {_MOST_BYTES}; write HDF5 instead")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.writelines(pieces)
    return encoder.left_out


def net_decoder(data: mmap.mmap, name: str, dialect: str | None) -> Decoder:
    """The decoder of a NetParameter; `dialect` None means the one that its layers show."""
    if dialect is not None and dialect not in DIALECTS:
        raise ValueError(f"expected one of the dialects {', '.join(DIALECTS)}, found {dialect!r}")
    return Decoder(data, name, dialect or detect_dialect(data, name))


def detect_dialect(data: mmap.mmap | bytes, name: str) -> str:
    """The dialect of a NetParameter, by the numbers under which its layers keep the parameters of their type.

    An LSTM layer whose field 134 reads as a RecurrentParameter is of the fork, one with field 140 of recurrent. Where
    several dialects read the file alike (there may be no such layer at all), the answer is the first in `DIALECTS`.

    Raises:
        FormatError: layers contradict each other, or the file is damaged.
    """
    decoder = Decoder(data, name, "bvlc")
    candidates, evidence = set(DIALECTS), []
    for number, wire_type, start, end in decoder.fields(0, len(decoder.data), "NetParameter"):
        if number == 100 and wire_type == _LENGTH:
            found = _dialects_of_layer(decoder, start, end)
            if found:
                layer, dialects = found
                evidence.append(f"{layer} is written as by {' or '.join(sorted(dialects)) or 'none of the dialects'}")
                candidates &= dialects
                if not candidates:
                    raise FormatError(
                        f"{name}: byte {start}: the layers are not of one dialect: {'; '.join(evidence)}; "
                        f"the file is damaged, or a dialect must be chosen: {', '.join(DIALECTS)}"
                    )
    return next(dialect for dialect in DIALECTS if dialect in candidates)


_FIRST_DIFFERENT = 132  # up to the number before it, the dialects agree on the fields of LayerParameter
_RECURRENT_TYPES = ("LSTM", "RNN")


def _numbers_of_parameters() -> dict[str, dict[str, int]]:
    """For each field of LayerParameter with a number that may differ: dialect -> number."""
    numbers: dict[str, dict[str, int]] = {}
    for dialect, messages in NUMBERING.items():
        for number, field in messages["LayerParameter"].items():
            if number >= _FIRST_DIFFERENT:
                numbers.setdefault(field.name, {})[dialect] = number
    return numbers


_NUMBERS_OF_PARAMETERS = _numbers_of_parameters()
_KNOWN_NUMBERS = {number for numbers in _NUMBERS_OF_PARAMETERS.values() for number in numbers.values()}


def _parameter_field(layer_type: str) -> str | None:
    """The field with a number that may differ that belongs to a layer type: `Embed` -> `embed_param`."""
    if layer_type in _RECURRENT_TYPES:
        return "recurrent_param"
    for name in _NUMBERS_OF_PARAMETERS:
        if name.removesuffix("_param").replace("_", "") == layer_type.lower():
            return name
    return None


def _dialects_of_layer(decoder: Decoder, start: int, end: int) -> tuple[str, set[str]] | None:
    """What the layer is called, and the dialects in which its parameters are those of its type; None: all of them."""
    places = {
        number: (value_start, value_end)
        for number, wire_type, value_start, value_end in decoder.fields(start, end, "LayerParameter")
        if wire_type == _LENGTH
    }
    name, layer_type = (
        bytes(decoder.data[slice(*places.get(number, (0, 0)))]).decode(errors="replace") for number in (1, 2)
    )
    field, found = _parameter_field(layer_type), sorted(_KNOWN_NUMBERS & places.keys())
    if field is None or not found:
        return None
    dialects = {
        dialect
        for dialect, number in _NUMBERS_OF_PARAMETERS[field].items()
        if found == [number] and _reads_as(decoder, dialect, FIELDS["LayerParameter"][field].type, *places[number])
    }
    return f"layer {name!r} ({layer_type}, field {', '.join(map(str, found))})", dialects


def _reads_as(decoder: Decoder, dialect: str, type_name: str, start: int, end: int) -> bool:
    try:
        Decoder(decoder.data, decoder.name, dialect).message(type_name, start, end)
    except FormatError:
        return False
    return True
