"""What processes need at rest: before the load, and after it."""

import contextlib
from dataclasses import dataclass

import httpx
import psutil

from workbench.soak.health_checks import IN_USE
from workbench.soak.stage import Stage
from workbench.soak.waiting import TooLate, eventually
from workbench.soak.watch import gauges


@dataclass(frozen=True, slots=True)
class Idle:
    """The values of each role before the load."""

    gauges: dict[str, dict[str, float]]
    descriptors: dict[str, int]


async def idle_values(stage: Stage) -> Idle:
    return Idle(
        {service.role: dict(await gauges(service)) for service in stage.services},
        {service.role: psutil.Process(service.pid).num_fds() for service in stage.services},
    )


async def settled_gauges(stage: Stage) -> dict[str, dict[str, float]]:
    """After the last socket was closed, and what it had begun has ended."""

    async def closed() -> bool:
        found.update({service.name: dict(await gauges(service)) for service in stage.services})
        return not any(
            values.get("bellwire_sockets") or values.get("bellwire_postgres_connections_in_use", 0) > IN_USE
            for values in found.values()
        )

    found: dict[str, dict[str, float]] = {}
    with contextlib.suppress(TooLate, httpx.TransportError):
        await eventually(closed, "every socket is closed", 20)
    return found
