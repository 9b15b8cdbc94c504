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
from domain.rates import Rate
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
    noted: dict[Limiter, Allowance] | None = scope.get(_SCOPE_KEY)
    if noted is None:
        return ()
    policies = b", ".join([limiter.policy.encode() for limiter in noted])
    told = b", ".join([_name(limiter) + _left(*allowance) for limiter, allowance in noted.items()])
    return ((b"ratelimit-policy", policies), (b"ratelimit", told))


def header_lines(scope: Mapping[str, Any]) -> bytes:
    """The same as lines of a head. Nearly every answer has those of one limit, so they are made quickly."""
    noted: dict[Limiter, Allowance] | None = scope.get(_SCOPE_KEY)
    if noted is None:
        return b""
    if len(noted) > 1:
        return lines(headers(scope))
    ((limiter, allowance),) = noted.items()
    return b"%b%b\r\n" % (_beginning(limiter), _left(*allowance))


@cache
def _beginning(limiter: Limiter) -> bytes:
    """The lines up to what is left."""
    return b"ratelimit-policy: %b\r\nratelimit: %b" % (limiter.policy.encode(), _name(limiter))


def _name(limiter: Limiter) -> bytes:
    return b'"%b"' % limiter.name.encode()


def _left(_limiter: Limiter, rate: Rate, behind: float, refused: bool) -> bytes:
    return b";r=%d;t=%d" % (0 if refused else rate.left(behind, 0.0), ceil(behind - 1e-6))


def _note(scope: Any, allowance: Allowance) -> None:
    noted = scope.get(_SCOPE_KEY)
    if noted is None:
        scope[_SCOPE_KEY] = {allowance.limiter: allowance}
    else:
        noted[allowance.limiter] = allowance


def _note_refused(scope: Any, limited: Limited) -> None:
    metrics.LIMITED.labels(limited.limit).inc()
    if isinstance(limited.allowance, Allowance):
        _note(scope, limited.allowance)
