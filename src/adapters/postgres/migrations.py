"""Runs the migrations."""

from pathlib import Path

from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from adapters.postgres.states import reason
from alembic import command
from application.errors import Refused, Unavailable

_IN_A_WHEEL = Path(__file__).resolve().parent / "alembic"  # see [tool.hatch] in pyproject.toml
_IN_A_CHECKOUT = Path(__file__).resolve().parents[3] / "alembic"


def config(url: str) -> Config:
    """Configure alembic for a database."""
    scripts = _IN_A_WHEEL if _IN_A_WHEEL.exists() else _IN_A_CHECKOUT
    alembic = Config()
    alembic.set_main_option("script_location", str(scripts).replace("%", "%%"))
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["url"] = url
    return alembic


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database to a revision. This runs an event loop, so it cannot be called inside one.

    Raises Unavailable if PostgreSQL is out of reach or refuses, Refused if there is no such revision.
    """
    try:
        command.upgrade(config(url), revision)
    except CommandError as error:
        raise Refused("revision", str(error)) from error
    except DBAPIError as error:
        raise Unavailable(f"PostgreSQL refuses the migration: {reason(error)}") from error


def downgrade(url: str, revision: str) -> None:
    """Downgrade the database to a revision; `base` removes everything."""
    command.downgrade(config(url), revision)


def is_ours(_object: object, name: str | None, kind: str, _reflected: object, _compared: object) -> bool:
    """Whether alembic compares an object with the metadata: not the partitions, which the application
    makes.
    """
    return kind not in {"table", "index"} or not _is_partition(name)


def _is_partition(name: str | None) -> bool:
    prefix, _, suffix = (name or "").partition("_")
    return prefix == "notifications" and (suffix.startswith("default") or suffix[:4].isdigit())
