"""docker-compose.yml: valid, complete, and in line with the settings and the time that stopping takes."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
TEXT = FILE.read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def made() -> dict[str, str]:
    """The variables that deploy/make-env.sh makes."""
    script = ["sh", str(ROOT / "deploy/make-env.sh")]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def reader() -> list[str]:
    """A program that reads the file as Compose does. None: skip."""
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return [docker, "compose", "--file", str(FILE), "config"]
    if alone := shutil.which("compose-spec"):
        return [alone, "-no-interpolation", str(FILE)]  # it does not read the environment
    pytest.skip("needs Docker's compose plugin, or compose-spec: github.com/compose-spec/compose-go/v2/cmd")


def test_compose_accepts_the_file() -> None:
    words = reader()
    environment = {**os.environ, **made()}
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl (Debian: apt install openssl)")
def test_each_variable_that_is_demanded_is_made() -> None:
    demanded = set(re.findall(r"\$\{(\w+):\?run deploy/make-env\.sh\}", TEXT))
    assert demanded == made().keys()


def test_the_environment_is_of_settings() -> None:
    settings = {f"BELLWIRE_{name.upper()}" for name in Settings.__struct_fields__}
    for service in SERVICES.values():
        names = {name for name in service.get("environment", {}) if name.startswith("BELLWIRE_")}
        assert names <= settings


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_there_is(name: str) -> None:
    for other, waiting in SERVICES[name].get("depends_on", {}).items():
        if waiting["condition"] == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"]
        else:
            assert waiting["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", ["api", "consumer"])
def test_a_process_has_time_to_stop(name: str) -> None:
    """docs/operations.md: the drain, its delay, 3 s, 8 s for requests and 8 s for Kafka; a consumer 40 s."""
    drain = Settings().drain_seconds + Settings().drain_delay_seconds
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= max(40, drain + 19)
