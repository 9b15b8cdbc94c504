"""The `bellwire` command."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from application.credentials import Scope
from application.errors import ApplicationError
from application.feeds import Pruned
from common import wire
from domain.errors import DomainError
from domain.identifiers import UserId
from entrypoints.commands import dead_letters, draining
from entrypoints.settings import InvalidSettings, Settings


def main(argv: Sequence[str] | None = None, epilog: str | None = None) -> int:
    """Run a command. Returns the exit status: 2 for a wrong setting or command, 1 for what failed.

    `epilog` is the last line of the help.
    """
    arguments = _parser(epilog).parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except InvalidSettings as error:
        print(f"bellwire: {error}", file=sys.stderr)
        return 2
    except (ApplicationError, DomainError) as error:
        print(f"bellwire: {error.detail}", file=sys.stderr)
        return 1


def _parser(epilog: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bellwire", description="Self-hosted real-time notifications.", epilog=epilog
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int | None], words: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words)
        made.set_defaults(run=run)
        return made

    command("api", _api, "run the HTTP API and the live socket")
    command("consumer", _consumer, "run the consumer: from Kafka into the feeds")
    drain = command("drain", _drain, "take an API process out of service: move its streams elsewhere")
    draining.add_arguments(drain)
    migrate = command("migrate", _migrate, "bring the database and the topics up to date")
    migrate.add_argument("revision", nargs="?", default="head")
    prune = command("prune", _prune, "delete notifications of months that are over")
    prune.add_argument(
        "--keep-months",
        type=int,
        required=True,
        metavar="N",
        help="keep this month and the N before it; longer than Kafka keeps records",
    )
    command("openapi", _openapi, "print the OpenAPI document")
    command("asyncapi", _asyncapi, "print the AsyncAPI document of the live stream")
    command("demo-access", _demo_access, "make the demo user and a key, print them as JSON")
    keys = command("create-key", _create_key, "make an API key for a producer; it is shown this once")
    keys.add_argument("name")
    keys.add_argument("--scope", action="append", choices=[Scope.PUBLISH, Scope.USERS], dest="scopes")
    command("keys", _list_keys, "list API keys")
    command("revoke-key", _revoke_key, "revoke an API key").add_argument("id")
    dlq = command("dlq", dead_letters.run, "list, show and replay what could not be stored")
    dead_letters.add_arguments(dlq)
    command("disable-user", _disable_user, "lock a user out").add_argument("id")
    command("enable-user", _enable_user, "let a disabled user in again").add_argument("id")
    command("revoke-tokens", _revoke_tokens, "sign a user out everywhere").add_argument("id")
    command("token", _token, "mint a token for a user").add_argument("user_id")
    return parser


def _api(_arguments: argparse.Namespace) -> int:
    settings = _checked()
    from entrypoints import lifespan, serving  # noqa: PLC0415 - as below, only where it is needed
    from entrypoints.container import build  # noqa: PLC0415

    # uvicorn raises the signal again when all is done, as if it had ended the process.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(lifespan.exit_status()))
    serving.run(build(settings))
    return lifespan.exit_status()


def _consumer(_arguments: argparse.Namespace) -> int:
    _checked()
    from entrypoints import lifespan  # noqa: PLC0415 - only this command needs it
    from entrypoints.consumer import process  # noqa: PLC0415 - only this command needs it

    process.main()
    return lifespan.exit_status()


def _drain(arguments: argparse.Namespace) -> int:
    return draining.run(arguments, _checked())


def _migrate(arguments: argparse.Namespace) -> None:
    from entrypoints.commands.setup import migrate  # noqa: PLC0415

    migrate(Settings.from_env(), arguments.revision)


def _prune(arguments: argparse.Namespace) -> int:
    async def prune(container: Any) -> int:
        await container.redis_server().ping()
        total, kept = 0, []
        async for done in container.prune()(arguments.keep_months):
            if isinstance(done, Pruned):
                total += done.notifications
                print(f"{total} notifications deleted", flush=True)
                # If Redis went away it ends here: nobody else would tell it of these feeds later.
                await container.redis_announcer().heal()
            else:
                kept = done.kept
                for name in done.dropped:
                    print(f"{name} dropped", flush=True)
        for name in kept:
            print(f"bellwire: {name} is in use or not empty; run this again", file=sys.stderr)
        return 1 if kept else 0

    return int(_run(prune))


def _openapi(_arguments: argparse.Namespace) -> None:
    from entrypoints.app import create_app  # noqa: PLC0415
    from entrypoints.container import build  # noqa: PLC0415

    app = create_app(build(Settings(token_secret="x" * 32)))
    sys.stdout.write(wire.text(app.openapi_schema.to_schema()) + "\n")


def _asyncapi(_arguments: argparse.Namespace) -> None:
    from entrypoints.live.asyncapi import document  # noqa: PLC0415

    sys.stdout.write(wire.text(document()) + "\n")


def _demo_access(_arguments: argparse.Namespace) -> None:
    from entrypoints.commands.setup import demo_access  # noqa: PLC0415

    print(wire.text(_run(demo_access)))


def _create_key(arguments: argparse.Namespace) -> None:
    scopes = frozenset(arguments.scopes or [Scope.PUBLISH])

    async def create(container: Any) -> str:
        _, text = await container.create_api_key()(arguments.name, scopes)
        return str(text)

    print(_run(create))


def _list_keys(_arguments: argparse.Namespace) -> None:
    async def keys(container: Any) -> Any:
        return await container.api_keys().all()

    for key in _run(keys):
        state = "revoked" if key.revoked_at else "in use"
        print(f"{key.id}  {state:8} {key.created_at:%Y-%m-%d}  {','.join(sorted(key.scopes)):15} {key.name}")


def _revoke_key(arguments: argparse.Namespace) -> int:
    async def revoke(container: Any) -> bool:
        return bool(await container.api_keys().revoke(arguments.id, container.clock()()))

    if _run(revoke):
        return 0
    print("bellwire: no such key in use", file=sys.stderr)
    return 1


def _disable_user(arguments: argparse.Namespace) -> None:
    _run(lambda container: container.disable_user()(UserId(arguments.id)))


def _enable_user(arguments: argparse.Namespace) -> None:
    _run(lambda container: container.enable_user()(UserId(arguments.id)))


def _revoke_tokens(arguments: argparse.Namespace) -> None:
    _run(lambda container: container.revoke_tokens()(UserId(arguments.id)))


def _token(arguments: argparse.Namespace) -> None:
    from entrypoints.container import build  # noqa: PLC0415

    container = build(_checked())
    print(container.tokens().mint(arguments.user_id, container.clock()())[0])


def _checked() -> Settings:
    """The settings, with what a serving process cannot do without. Raises InvalidSettings."""
    settings = Settings.from_env()
    if len(settings.token_secret.encode()) < 32:
        raise InvalidSettings("BELLWIRE_TOKEN_SECRET: must have at least 32 bytes (openssl rand -hex 32)")
    return settings


def _run(work: Callable[[Any], Any]) -> Any:
    """Do something with a container, then close it."""
    from entrypoints.container import build  # noqa: PLC0415

    async def working() -> Any:
        container = build(_checked())
        try:
            return await work(container)
        finally:
            await container.maintenance().close()
            await container.redis_server().close()

    return asyncio.run(working())
