"""What the AsyncAPI document allows on the live stream, for frames that were really sent."""

from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft7Validator, FormatChecker

from entrypoints.live.asyncapi import document

Json = dict[str, Any]

_FORMATS = FormatChecker(formats=["uuid"])


@_FORMATS.checks("date-time", raises=ValueError)
def _is_a_time(value: object) -> bool:
    """Whether a text is a time with a zone (RFC 3339); the library leaves this to another package."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def broken_rules(frame: Json) -> list[str]:
    """What is wrong with a frame: also fields that the document does not tell of."""
    validator = _validators().get(frame["type"])
    if validator is None:
        return [f"no message is called {frame['type']}"]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(frame)]


@cache
def _validators() -> dict[str, Any]:
    closed = _closed(document())
    return {
        name: Draft7Validator(
            {**message["payload"], "components": closed["components"]}, format_checker=_FORMATS
        )
        for name, message in closed["components"]["messages"].items()
    }


def _closed(node: Any) -> Any:
    """A copy in which objects have no fields but those that are described."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {name: _closed(value) for name, value in node.items()}
    if copy.get("type") == "object" and "properties" in copy:
        copy["additionalProperties"] = False
    return copy
