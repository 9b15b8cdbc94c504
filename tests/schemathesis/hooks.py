"""What schemathesis checks beside its own: the rules that a schema can only tell in words."""

import os
import re
from typing import Any

import schemathesis

# Per field the beginning of what a refusal may say of data that the schema allows.
IN_WORDS = {
    "message": "must have at least one visible character",
    "title": "must have (at least one visible character|1 to 100 printable characters)",
    "description": "must have 1 to 500 printable characters",
    "categories": "(is mandatory|would be more than 128 choices)",
    "metadata": "must (be at most|not have a number|not nest deeper|not contain NUL)",
    "expires_at": r"must be (in the future|from 1970|a time with a zone)",
    "name": "must have 1 to [12]00 printable characters",
    "scopes": "read shows every event",
    "new_password": r"must (have 8 to 256 characters|not have a control)",
    "current_password": "(is required|is not the current password)",
    "email": r"(must be an e-mail address|is required to log in with a password|must not have)",
    "password": r"must (have 8 to 256 characters|not have a control)",
    "token": ".",  # it cannot be told which tokens are valid
    "user_id": "is required without a token",
    "id": "(must be a UUIDv7|names a time that must not be more than a day ahead)",
    "actions": "must (differ from those of the other actions|have at least one visible character)",
    "actor": "must have at least one visible character",
    "action": "is no action of this notification",
    "category": "is only allowed with up_to",
    "until": "must be between 1 second and 90 days from now",
    "jti": "is required without a token",
    "ids": "is required, or up_to, but not both",
    "up_to": "is a cursor of an earlier life of this feed",
    "cursor": "is not a cursor of this service",
    "overlap_seconds": "expected `int`, got `float`",  # 1.0 is an integer in JSON Schema
    "expires_after": "expected `int | null`, got `float`",
}

# What the run itself needs, by operation and parameter: the value to spare, and those to take in its place.
_KEYS, _USERS = (iter(os.environ[name].split()) for name in ("SPARE_KEY_IDS", "SPARE_USER_IDS"))
SPARED = {
    "rotateKey": ("key_id", {os.environ["API_KEY_ID"]}, _KEYS),
    "revokeKey": ("key_id", {os.environ["API_KEY_ID"]}, _KEYS),
    "eraseUser": ("user_id", {os.environ["USER_ID"], os.environ["LOCKED_ID"]}, _USERS),
}
TICKETS: set[str] = set()


@schemathesis.hook
def before_call(_context: Any, case: Any, _arguments: Any) -> None:
    """Spare the key that every request has, and users that others are about; and send no credential that it
    does not expect to be right.
    """
    operation = case.operation.definition.raw.get("operationId")
    if operation in SPARED:
        name, spared, others = SPARED[operation]
        if case.path_parameters.get(name) in spared:
            case.path_parameters[name] = next(others, "none-is-left")
    if operation == "putPassword" and not {"x-api-key"} & {name.lower() for name in case.headers}:
        # Of somebody else than the token's user: with the key alone.
        case.headers.pop("Authorization", None)
        case.headers["X-API-Key"] = os.environ["API_KEY"]
    if operation == "followNotifications" and (case.query or {}).get("ticket") in TICKETS:
        del case.query["ticket"]  # it would be taken for a wrong one that is accepted


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Remember the tickets that were given out: it uses them as values of parameters of the same name."""
    if case.operation.path == "/v1/stream-tickets" and response.status_code == 201:
        TICKETS.add(response.json()["ticket"])


def refused_for_a_rule_in_words(_context: Any, response: Any, case: Any) -> None:
    """Data that the schema allows is refused only for a rule that it cannot tell."""
    if response.status_code != 422 or not case.meta or not case.meta.generation.mode.is_positive:
        return
    problem = response.json()
    if problem["type"] == "urn:bellwire:problem:key-reused":
        return
    unknown = [
        error
        for error in problem["errors"]
        if not re.match(IN_WORDS.get(re.split(r"[.\[]", error["field"])[0], "$^"), error["message"])
    ]
    if unknown:
        raise AssertionError(f"the schema allows what is refused: {unknown}")


def bad_items_are_refused(_context: Any, response: Any, case: Any) -> None:
    """Of a batch with an item that the schema does not allow, at least that one is refused."""
    if response.status_code != 202 or case.operation.path != "/v1/notifications/batch":
        return
    parts = case.meta.components if case.meta else {}
    negative = any(part.value == "body" and about.mode.is_negative for part, about in parts.items())
    if negative and not any("error" in result for result in response.json()["results"]):
        raise AssertionError("a batch was accepted that the schema does not allow")


for check in (refused_for_a_rule_in_words, bad_items_are_refused):
    schemathesis.check(check)
