"""Limits of rates at the web's edge: who is counted, and the headers that tell clients.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11: structured fields (RFC 9651).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil
from typing import Any, Final

from application.errors import Limited
from application.limits import Allowance, Limiter, Limits
from common import metrics
from common.exchanges import lines
from entrypoints.web.client import client_network

_SCOPE_KEY: Final = "bellwire.allowances"


def spend(scope: Any, limiter: Limiter, party: str, cost: int = 1) -> None:
    """Take from a limit; the answer will say what is left. Raises Limited."""
    try:
        allowance = limiter.take(party, cost)
    except Limited as limited:
        _note_refused(scope, limited)
        raise
    if allowance is not None:
        _note(scope, allowance)


def check(scope: Any, limiter: Limiter, party: str) -> None:
    """Take nothing, but see what others took. Raises Limited."""
    try:
        limiter.check(party)
    except Limited as limited:
        _note_refused(scope, limited)
        raise


async def spend_together(scope: Any, limiter: Limiter, party: str) -> None:
    """The same, exact across processes."""
    try:
        allowance = await limiter.take_together(party)
    except Limited as limited:
        _note_refused(scope, limited)
        raise
    if allowance is not None:
        _note(scope, allowance)


def count_failure(scope: Mapping[str, Any], limits: Limits) -> None:
    """Count credentials that were not valid, by the address they came from. Raises Limited.

    It is called after the credentials were checked, so that it refuses no valid ones that come from the same
    address.
    """
    try:
        limits.failures.take(client_network(scope))
    except Limited as limited:
        _note_refused(scope, limited)
        raise


def limited(scope: Any, error: Limited) -> None:
    """Note a refusal that somebody else decided."""
    _note_refused(scope, error)


def headers(scope: Mapping[str, Any]) -> Sequence[tuple[bytes, bytes]]:
    """The headers that tell what was taken in a request."""
    noted: Sequence[Allowance] | None = scope.get(_SCOPE_KEY)
    if noted is None:
        return ()
    policies = b", ".join([allowance.limiter.policy.encode() for allowance in noted])
    told = b", ".join([_name(allowance.limiter) + _left(allowance) for allowance in noted])
    return ((b"ratelimit-policy", policies), (b"ratelimit", told))


def header_lines(scope: Mapping[str, Any]) -> bytes:
    """The same as lines of a head. Nearly every answer has those of one limit, so they are made quickly."""
    noted: Sequence[Allowance] | None = scope.get(_SCOPE_KEY)
    if noted is None:
        return b""
    if len(noted) > 1:
        return lines(headers(scope))
    return b"%b%b\r\n" % (_beginning(noted[0].limiter), _left(noted[0]))


@cache
def _beginning(limiter: Limiter) -> bytes:
    """The lines up to what is left."""
    return b"ratelimit-policy: %b\r\nratelimit: %b" % (limiter.policy.encode(), _name(limiter))


def _name(limiter: Limiter) -> bytes:
    return b'"%b"' % limiter.name.encode()


def _left(allowance: Allowance) -> bytes:
    _, rate, behind, refused = allowance
    return b";r=%d;t=%d" % (0 if refused else rate.left(behind, 0.0), ceil(behind - 1e-6))


def _note(scope: Any, allowance: Allowance) -> None:
    noted = scope.get(_SCOPE_KEY)
    if noted is None:
        scope[_SCOPE_KEY] = (allowance,)
    else:  # the latest of each limiter
        others = [one for one in noted if one.limiter is not allowance.limiter]
        scope[_SCOPE_KEY] = (*others, allowance)


def _note_refused(scope: Any, limited: Limited) -> None:
    metrics.LIMITED.labels(limited.limit).inc()
    if isinstance(limited.allowance, Allowance):
        _note(scope, limited.allowance)
