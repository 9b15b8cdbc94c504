"""Running the migrations from the application."""

from pathlib import Path

from alembic.config import Config

from alembic import command

_ROOT = Path(__file__).resolve().parents[3]


def config(url: str) -> Config:
    """Configure alembic for a database."""
    alembic = Config(_ROOT / "alembic.ini")
    alembic.attributes["url"] = url
    return alembic


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to a revision. Runs an event loop of its own: not for use inside one."""
    command.upgrade(config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision; `base` empties it."""
    command.downgrade(config(url), revision)


def is_ours(_object: object, name: str | None, kind: str, _reflected: object, _compared: object) -> bool:
    """Leave the partitions, which the application makes, out of comparisons with the metadata."""
    return kind not in {"table", "index"} or not _is_partition(name)


def _is_partition(name: str | None) -> bool:
    prefix, _, suffix = (name or "").partition("_")
    return prefix == "notifications" and (suffix.startswith("default") or suffix[:4].isdigit())
