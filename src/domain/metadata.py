"""Metadata: a JSON object of the producer's. The service does not interpret it, and returns it as it was
sent.
"""

import json
import re
from itertools import accumulate
from math import isinf

METADATA_BYTES = 16 * 1024
METADATA_DEPTH = 16
NUMBER_LENGTH = 1_000

_OBJECT_RULE = "must be a JSON object"
_STORABLE_RULE = "must not contain NUL or an unpaired surrogate"
_NUMBER_RULE = (
    "must not have a number with a fraction or exponent outside the range of a 64-bit float, "
    f"or of more than {NUMBER_LENGTH} characters"
)
_DEPTH_RULE = f"must not nest deeper than {METADATA_DEPTH}"
_SIZE_RULE = f"must be at most {METADATA_BYTES} bytes of JSON"

# These assume valid JSON: each backslash begins an escape inside a string, and each string ends.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKENS = re.compile(rf'({_STRING}|[^"\s]+)\s*')  # matches a megabyte of whitespace in one step
_BRACKETS = re.compile(rf"{_STRING}|[^\[\]{{}}]+")
_STORABLE_ESCAPES = re.compile(r"\\(?:[^u]|u[dD][89abAB]..\\u[dD][c-fC-F]..|u(?!0000|[dD][89a-fA-F])....)")
_UNSTORABLE = re.compile("[\\\\\ud800-\udfff]")
_ZERO = re.compile(r"-?0(\.0+)?([eE][-+]?[0-9]{1,3})?")


class Metadata:
    """A JSON object as text: what the producer wrote, without the whitespace between tokens.

    `of` checks text. The constructor is for text that is already checked, such as the store's.
    """

    __slots__ = ("broken_rule", "text")

    def __init__(self, text: str, broken_rule: str | None = None) -> None:
        self.text = text
        self.broken_rule = broken_rule
        """The rule that the text breaks. `Content` refuses it, together with the errors of other fields."""

    @classmethod
    def of(cls, text: str) -> "Metadata":
        """Check what a producer wrote: up to METADATA_BYTES of UTF-8 without the whitespace, up to
        METADATA_DEPTH levels, no NUL or unpaired surrogate. Integers may have any length. Other numbers have
        up to NUMBER_LENGTH characters and the range of a 64-bit float, because most readers parse them as
        one. Repeated keys are kept.
        """
        if text == NO_METADATA.text:
            return NO_METADATA
        try:
            return cls(_checked(text))
        except _BrokenRule as broken:
            return cls(NO_METADATA.text, str(broken))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Metadata):
            return NotImplemented
        return (self.text, self.broken_rule) == (other.text, other.broken_rule)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Metadata({self.text!r})"


NO_METADATA = Metadata("{}")


class _BrokenRule(ValueError):
    """The error text is the rule."""


def _checked(text: str) -> str:
    """The text without whitespace between tokens. Raises _BrokenRule."""
    try:
        value = _decode(text)
    except _BrokenRule:
        raise
    except RecursionError:
        raise _BrokenRule(_DEPTH_RULE) from None
    except ValueError:
        raise _BrokenRule(_OBJECT_RULE) from None
    if not isinstance(value, dict):
        raise _BrokenRule(_OBJECT_RULE)
    if not _is_storable(text):
        raise _BrokenRule(_STORABLE_RULE)
    if not _is_flat(text):
        raise _BrokenRule(_DEPTH_RULE)
    compact = "".join(_TOKENS.findall(text))
    if len(compact) > METADATA_BYTES or len(compact.encode()) > METADATA_BYTES:
        raise _BrokenRule(_SIZE_RULE)
    return compact


def _is_storable(text: str) -> bool:
    """PostgreSQL stores neither NUL nor an unpaired surrogate. In JSON both can also be escapes."""
    if text.isascii() and "\\u" not in text:
        return True
    return _UNSTORABLE.search(_STORABLE_ESCAPES.sub("", text)) is None


def _is_flat(text: str) -> bool:
    if text.count("[") + text.count("{") <= METADATA_DEPTH:
        return True
    brackets = _BRACKETS.sub("", text)
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets)) <= METADATA_DEPTH


def _check_number(text: str) -> None:
    """Check a number with a fraction or an exponent. PostgreSQL's own limits are wider."""
    value = float(text)
    if isinf(value) or len(text) > NUMBER_LENGTH or (value == 0 and not _ZERO.fullmatch(text)):
        raise _BrokenRule(_NUMBER_RULE)


def _refuse_constant(_name: str) -> None:
    raise _BrokenRule(_OBJECT_RULE)


# `len` instead of `int`: converting an integer takes time quadratic in its length.
_decode = json.JSONDecoder(parse_float=_check_number, parse_int=len, parse_constant=_refuse_constant).decode
