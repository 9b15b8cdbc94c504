"""`bellwire doctor`: looks at everything that an installation needs; names each fault and its fix."""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from application.errors import Unavailable
from application.inspection import CacheState, StoreState
from domain.identifiers import UserId
from entrypoints.commands import findings
from entrypoints.commands.asking import Health, NoAnswer, ask, health, own
from entrypoints.commands.findings import Finding, Mark, fail, ok, warn
from entrypoints.commands.output import Cell, Output, add_json, quiet
from entrypoints.commands.store_faults import fix_of
from entrypoints.container.inspection import InspectionContainer
from entrypoints.container.parts.base import build
from entrypoints.environment import dev_file, variables
from entrypoints.listening import api_sockets, listening_sockets
from entrypoints.settings import InvalidSettings, Settings

T = TypeVar("T")

_STYLES = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "bold red"}
_USER, _OTHER = UserId("bellwire-doctor"), UserId("bellwire-doctor-2")
_START: Mapping[str, Callable[[str], str]] = {
    "postgres": fix_of,
    "redis": lambda _: "start it, or correct BELLWIRE_REDIS_URL",
    "kafka": lambda _: (
        "start it, or correct BELLWIRE_KAFKA_BOOTSTRAP and what belongs to it (docs/connecting.md)"
    ),
}


