"""Metadata as text: what libraries write, and what they like to change when they read and write it again."""

import json

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

NASTY = [
    '{"n":1e22}',
    '{"n":[1E+22,1e0,1.0,1.10,-0,-0.0,0e5,5e-324,1.7976931348623157e308]}',
    '{"n":123456789012345678901234567890,"m":%s}' % ("9" * 5_000),
    '{"n":[' + f"0.{'3' * 998},3.{'3' * 990}e-300,0e-999]}}",
    '{"z":1,"a":2,"":3,"10":4,"9":5,"__proto__":6}',
    '{"a":1,"b":2,"a":3,"nested":{"a":1,"a":2}}',
    r'{"é":"\u00e9\/\ud83d\ude00\"\\\b\f\n\r\t","e\u0301":"é"}',
    r'{"\\u0000":"\\ud800 </script><!-- %s {}"}',
    '{"text":"\u2028\u2029\x7f\ufeff\ufffe👩‍👩‍👧  two  spaces  "}',
    '{"a":[%s0]}' % ("1e308," * 2_700),
    '{"a":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}',
    "{}",
]

_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
_TEXTS = st.builds(
    lambda text, escaped: json.dumps(text, ensure_ascii=escaped),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8),
    st.booleans(),
)


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.builds("{}:{}".format, _TEXTS, values), max_size=4)
    return members.map(lambda inner: f"{{{','.join(inner)}}}")


VALUES = st.recursive(
    st.sampled_from(["null", "true", "false"]) | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]") | _objects(inner),
    max_leaves=12,
)
DOCUMENTS = _objects(VALUES)
"""JSON objects without whitespace between tokens, which keep the rules."""


def drawn(count: int) -> list[str]:
    """About so many of them, the same in every run."""
    found: list[str] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(DOCUMENTS)
    def collect(document: str) -> None:
        found.append(document)

    collect()
    return found
