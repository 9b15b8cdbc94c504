"""What Apache Kafka is started with, and what is said where it is not there."""

import shutil
from pathlib import Path

import pytest

from workbench.apache_kafka import ApacheKafkaServer, properties, require
from workbench.programs import MissingServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Kafka seems to be, on a machine that seems to have Java."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.1.0.jar").touch()
    return tmp_path


def test_it_listens_on_loopback_only_and_replicates_to_nobody(tmp_path: Path) -> None:
    settings = properties(19_000, 19_001, tmp_path)

    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:19000,CONTROLLER://127.0.0.1:19001"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:19001"
    assert settings["log.dirs"] == str(tmp_path)
    replicas = {name: value for name, value in settings.items() if "replication" in name or "isr" in name}
    assert set(replicas.values()) == {"1"}
    assert "offsets.topic.replication.factor" in replicas


def test_its_settings_are_in_its_folder_where_its_data_will_be(home: Path, tmp_path: Path) -> None:
    server = ApacheKafkaServer(tmp_path, home=home)

    written = (tmp_path / "kafka.properties").read_text().splitlines()

    assert f"log.dirs={tmp_path}/apache-kafka" in written
    assert any(line.startswith(f"listeners=PLAINTEXT://{server.bootstrap},") for line in written)
    assert server.durable


def test_where_it_was_not_fetched_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingServer, match=r"make kafka.* KAFKA_HOME"):
        require(tmp_path)


def test_without_java_that_is_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(MissingServer, match="Java 17"):
        require(home)
