"""Protobuf's text format, in which prototxt files are written, to messages and back."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from .errors import FormatError
from .message import Message, checked
from .schema import ENUMS, FIELDS, Field, near

_TOKEN = re.compile(
    r"""
      (?P<blank>  (?: \s | \#[^\n]* )+ )
    | (?P<name>   [A-Za-z_]\w* )
    | (?P<number> (?: 0[xX][0-9a-fA-F]+ | (?: \d+ (?: \. \d* )? | \.\d+ ) (?: [eE][+-]?\d+ )? [fF]? ) (?! [\w.] ) )
    | (?P<string> "[^"\\\n]*(?: \\. [^"\\\n]* )*" | '[^'\\\n]*(?: \\. [^'\\\n]* )*' )
    | (?P<symbol> [{}<>\[\]:;,-] )
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?: ([0-7]{1,3}) | [xX]([0-9a-fA-F]{1,2}) | u([0-9a-fA-F]{4}) | U([0-9a-fA-F]{8}) | (.) )", re.VERBOSE
)
_SIMPLE_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "?": 63}
_TRUE, _FALSE = ("true", "True", "t", "1"), ("false", "False", "f", "0")
_END = "the end of the file"


class _Parser:
    """A recursive descent over tokens; its depth is bounded by the nesting of the schema."""

    def __init__(self, text: str, name: str):
        self.source = text
        self.name = name
        self.next_start = 0
        self.advance()

    def advance(self) -> None:
        """Move to the next token: its kind, text and offset."""
        self.start = self.next_start
        while self.start < len(self.source):
            match = _TOKEN.match(self.source, self.start)
            if match is None:
                self.fail_at_start()
            self.next_start = match.end()
            if match.lastgroup != "blank":
                self.kind, self.text = match.lastgroup, match.group()
                return
            self.start = match.end()
        self.kind, self.text = "end", _END

    def fail_at_start(self) -> NoReturn:
        character = self.source[self.start]
        if character in "\"'":
            self.fail("a string that does not end on its line")
        if character.isdigit() or character == ".":
            found = self.source[self.start : self.start + 20].split()[0]
            self.fail(f"expected a number, found {found!r}")
        self.fail(f"unexpected character {character!r}")

    def fail(self, problem: str, start: int | None = None) -> NoReturn:
        start = self.start if start is None else start
        line = self.source.count("\n", 0, start) + 1
        column = start - self.source.rfind("\n", 0, start)
        raise FormatError(f"{self.name}:{line}:{column}: {problem}")

    def found(self) -> str:
        if self.kind == "end":
            return _END
        return repr(self.text if len(self.text) <= 40 else self.text[:40] + "...")

    def accept(self, symbols: str) -> str | None:
        """Step over the current token if it is one of these symbols."""
        if self.kind != "symbol" or self.text not in symbols:
            return None
        symbol = self.text
        self.advance()
        return symbol

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            self.fail(f"expected {symbol!r}, found {self.found()}")

    def message(self, type_name: str, end: str | None = None) -> Message:
        """Fields up to the symbol `end`, or to the end of the file."""
        message = Message(type_name)
        arrays: dict[str, list[float]] = {}
        while not (self.kind == "end" if end is None else self.accept(end)):
            if self.kind != "name":
                expected = "a field name" if end is None else f"a field name or {end!r}"
                self.fail(f"expected {expected} in {type_name}, found {self.found()}")
            self.field(message, arrays)
            self.accept(",;")
        for name, values in arrays.items():
            setattr(message, name, values)
        return message

    def field(self, message: Message, arrays: dict[str, list[float]]) -> None:
        """Read one field into the message, or, if the schema holds it as an array, into the list of its name."""
        start, name = self.start, self.text
        fields = FIELDS[message.type_name]
        if name not in fields:
            self.fail(f"{message.type_name} has no field {name!r}{near(name, list(fields))}")
        field = fields[name]
        self.advance()
        colon = self.accept(":")
        if not field.is_message and not colon:
            self.fail(f"expected ':' after {name}, found {self.found()}")
        read = self.submessage if field.is_message else self.scalar
        if not field.repeated:
            if message.has(name):
                self.fail(f"{name} occurs twice; {message.type_name} has it once", start)
            setattr(message, name, read(field))
            return
        values = self.members(field, read) if self.accept("[") else [read(field)]
        (arrays.setdefault(name, []) if field.is_array else getattr(message, name)).extend(values)

    def members(self, field: Field, read: Callable[[Field], Any]) -> list:
        values = []
        while not self.accept("]"):
            if values:
                self.expect(",")
            values.append(read(field))
        return values

    def submessage(self, field: Field) -> Message:
        opening = self.accept("{<")
        if not opening:
            self.fail(f"expected '{{' and the fields of {field.type} for {field.name}, found {self.found()}")
        return self.message(field.type, {"{": "}", "<": ">"}[opening])

    def scalar(self, field: Field) -> Any:
        """One value of a field that is not a message."""
        start = self.start
        if field.type in ("string", "bytes"):
            return self.string(field)
        if field.type == "bool":
            return self.boolean(field)
        sign = -1 if self.accept("-") else 1
        if field.type in ENUMS:
            value = self.enum(field, sign)
        elif field.type in ("float", "double"):
            value = sign * self.real(field)
        else:
            value = sign * self.integer(field)
        try:
            return checked(field, value)
        except ValueError as error:
            self.fail(str(error), start)

    def take(self) -> str:
        """The text of the current token, stepping over it."""
        text = self.text
        self.advance()
        return text

    def integer(self, field: Field) -> int:
        if self.kind == "number":
            text = self.text.lower()
            if text.startswith("0x"):
                return int(self.take(), 16)
            if re.fullmatch("0[0-7]+", text):
                return int(self.take(), 8)
            if re.fullmatch("0|[1-9][0-9]*", text):
                return self.decimal()
        self.fail(f"expected an integer for {field.name}, found {self.found()}")

    def decimal(self) -> int:
        if len(self.text) > 20:  # longer than any 64-bit integer; keeps int() from refusing or taking long
            self.fail(f"expected a 64-bit integer, found {self.found()}")
        return int(self.take())

    def real(self, field: Field) -> float:
        if self.kind == "name" and self.text.lower() in ("inf", "infinity", "nan"):
            return float(self.take())
        if self.kind == "number" and not re.match("0[0-9xX]", self.text):
            return float(self.take().rstrip("fF"))
        self.fail(f"expected a decimal number for {field.name}, found {self.found()}")

    def boolean(self, field: Field) -> bool:
        if self.kind in ("name", "number") and self.text in _TRUE + _FALSE:
            return self.take() in _TRUE
        self.fail(f"expected true or false for {field.name}, found {self.found()}")

    def enum(self, field: Field, sign: int) -> str:
        if self.kind == "number":
            start, number = self.start, sign * self.integer(field)
            for name, value in ENUMS[field.type].items():
                if value == number:
                    return name
            self.fail(f"{number} is not a number of {field.type}: {ENUMS[field.type]}", start)
        if self.kind == "name" and sign == 1:
            return self.take()
        self.fail(f"expected one of {', '.join(ENUMS[field.type])} for {field.name}, found {self.found()}")

    def string(self, field: Field) -> str | bytes:
        """A string, or several that stand side by side."""
        start = self.start
        if self.kind != "string":
            self.fail(f"expected a string in quotes for {field.name}, found {self.found()}")
        value = b""
        while self.kind == "string":
            value += self.unescaped(self.text[1:-1])
            self.advance()
        if field.type == "bytes":
            return value
        try:
            return value.decode()
        except UnicodeDecodeError:
            self.fail(f"the string of {field.name} is not UTF-8", start)

    def unescaped(self, text: str) -> bytes:
        def character(match: re.Match) -> bytes:
            octal, hexadecimal, short, long, simple = match.groups()
            if octal:
                return bytes([int(octal, 8) & 0xFF])
            if hexadecimal:
                return bytes([int(hexadecimal, 16)])
            if simple in _SIMPLE_ESCAPES:
                return bytes([_SIMPLE_ESCAPES[simple]])
            try:
                return chr(int(short or long or "", 16)).encode()
            except (ValueError, OverflowError):
                self.fail(f"unknown escape {match.group()!r} in a string")

        value, start = b"", 0
        for match in _ESCAPE.finditer(text):
            value += text[start : match.start()].encode() + character(match)
            start = match.end()
        return value + text[start:].encode()


def parse(text: str, type_name: str, name: str) -> Message:
    """The message of type `type_name` written in `text`; `name` stands for the file in errors.

    Reads what protobuf's own parser reads: comments, `:` optional before a message, `{}` or `<>` around it, `,` or
    `;` after a field, `[a, b]` for a repeated field, hexadecimal and octal integers, string escapes, strings side by
    side. A field that the schema does not know is an error, as in Caffe.

    Raises:
        FormatError: with `name:line:column`.
    """
    return _Parser(text, name).message(type_name)


def format_message(message: Message, indent: str = "") -> str:
    """`message` as text that `parse` and Caffe read, one field per line."""
    lines = []
    for name, value in message.fields():
        field = FIELDS[message.type_name][name]
        for member in value if field.repeated else [value]:
            if field.is_message:
                lines.append(f"{indent}{name} {{\n{format_message(member, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_format_scalar(field, member)}\n")
    return "".join(lines)


def _format_scalar(field: Field, value: Any) -> str:
    if field.type == "bool":
        return "true" if value else "false"
    if field.type == "string":
        return _quoted(value.encode())
    if field.type == "bytes":
        return _quoted(value)
    if field.type == "float":
        return str(np.float32(value)).removesuffix(".0")
    if field.type == "double":
        return repr(float(value)).removesuffix(".0")
    return str(value)


def _quoted(value: bytes) -> str:
    def escaped(byte: int) -> str:
        character = chr(byte)
        if character in '"\\':
            return "\\" + character
        return character if 32 <= byte < 127 else f"\\{byte:03o}"

    return '"' + "".join(map(escaped, value)) + '"'
