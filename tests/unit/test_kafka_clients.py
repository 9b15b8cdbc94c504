"""Every client of Kafka is opened with the options of adapters/kafka/login.py."""

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import adapters.kafka
import entrypoints.container

SOURCES = Path(__file__).resolve().parents[2] / "src"
CLIENTS = {"AIOKafkaClient", "AIOKafkaAdminClient", "AIOKafkaConsumer", "AIOKafkaProducer"}


def calls(module: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call):
            yield node


def named(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_no_client_is_opened_without_the_login() -> None:
    opened = 0
    for module in SOURCES.rglob("*.py"):
        for call in calls(module):
            if named(call.func) in CLIENTS:
                spread = [ast.unparse(word.value) for word in call.keywords if word.arg is None]
                assert any("login" in text or text == "self._options" for text in spread), (
                    f"{module}:{call.lineno}"
                )
                opened += 1
    assert opened >= 10


def takers() -> dict[str, object]:
    """Whatever in the adapter takes a login."""
    found = {}
    for one in pkgutil.iter_modules(adapters.kafka.__path__, "adapters.kafka."):
        for name, value in vars(import_module(one.name)).items():
            if getattr(value, "__module__", "") == one.name and callable(value) and name != "Login":
                try:
                    parameters = inspect.signature(value).parameters
                except (TypeError, ValueError):
                    continue
                if "login" in parameters:
                    found[name] = value
    return found


def test_the_containers_hand_the_login_to_whatever_takes_it() -> None:
    needy = takers()
    assert {"KafkaInspection", "build_consumer", "longest_retention", "ensure_topics"} <= needy.keys()
    handed = set()
    for module in Path(entrypoints.container.__path__[0]).rglob("*.py"):
        for call in calls(module):
            given = [*call.args, *(word.value for word in call.keywords)]
            for taker in {named(one) for one in given if isinstance(one, ast.Name)} & needy.keys():
                assert "kafka_login" in ast.unparse(call), f"{module}:{call.lineno}: {taker}"
                handed.add(taker)
    assert handed == needy.keys() - {"build_producer"} | {"build_producer"}
