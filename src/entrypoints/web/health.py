"""Health and metrics, for the API and for the consumer."""

import asyncio
from typing import Any

from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST

from application.errors import Unavailable
from entrypoints.web import guards
from entrypoints.web.schemas import problems
from entrypoints.web.state import Check, Checks, Scraping, part
from entrypoints.web.workers import scrape_this_process

_CHECK_SECONDS = 3.0


class Readiness(Struct):
    """Whether the process can work, and the outcome of each check: `ok`, or what is wrong."""

    status: str
    checks: dict[str, str]


@get(
    "/health/live",
    operation_id="getLiveness",
    tags=["operation"],
    summary="Is the process alive",
    security=[],
)
async def live() -> dict[str, str]:
    """Answers while the process works; restart the process if it does not."""
    return {"status": "ok"}


@get(
    "/health/ready",
    operation_id="getReadiness",
    tags=["operation"],
    summary="Is every dependency in reach",
    security=[],
    responses={
        200: ResponseSpec(Readiness, description="Ready.", generate_examples=False),
        503: ResponseSpec(Readiness, description="Not ready.", generate_examples=False),
    },
)
async def ready(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """503 while a server that the process cannot work without is out of reach. Redis is reported, but not
    required: without it everything is slower, and streams pause until it is back.
    """
    asked = part(request, Checks)
    everything = {**asked.required, **asked.optional}
    outcomes = await asyncio.gather(*map(_outcome, everything.values()))
    checks = dict(zip(everything, outcomes, strict=True))
    down = [name for name in asked.required if checks[name] != "ok"]
    return Response(
        {"status": "unavailable" if down else "ok", "checks": checks}, status_code=503 if down else 200
    )


@get(
    "/metrics",
    operation_id="getMetrics",
    guards=[guards.scraper],
    security=guards.NEEDS_METRICS_TOKEN,
    tags=["operation"],
    summary="Metrics for Prometheus",
    media_type="text/plain",
    responses={
        200: ResponseSpec(
            str, description="Prometheus text format.", media_type="text/plain", generate_examples=False
        ),
        **problems(401, 403),
    },
)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Prometheus text format. Needs `BELLWIRE_METRICS_TOKEN` as a bearer token; if none is set, only clients
    on this machine may read it.
    """
    workers = part(request, Scraping).workers
    text = await (scrape_this_process() if workers is None else workers.scrape())
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except (Unavailable, TimeoutError) as error:
        return str(error) or "no answer in time"
    return "ok"


HANDLERS = [live, ready, metrics]
