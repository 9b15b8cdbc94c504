"""Scenario: Bellwire, a trivial server and any other system under the same loads, one after another."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from application.credentials import Scope
from bench import spending
from bench.measured import Row
from bench.peers import PEERS
from bench.peers.measuring import Subject, measure
from bench.scenario import Context, Named
from bench.servers import SECRET
from bench.service import Service, clean_environment, running
from bench.spending import Spending
from workbench.embedded import LOOPBACK, free_port


def peers(context: Context) -> Iterator[Row]:
    """The trivial server, Bellwire, and the system named by --peer: each with all it needs on these cores."""
    with trivial(context) as subject:
        yield from measure(subject, context.seconds)
    with bellwire(context, "peers") as subject:
        yield from measure(subject, context.seconds)
    if context.peer is not None:
        yield from measure(_named(context.peer), context.seconds)


@contextmanager
def trivial(context: Context) -> Iterator[Subject]:
    """The trivial server."""
    port = free_port()
    words = ["bench.trivial", str(port)]
    log = context.stack.folder / "trivial.log"
    service = Service("trivial", words, port, ready="/", log=log, environment=clean_environment())
    with running(service):
        made = PEERS["trivial"]("", SECRET)
        yield Subject("trivial", made, port, Spending({"trivial": [service.pid]}))


@contextmanager
def bellwire(context: Context, scenario: str) -> Iterator[Subject]:
    """An API and a consumer."""
    stack = context.stack
    stack.topic(scenario)
    key = stack.api_key(Scope.PUBLISH, Scope.USERS)
    with stack.service("consumer", scenario) as consumer, stack.service("api", scenario) as api:
        spent = spending.of(stack.servers, [consumer, api])
        yield Subject("bellwire", PEERS["bellwire"](key, SECRET), api.port, spent)


def _named(one: Named) -> Subject:
    """A system that somebody else has started on this machine."""
    address = urlsplit(one.url)
    if address.hostname not in {LOOPBACK, "localhost"} or address.port is None:
        raise SystemExit(
            f"--url {one.url}: only a port of this machine is measured, as http://{LOOPBACK}:8000"
        )
    made = PEERS[one.name](one.key, one.secret)
    return Subject(one.name, made, address.port, Spending({one.name: one.pids}))
