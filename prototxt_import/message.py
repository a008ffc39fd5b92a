"""`Message`: plain data with the fields that the schema gives it."""

import ctypes
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from .schema import ENUMS, FIELDS, Field, near

_INTEGER_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1)}
_ARRAY_TYPES = {"float": np.dtype("<f4"), "double": np.dtype("<f8")}


def round_to_float32(value: float) -> float:
    """`value` rounded to the nearest float32; beyond its range, infinity."""
    return ctypes.c_float(value).value


def _integer(field: Field, value: Any) -> int:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{field.name}: expected an integer, found {value!r}")
    low, high = _INTEGER_RANGES[field.type]
    if not low <= value <= high:
        raise ValueError(f"{field.name}: expected {field.type}, from {low} to {high}, found {value}")
    return int(value)


def checked(field: Field, value: Any) -> Any:
    """`value` in the form in which the field holds it; TypeError or ValueError when it does not fit."""
    if field.type in _INTEGER_RANGES:
        return _integer(field, value)
    if field.type in ("float", "double"):
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise TypeError(f"{field.name}: expected a number, found {value!r}")
        return round_to_float32(float(value)) if field.type == "float" else float(value)
    if field.type in ENUMS:
        if value not in ENUMS[field.type]:
            names = list(ENUMS[field.type])
            raise ValueError(
                f"{field.name}: expected one of {', '.join(names)}, found {value!r}{near(str(value), names)}"
            )
        return value
    if field.is_message:
        if not isinstance(value, Message) or value.type_name != field.type:
            raise TypeError(f"{field.name}: expected a {field.type}, found {value!r}")
        return value
    expected = {"bool": bool, "string": str, "bytes": bytes}[field.type]
    if not isinstance(value, expected):
        raise TypeError(f"{field.name}: expected {field.type}, found {value!r}")
    return value


class Repeated(list):
    """The values of a repeated field: a list whose new members are checked against the schema."""

    def __init__(self, field: Field, values: Any = (), frozen: bool = False):
        self.field = field
        self.frozen = frozen
        super().__init__(self._check(value) for value in values)

    def _check(self, value: Any) -> Any:
        if self.frozen:
            raise AttributeError(f"{self.field.name} belongs to a message that is not set; set that message first")
        return checked(self.field, value)

    def append(self, value: Any) -> None:
        """Add one value at the end."""
        super().append(self._check(value))

    def extend(self, values: Any) -> None:
        """Add values at the end."""
        super().extend([self._check(value) for value in values])

    def insert(self, index: Any, value: Any) -> None:
        """Add one value before `index`."""
        super().insert(index, self._check(value))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            super().__setitem__(index, [self._check(member) for member in value])
        else:
            super().__setitem__(index, self._check(value))

    def __iadd__(self, values: Any) -> "Repeated":
        self.extend(values)
        return self

    def __reduce__(self) -> tuple:
        return Repeated, (self.field, list(self), self.frozen)


class Message:
    """A message of Caffe's schema, e.g. `Message("LayerParameter", name="fc6", type="InnerProduct")`.

    A field is an attribute: its value, or the schema's default while it is not set. Repeated fields are lists. A
    message field that is not set is an empty message that refuses to be written to; to set it, assign a message.
    Enums are strings by name. Fields of type float hold float32 values. The numbers of a blob are one-dimensional
    numpy arrays, float32 or float64. A value that does not fit raises TypeError or ValueError, an unknown field
    AttributeError.
    """

    __slots__ = ("_frozen", "_values", "type_name")

    type_name: str

    def __init__(self, type_name: str, /, **values: Any):
        if type_name not in FIELDS:
            raise ValueError(f"there is no message {type_name}{near(type_name, list(FIELDS))}")
        object.__setattr__(self, "type_name", type_name)
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "_frozen", False)
        for name, value in values.items():
            setattr(self, name, value)

    @classmethod
    def _from_values(cls, type_name: str, values: dict[str, Any], frozen: bool = False) -> "Message":
        """A message of values that are known to fit."""
        message = cls(type_name)
        message._values.update(values)
        object.__setattr__(message, "_frozen", frozen)
        return message

    def _field(self, name: str) -> Field:
        fields = FIELDS[self.type_name]
        if name not in fields:
            raise AttributeError(f"{self.type_name} has no field {name!r}{near(name, list(fields))}")
        return fields[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        field = self._field(name)
        if name in self._values:
            return self._values[name]
        if field.is_array:
            return np.empty(0, _ARRAY_TYPES[field.type])
        if field.repeated:
            values = Repeated(field, frozen=self._frozen)
            if not self._frozen:
                self._values[name] = values
            return values
        if field.is_message:
            return Message._from_values(field.type, {}, frozen=True)
        return round_to_float32(field.default) if field.type == "float" else field.default

    def __setattr__(self, name: str, value: Any) -> None:
        field = self._field(name)
        if self._frozen:
            raise AttributeError(f"this {self.type_name} is not set in any message; assign a new one to its field")
        if field.is_array:
            self._values[name] = np.asarray(value, _ARRAY_TYPES[field.type]).reshape(-1)
        elif field.repeated:
            self._values[name] = Repeated(field, value)
        else:
            self._values[name] = checked(field, value)

    def has(self, name: str) -> bool:
        """The field is set explicitly; a repeated field is when it has a member."""
        value = self._values.get(self._field(name).name)
        return value is not None and not (isinstance(value, (list, np.ndarray)) and len(value) == 0)

    def clear(self, name: str) -> None:
        """Unset the field."""
        self._values.pop(self._field(name).name, None)

    def fields(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of every field that is set, in the order of the schema."""
        return ((name, self._values[name]) for name in FIELDS[self.type_name] if self.has(name))

    def copy(self) -> "Message":
        """A deep copy, except that the arrays of blobs are shared."""
        return Message._from_values(self.type_name, {name: _copied(value) for name, value in self.fields()})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        mine, others = dict(self.fields()), dict(other.fields())
        return (
            self.type_name == other.type_name
            and mine.keys() == others.keys()
            and all(_same(value, others[name]) for name, value in mine.items())
        )

    __hash__ = None

    def __repr__(self) -> str:
        return f"Message({', '.join([repr(self.type_name), *(f'{name}={value!r}' for name, value in self.fields())])})"

    def __reduce__(self) -> tuple:
        return Message._from_values, (self.type_name, dict(self.fields()), self._frozen)


def _copied(value: Any) -> Any:
    if isinstance(value, Message):
        return value.copy()
    if isinstance(value, Repeated):
        return Repeated(value.field, (_copied(member) for member in value))
    return value


def _same(first: Any, second: Any) -> bool:
    """Equal; arrays bit by bit."""
    if isinstance(first, np.ndarray):
        return first.tobytes() == second.tobytes()
    return first == second
