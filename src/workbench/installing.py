"""Install this checkout, with an extra, into the environment of the interpreter that runs this script.

uv takes seconds, pip most of a minute. uv is put into the same environment; if it is not available or
fails, pip does the work. Only the standard library is imported: nothing else is installed yet.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
CONSTRAINED = ("-c", "constraints.txt")

# uv reads neither pip's files nor its variables. These settings say where packages come from.
AS_UV_SAYS = {
    "cert": "SSL_CERT_FILE",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
}
UNKNOWN_TO_UV = {"client-cert", "no-index"}
_TAIL_LINES = 25


def main(argv: Sequence[str] | None = None) -> int:
    """Install. Return the exit status of the last installer."""
    arguments = _parser().parse_args(argv)
    wanted = [*CONSTRAINED, "-e", f".[{arguments.extra}]"]
    try:
        if arguments.installer == "uv" and _with_uv(wanted):
            return 0
        return _run([*PIP, "install", *wanted])
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--installer", choices=["uv", "pip"], default="uv", help="pip never tries uv (uv)")
    parser.add_argument("extra", help="an extra of pyproject.toml")
    return parser


def _with_uv(wanted: Sequence[str]) -> bool:
    """Install with uv. Return whether that worked."""
    settings = pip_settings(_pip_config())
    if settings.keys() & UNKNOWN_TO_UV:
        return False
    uv = shutil.which("uv") or _fetched_uv()
    if uv is None:
        return False
    environment = uv_environment(settings, os.environ)
    if _run([uv, "pip", "install", "--python", sys.executable, *wanted], environment) == 0:
        return True
    print("· uv failed; trying pip, which takes longer", flush=True)
    return False


def _fetched_uv() -> str | None:
    """Install uv into the environment itself, if there is a package for this system. Return its path."""
    if _run([*PIP, "install", *CONSTRAINED, "--only-binary", "uv", "uv"]):
        print("· There is no uv for this system; using pip, which takes longer", flush=True)
        return None
    return shutil.which("uv", path=os.path.dirname(sys.executable))  # noqa: PTH120 - the link, not its target


def _pip_config() -> str:
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False)
    return listed.stdout


def pip_settings(listed: str) -> Mapping[str, str]:
    """The settings of `pip config list` that apply to `pip install`, the strongest of each."""
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{section}."):
                found[name.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    return found


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with pip's settings as uv's variables. Existing variables for uv win."""
    told = {AS_UV_SAYS[name]: value for name, value in settings.items() if name in AS_UV_SAYS}
    if places := told.get("UV_FIND_LINKS"):
        told["UV_FIND_LINKS"] = ",".join(places.split())
    return {**told, **environment}


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command to its end. Show its latest line on a terminal; if it fails, print its last lines."""
    said: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        for line in child.stdout or ():
            said.append(line.rstrip())
            _show(said[-1].strip())
    _show("")
    if child.returncode:
        print("\n".join(said), file=sys.stderr, flush=True)
    return child.returncode


def _show(line: str) -> None:
    """Replace the line on a terminal; do nothing elsewhere."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 3
        print(f"\r\x1b[K  {line[:width]}" if line else "\r\x1b[K", end="", flush=True)


if __name__ == "__main__":
    began = time.monotonic()
    status = main()
    if status == 0:
        print(f"· Installed ({time.monotonic() - began:.0f} s)", flush=True)
    sys.exit(status)
