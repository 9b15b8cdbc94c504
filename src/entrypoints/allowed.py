"""What the value of a setting may be, in words; and which setting a misspelt name may mean."""

import re
from collections.abc import Collection, Mapping
from typing import Any

_NEAR = 0.85
_LONGEST_QUOTE = 40
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What Kubernetes adds for each Service (https://kubernetes.io/docs/tutorials/services/connect-applications-service/)."""


def refusal(kind: Any, given: str) -> str:
    """Why a value of this type is refused. Quotes it only where it cannot be a secret."""
    import msgspec.inspect as known  # noqa: PLC0415 - takes long to import, and is needed for mistakes only

    info, words = known.type_info(kind), ""
    if isinstance(info, known.Metadata):
        words = (info.extra_json_schema or {}).get("description", "")
        info = info.type
    quoted = "" if isinstance(info, known.StrType) else f", not {given[:_LONGEST_QUOTE]!r}"
    return f"must be {words or _words(info)}{quoted}{_link(given)}"


def _words(info: Any) -> str:
    import msgspec.inspect as known  # noqa: PLC0415 - as above

    if isinstance(info, known.LiteralType):
        *most, last = map(str, info.values)
        return f"{', '.join(most)} or {last}"
    if isinstance(info, known.BoolType):
        return "true or false"
    if isinstance(info, known.IntType):
        return "an integer" + _bounds(info.ge, info.le)
    return "another text"


def _bounds(least: int | None, most: int | None) -> str:
    if most is None:
        return "" if least is None else f" from {least}"
    return f" from {least} to {most}"


def _link(given: str) -> str:
    if not given.startswith("tcp://"):
        return ""
    return "; Kubernetes sets it for a Service of this name: use enableServiceLinks: false in the pod"


def misspelt(given: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The names that are not known but resemble one that is, and that one. Others mean something else: a
    container gets variables of whoever runs it.
    """
    unknown = [name for name in given if name not in known and not _SERVICE_LINK.search(name) and given[name]]
    if not unknown:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - needed for mistakes only

    nearest = {name: get_close_matches(name, known, n=1, cutoff=_NEAR) for name in unknown}
    return {name: found[0] for name, found in nearest.items() if found}
