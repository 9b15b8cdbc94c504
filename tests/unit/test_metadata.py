"""Metadata: what a producer may send along, and that it stays as it was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.metadata import METADATA_BYTES, METADATA_DEPTH, NO_METADATA, Metadata

STRINGS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int) -> str:
    """An object that nests so deep."""
    return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


def bulky(size: int) -> str:
    """An object of so many bytes."""
    return '{"a":"%s"}' % ("x" * (size - len('{"a":""}')))


KEPT = [
    "1e22",
    "1E+22",
    "1.0",
    "1.10",
    "-0",
    "-0.0",
    "0e5",
    "0.000e-999",
    "5e-324",
    "1.7976931348623157e308",
    "123456789012345678901234567890",
    "9" * 5_000,
    "0." + "3" * 998,
    "-0.0E+999",
    "true",
    "null",
    '""',
    '"a  b\\t"',
    '"é\u00a0\u2028👩‍👩‍👧"',
    r'"\u00e9\/\ud83d\ude00\"\\"',
    r'"\\u0000 \\ud800"',
    '{"b":1,"a":2,"":3}',
    '{"a":1,"a":2}',
    "[[],{},[null]]",
]


@pytest.mark.parametrize("value", KEPT, ids=lambda value: ascii(value)[:30])
def test_a_value_stays_as_it_was_written(value: str) -> None:
    text = f'{{"value":{value}}}'

    assert Metadata.of(text) == Metadata(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" {} ", "{}"),
        ('{ "a" : [ 1 , 2 ] }', '{"a":[1,2]}'),
        ('\r\n{\t"a b" :\n" c , d : "}\n', '{"a b":" c , d : "}'),
        (r'{"\" , \\": "\\" , "b" : 1}', r'{"\" , \\":"\\","b":1}'),
    ],
)
def test_whitespace_between_tokens_is_taken_out_and_no_other(text: str, kept: str) -> None:
    assert Metadata.of(text) == Metadata(kept)


@pytest.mark.parametrize(
    "text",
    [
        nested(METADATA_DEPTH),
        '{"a":%s}' % ("[" * 15 + "]" * 15),
        '{"a":[%s[]]}' % ("[[]]," * 1_000),
        '{"%s":1}' % ("[" * 100),
        bulky(METADATA_BYTES),
        '{"ключ":"%s"}' % ("é" * 8_000),
        " " * METADATA_BYTES + '{"a" :1}',
    ],
    ids=lambda text: text[:30],
)
def test_what_is_just_within_the_limits_is_taken(text: str) -> None:
    assert Metadata.of(text).broken_rule is None


BROKEN: list[tuple[str, str]] = [
    ("", "must be a JSON object"),
    ("null", "must be a JSON object"),
    ("[]", "must be a JSON object"),
    ('"{}"', "must be a JSON object"),
    ('{"a"', "must be a JSON object"),
    ("{} {}", "must be a JSON object"),
    ("{'a':1}", "must be a JSON object"),
    ('{"a":1,}', "must be a JSON object"),
    ('{"a":01}', "must be a JSON object"),
    ('{"a":1.}', "must be a JSON object"),
    ('{"a":NaN}', "must be a JSON object"),
    ('{"a":-Infinity}', "must be a JSON object"),
    ('{"a":"\n"}', "must be a JSON object"),
    ('{"a":"\x00"}', "must be a JSON object"),
    (r'{"a":"\x"}', "must be a JSON object"),
    ('\ufeff{"a":1}', "must be a JSON object"),
    ('{"a":"' + '\\"' * 8_000, "must be a JSON object"),
    (r'{"a":"\u0000"}', "must not contain NUL"),
    (r'{"\u0000":1}', "must not contain NUL"),
    (r'{"a":"\\\u0000"}', "must not contain NUL"),
    (r'{"a":["\ud800"]}', "unpaired surrogate"),
    (r'{"a":{"\uDC00":1}}', "unpaired surrogate"),
    (r'{"a":"\ude00\ud83d"}', "unpaired surrogate"),
    (r'{"a":"\ud83d\u0041"}', "unpaired surrogate"),
    ('{"a":"\ud800"}', "unpaired surrogate"),
    ('{"a":1e400}', "outside the range"),
    ('{"a":[-1e999]}', "outside the range"),
    ('{"a":1e-400}', "outside the range"),
    ('{"a":0.%s1}' % ("0" * 400), "outside the range"),
    ('{"a":0e-1000}', "outside the range"),
    ('{"a":0.%s}' % ("3" * 999), "more than 1000 characters"),
    (nested(METADATA_DEPTH + 1), "deeper than 16"),
    ('{"a":%s}' % ("[" * 16 + "]" * 16), "deeper than 16"),
    ('{"a":' + "[" * 200_000, "deeper than 16"),
    (bulky(METADATA_BYTES + 1), "at most 16384 bytes"),
    ('{"é":"%s"}' % ("é" * 8_190), "at most 16384 bytes"),
]


@pytest.mark.parametrize(("text", "rule"), BROKEN, ids=lambda text: ascii(text)[:30])
def test_what_breaks_a_rule_holds_nothing_but_the_reason(text: str, rule: str) -> None:
    metadata = Metadata.of(text)

    assert rule in str(metadata.broken_rule)
    assert metadata.text == "{}"


def test_none_at_all_costs_nothing_and_is_always_the_same() -> None:
    assert Metadata.of("{}") is NO_METADATA


@given(st.dictionaries(STRINGS, JSON, max_size=4), st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_however_a_library_writes_a_value_it_means_the_same_after(
    value: dict[str, Any], indent: int | str | None, ascii_only: bool
) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    metadata = Metadata.of(written)

    assert metadata.text == json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)
    assert Metadata.of(metadata.text) == metadata


@given(st.text(max_size=30) | st.text('{}[]":,0e-.\\u d8', max_size=30).map(lambda text: f'{{"a":{text}}}'))
def test_no_text_crashes_the_rules(text: str) -> None:
    metadata = Metadata.of(text)

    metadata.text.encode()
    assert isinstance(json.loads(metadata.text), dict)
