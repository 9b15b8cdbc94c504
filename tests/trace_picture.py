"""`python -m tests.trace_picture`: makes docs/images/trace.svg from the trace of a real notification.

A caller publishes, the user has two streams, and reads what came on one of them. Of several traces the
quickest is drawn: the others tell more of the machine.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from entrypoints.settings import Settings
from tests.collector import Collected, Collector, collecting
from tests.conftest import installation
from tests.product import Product, create_users, eventually
from workbench.embedded import EmbeddedServers

PICTURE = Path(__file__).resolve().parents[1] / "docs/images/trace.svg"
CALLER = "b7ad6b7169203331"
TOPIC = "bellwire.notifications"
USER = "ada"
NOTIFICATIONS = 50
READ_AFTER_SECONDS = 0.01

WIDTH, ROW, TOP, LEFT, RIGHT = 960, 26, 54, 300, 70
COLORS = {"bellwire-api": "#2563eb", "bellwire-consumer": "#d97706"}
TICKS = 8


class Row(NamedTuple):
    """A span, and how many are above it."""

    span: Collected
    depth: int


def main() -> None:
    """Make it."""
    with (
        TemporaryDirectory(prefix="bellwire-trace-") as folder,
        EmbeddedServers.start(Path(folder)) as servers,
        collecting() as collector,
    ):
        environment = {
            **installation(servers, servers.postgres_url, "trace"),
            "BELLWIRE_KAFKA_TOPIC": TOPIC,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        asyncio.run(_notify(Path(folder), environment))
        PICTURE.write_text(picture(_quickest(collector)))


async def _notify(folder: Path, environment: Mapping[str, str]) -> None:
    """Publish, each with a trace of its own."""
    product = Product(folder, environment, Settings.read(environment))
    await product.prepare()
    try:
        api, _ = await asyncio.gather(product.api(), product.consumer())
        async with api.client(USER) as client:
            await create_users(client, [USER])
            async with api.follow(USER) as phone, api.follow(USER) as laptop:
                for nth in range(1, NOTIFICATIONS + 1):
                    response = await client.post(
                        "/v1/notifications",
                        json={"user_id": USER, "event": "build.passed", "message": "Build 7 has passed."},
                        headers={"traceparent": f"00-{nth:032x}-{CALLER}-01"},
                    )
                    sent = response.json()["id"]
                    await eventually(lambda sent=sent: sent in phone.items, "it arrives")  # type: ignore[misc]
                    await asyncio.sleep(READ_AFTER_SECONDS)
                    await phone.send(type="read", ids=[sent])
                    await eventually(lambda sent=sent: laptop.items[sent]["read_at"], "it is read")  # type: ignore[misc]
    finally:
        await product.stop()


def _quickest(collector: Collector) -> list[Row]:
    """The rows of the trace that took the least time."""
    traces: dict[str, list[Collected]] = {}
    for span in collector.spans:
        if int(span.trace, 16) <= NOTIFICATIONS:
            traces.setdefault(span.trace, []).append(span)
    return rows(min(traces.values(), key=_extent))


def _extent(spans: Sequence[Collected]) -> int:
    return max(span.end for span in spans) - min(span.begin for span in spans)


def rows(spans: Sequence[Collected]) -> list[Row]:
    """The spans of a trace, each below its parent, in the order in which they began."""

    def below(parent: str, depth: int) -> Iterator[Row]:
        for span in sorted(spans, key=lambda span: span.begin):
            if span.parent == parent:
                yield Row(span, depth)
                yield from below(span.id, depth + 1)

    return list(below(CALLER, 0))


def picture(found: Sequence[Row]) -> str:
    """An SVG with a bar for each span. The same spans give the same bytes."""
    begin, end = min(row.span.begin for row in found), max(row.span.end for row in found)
    scale = (WIDTH - LEFT - RIGHT) / (end - begin)
    height = TOP + ROW * len(found) + 12
    bottom = height - 8
    font = 'font-size="12" font-family="ui-sans-serif, system-ui, sans-serif"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {font}>',
        "<title>The trace of one notification</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(),
        *_scale((end - begin) / 1e6, bottom),
        *(
            line
            for nth, row in enumerate(found)
            for line in _bar(row, TOP + ROW * nth, LEFT + (row.span.begin - begin) * scale, scale)
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend() -> Iterator[str]:
    for nth, (service, color) in enumerate(COLORS.items()):
        left = 12 + 140 * nth
        yield f'<rect x="{left}" y="12" width="12" height="12" rx="2" fill="{color}"/>'
        yield f'<text x="{left + 18}" y="22" fill="#111827">{service}</text>'


def _scale(milliseconds: float, bottom: int) -> Iterator[str]:
    step = next(one for one in (1, 2, 5, 10, 20, 50, 100, 200, 500) if milliseconds / one <= TICKS)
    for nth in range(int(milliseconds / step) + 1):
        x = LEFT + (WIDTH - LEFT - RIGHT) * nth * step / milliseconds
        yield f'<line x1="{x:.1f}" y1="36" x2="{x:.1f}" y2="{bottom}" stroke="#e5e7eb"/>'
        yield f'<text x="{x + 3:.1f}" y="46" font-size="10" fill="#6b7280">{nth * step} ms</text>'


def _bar(row: Row, y: int, x: float, scale: float) -> Iterator[str]:
    span = row.span
    wide = max(2.0, (span.end - span.begin) * scale)
    took = (span.end - span.begin) / 1e6
    left = 12 + 16 * row.depth
    if row.depth:
        yield f'<path d="M{left - 9} {y - 4}v12h6" fill="none" stroke="#9ca3af"/>'
    yield f'<text x="{left}" y="{y + 13}" fill="#111827">{escape(span.name)}</text>'
    color = COLORS[span.service]
    yield f'<rect x="{x:.1f}" y="{y + 2}" width="{wide:.1f}" height="14" rx="2" fill="{color}"/>'
    yield f'<text x="{x + wide + 5:.1f}" y="{y + 13}" font-size="11" fill="#374151">{took:.1f} ms</text>'


if __name__ == "__main__":
    main()