def doctor(parser: argparse.ArgumentParser) -> None:
    """Look at everything, and print what is found."""
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Print the findings. Returns 1 if one is a fault."""
    out, marks = Output.of(arguments), set[Mark]()

    async def printing() -> None:
        async for finding in examine(variables()):
            marks.add(finding.mark)
            out.line(_cells(finding), finding)

    with quiet():
        asyncio.run(printing())
    return 1 if Mark.FAIL in marks else 0


def _cells(finding: Finding) -> Sequence[Cell]:
    fix = f"→ {finding.fix}" if finding.fix else ""
    return (
        (f"{finding.mark:4}", _STYLES[finding.mark]),
        (f"{finding.check:13}", "bold"),
        finding.text,
        (fix, "cyan"),
    )


async def examine(
    given: Mapping[str, str],
    container_of: Callable[[Settings], InspectionContainer] = lambda settings: build(
        InspectionContainer, settings
    ),
) -> AsyncIterator[Finding]:
    """All findings about the installation of these variables."""
    settings, wrong = usable(given)
    for finding in _of_settings(settings, wrong):
        yield finding
    container = container_of(settings)
    try:
        for look in (_store, _cache, _queue):
            for finding in await look(container):
                yield finding
    finally:
        await container.redis_server().close()
        await container.maintenance().close()
    for finding in await asyncio.to_thread(_of_processes, container, given.get("BELLWIRE_URL"), wrong):
        yield finding
    yield findings.of_descriptors(settings)
    file = dev_file()
    yield findings.of_folder(file.parent if file else Path(tempfile.gettempdir()))


def usable(given: Mapping[str, str]) -> tuple[Settings, Sequence[str]]:
    """The settings without those that cannot be used, and what is wrong with these."""
    left, wrong = dict(given), list[str]()
    while True:
        try:
            return Settings.read(left), wrong
        except InvalidSettings as error:
            wrong.append(str(error))
            del left[str(error).partition(":")[0]]


def _of_settings(settings: Settings, wrong: Sequence[str]) -> Iterator[Finding]:
    file = dev_file()
    found = [*wrong]
    for check in (
        settings.check_secrets,
        settings.check_tokens,
        settings.check_files,
        settings.check_serving,
    ):
        try:
            check()
        except InvalidSettings as error:
            if str(error) not in found:
                found.append(str(error))
    if not found:
        yield ok("settings", f"of {file}, which `make dev` wrote" if file else "can be used")
    yield from map(findings.of_wrong_setting, found)
    for mistake in Settings.misspelt():
        yield warn("settings", mistake, "rename or remove it")
    if not any("SECRET" in message for message in found):
        yield ok("secrets", "look random")
    yield from findings.of_origins(settings)
    yield from findings.of_proxies(settings)


async def _looked(
    check: str, look: Callable[[], Awaitable[T]], find: Callable[[T], Iterable[Finding]]
) -> Sequence[Finding]:
    try:
        return list(find(await look()))
    except Unavailable as error:
        return [fail(check, error.detail, _START[check](error.detail))]


async def _store(container: InspectionContainer) -> Sequence[Finding]:
    async def look() -> StoreState:
        try:
            return await container.store().look()
        except Unavailable as error:
            raise container.explained()(error) from error

    return await _looked(
        "postgres",
        look,
        lambda state: [*findings.of_store(state), findings.of_clock("PostgreSQL", state.ahead)],
    )


async def _cache(container: InspectionContainer) -> Sequence[Finding]:
    def find(state: CacheState) -> Iterator[Finding]:
        yield from findings.of_cache(state)
        if state.ahead is not None:
            yield findings.of_clock("Redis", state.ahead)

    return await _looked("redis", container.cache().look, find)


async def _queue(container: InspectionContainer) -> Sequence[Finding]:
    return await _looked(
        "kafka", container.kafka().look, lambda state: findings.of_queue(state, container.settings())
    )


# --- the processes ----------------------------------------------------------------------------------------


def _of_processes(container: InspectionContainer, url: str | None, wrong: Sequence[str]) -> Iterable[Finding]:
    settings = container.settings()
    found = [_port("API port", "BELLWIRE_PORT", settings, settings.port)]
    if settings.unix_socket:
        where = settings.unix_socket
        found = [
            _place("API socket", "BELLWIRE_UNIX_SOCKET", own(settings), where, partial(api_sockets, settings))
        ]
    found += [_port("consumer port", "BELLWIRE_CONSUMER_PORT", settings, settings.consumer_port)]
    api = health(url or own(settings))
    found.append(_api(api, f"start it with `bellwire api`{', or correct BELLWIRE_URL' if url else ''}"))
    if api.answers and not any("TOKEN" in message for message in wrong):
        found.append(_token(container, api.url))
    return found


def _api(api: Health, fix: str) -> Finding:
    if not api.answers:
        return warn("API", f"none answers at {api.url}: {api.text}", fix)
    if not api.ready:
        return fail("API", f"{api.url} is not ready: {api.text}", "mend the servers that it names")
    return ok("API", f"{api.url}: {api.text}")


def _port(check: str, variable: str, settings: Settings, port: int) -> Finding:
    """Whether a process of ours has its port, or could take it."""
    if not port:
        return ok(check, "any that is free")
    listen = partial(listening_sockets, settings.host, port, variable)
    return _place(check, variable, own(settings, port), f"port {port}", listen)


def _place(
    check: str, variable: str, url: str, name: str, listen: Callable[[], AbstractContextManager[object]]
) -> Finding:
    """Whether a process of ours has its place, or could take it."""
    found = health(url)
    if found.answers and not found.ready:
        return warn(check, f"{url} is not ready: {found.text}", "mend the servers that it names")
    if found.answers:
        return ok(check, f"a process of Bellwire answers at {url}")
    fix = f"stop that program, or set {variable}"
    if found.listening:
        return fail(check, f"another program has {name}: {url} {found.text}", fix)
    try:
        with listen():
            return ok(check, f"{name} is free: no process runs here")
    except InvalidSettings as error:
        return fail(check, str(error), fix)


def _token(container: InspectionContainer, url: str) -> Finding:
    """Whether the API accepts a token that is signed with the secret of these settings.

    It asks for the feed of another user: with a valid token that is forbidden, and nothing is made or read.
    """
    text, _ = container.tokens().mint(_USER, container.clock()())
    headers = {"Authorization": f"Bearer {text}"}
    try:
        answer = ask(url, f"/v1/users/{_OTHER}/notifications", headers)
    except NoAnswer as failure:
        return warn("token", f"{url} did not answer: {failure}", "try again")
    if answer.status == HTTPStatus.FORBIDDEN:
        return ok("token", f"{url} accepts a token that is signed with BELLWIRE_TOKEN_SECRET")
    if answer.status == HTTPStatus.UNAUTHORIZED:
        detail = answer.body.get("detail", "")
        return fail(
            "token",
            f"{url} refuses a token that is signed with BELLWIRE_TOKEN_SECRET: {detail}",
            "give this command and every process the same BELLWIRE_TOKEN_SECRET and BELLWIRE_TOKEN_AUDIENCE",
        )
    return warn("token", f"{url} answered {answer.status}: {answer.body.get('detail', '')}", "see its log")
