"""deploy/helm/bellwire: three sets of values give objects of the right form that do what docs say."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from entrypoints.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/bellwire"
SETS = ["minimal", "production", "everything"]
# The oldest that the chart allows, and a newer one.
VERSIONS = ["1.27.0", "1.37.0"]
SETTINGS = {f"BELLWIRE_{name.upper()}" for name in Settings.__struct_fields__}
OF_THE_OPERATOR = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
"""No public package has their schemas."""

Object = dict[str, Any]

needs_helm = pytest.mark.skipif(
    shutil.which("helm") is None, reason="needs helm (go install helm.sh/helm/v3/cmd/helm@v3.22.0)"
)


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *words], capture_output=True, text=True, check=False)


@cache
def manifest(values: str, version: str = VERSIONS[-1]) -> str:
    """What Helm renders for a set of values, as YAML."""
    done = helm(
        *("template", "release", str(CHART), "--namespace", "here", "--kube-version", version),
        *("--values", str(CHART / f"ci/{values}-values.yaml")),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: str, version: str = VERSIONS[-1]) -> list[Object]:
    return [found for found in yaml.safe_load_all(manifest(values, version)) if found]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Of each component: its name, its pod template, its container."""
    for found in of_kind(objects, "Deployment", "Job"):
        template = found["spec"]["template"]
        (container,) = template["spec"]["containers"]
        yield container["name"], template, container


def chosen(container: Object) -> dict[str, str | None]:
    """The environment of a container; None for what is in a Secret."""
    return {one["name"]: one.get("value") for one in container["env"]}


# --- with Helm -------------------------------------------------------------------------------------------


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_helm_finds_nothing_to_criticise(values: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / f"ci/{values}-values.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", SETS)
def test_every_object_has_the_form_that_kubernetes_demands(values: str, version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for found in rendered(values, version):
        if found["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(found, version, strict=True)


@needs_helm
@pytest.mark.skipif(
    shutil.which("kubeconform") is None,
    reason="needs kubeconform (go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0)",
)
def test_kubeconform_finds_the_same(tmp_path: Path) -> None:
    package = pytest.importorskip("kubernetes_validate", reason="needs the schemas of kubernetes-validate")
    version = VERSIONS[-1]
    schemas = Path(package.__file__).parent / f"kubernetes-json-schema/v{version}-local-strict"
    kinds = "|".join({found["kind"].lower() for found in rendered("everything")})
    for file in schemas.glob("*.json"):
        if re.match(rf"_definitions\.|({kinds})-", file.name):
            # kubeconform looks beside the file, not under the address that the package gives its schemas.
            schema = json.loads(file.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
            schema.pop("$id", None)
            (tmp_path / file.name).write_text(json.dumps(schema))
    done = subprocess.run(
        [
            *("kubeconform", "-strict", "-summary", "-kubernetes-version", version),
            *("-skip", ",".join(OF_THE_OPERATOR)),
            *("-schema-location", f"{tmp_path}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"),
        ],
        input=manifest("everything"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Invalid: 0, Errors: 0" in done.stdout


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_pods_run_without_rights(values: str) -> None:
    """What the "restricted" level of Kubernetes's pod security standards asks for, and no writable files."""
    for _, template, container in pods(rendered(values)):
        pod, own = template["spec"]["securityContext"], container["securityContext"]
        assert pod["runAsNonRoot"]
        assert pod["runAsUser"] == 10001  # that of the Dockerfile
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"]
        assert template["spec"]["automountServiceAccountToken"] is False
        assert {"requests", "limits"} <= container["resources"].keys()


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_the_environment_is_of_settings_and_secrets_are_references(values: str) -> None:
    for name, template, container in pods(rendered(values)):
        # A Service named bellwire would put BELLWIRE_PORT=tcp://… into the environment.
        assert template["spec"]["enableServiceLinks"] is False
        names = [one["name"] for one in container["env"]]
        assert len(names) == len(set(names))
        assert {one for one in names if one.startswith("BELLWIRE_")} <= SETTINGS
        for variable, value in chosen(container).items():
            secret = re.search("_(SECRET|PASSWORD|TOKEN|KEY)|(POSTGRES|MIGRATION|REDIS)_URL", variable)
            assert (value is None) == bool(secret), variable
        assert ("BELLWIRE_OPERATOR_SECRET" in names) == (name == "api")
        assert ("BELLWIRE_MIGRATION_URL" in names) == (name == "migrate")


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_a_pod_has_time_to_drain(values: str) -> None:
    """docs/operations.md: the delay, the drain, 3 s, 8 s for requests and 8 s for Kafka; a consumer 40 s."""
    for name, template, container in pods(rendered(values)):
        grace = template["spec"].get("terminationGracePeriodSeconds")
        found = chosen(container)
        if name == "api":
            drain = int(found["BELLWIRE_DRAIN_SECONDS"] or 0) + int(
                found["BELLWIRE_DRAIN_DELAY_SECONDS"] or 0
            )
            assert grace >= drain + 19 + 5
        elif name == "consumer":
            assert grace >= 40


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_probes_ask_what_the_docs_say(values: str) -> None:
    for deployment in of_kind(rendered(values), "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        variable = "BELLWIRE_CONSUMER_PORT" if container["name"] == "consumer" else "BELLWIRE_PORT"
        assert container["ports"] == [
            {"name": "http", "containerPort": int(chosen(container)[variable] or 0)}
        ]
        asked = {
            kind: container[f"{kind}Probe"]["httpGet"]["path"]
            for kind in ("startup", "liveness", "readiness")
        }
        assert asked == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_what_selects_pods_finds_them(values: str) -> None:
    objects = rendered(values)
    labels = [template["metadata"]["labels"] for _, template, _ in pods(objects)]
    services = [found["metadata"]["labels"] for found in of_kind(objects, "Service")]
    for found in of_kind(objects, "Deployment", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        selector = found["spec"].get("selector") or found["spec"]["podSelector"]
        assert sum(selector["matchLabels"].items() <= one.items() for one in labels) == 1, found["metadata"]
    for found in of_kind(objects, "Service"):
        assert sum(found["spec"]["selector"].items() <= one.items() for one in labels) == 1
    for found in of_kind(objects, "ServiceMonitor"):
        assert sum(found["spec"]["selector"]["matchLabels"].items() <= one.items() for one in services) == 1
    names = {(found["kind"], found["metadata"]["name"]) for found in objects}
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
        assert "replicas" not in next(
            one["spec"] for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == target["name"]
        )
    for found in of_kind(objects, "Ingress"):
        for path in found["spec"]["rules"][0]["http"]["paths"]:
            assert ("Service", path["backend"]["service"]["name"]) in names


@needs_helm
def test_the_rules_and_the_dashboards_are_those_of_the_repository() -> None:
    objects = rendered("everything")
    (rule,) = of_kind(objects, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    (shown,) = of_kind(objects, "ConfigMap")
    files = {file.name: json.loads(file.read_text()) for file in (ROOT / "deploy/grafana").glob("*.json")}
    assert {name: json.loads(text) for name, text in shown["data"].items()} == files
    assert files


@needs_helm
@pytest.mark.parametrize("values", SETS)
def test_the_migration_runs_before_the_rest(values: str) -> None:
    (job,) = of_kind(rendered(values), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # Nothing of the release is there yet when it runs for the first time.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


@needs_helm
def test_consumers_are_never_more_than_before_during_a_rollout() -> None:
    """One beyond the number of partitions is never ready."""
    strategy = {
        found["metadata"]["name"]: found["spec"]["strategy"]["rollingUpdate"]
        for found in of_kind(rendered("minimal"), "Deployment")
    }
    assert strategy == {
        "release-bellwire-api": {"maxUnavailable": 0, "maxSurge": 1},
        "release-bellwire-consumer": {"maxUnavailable": 1, "maxSurge": 0},
    }


@needs_helm
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("existingSecret=", "existingSecret is required"),
        ("image.repository=", "image.repository is required"),
        ("config.BELLWIRE_KAFKA_PASSWORD=x", "BELLWIRE_KAFKA_PASSWORD"),
        ("config.BELLWIRE_PORT=9000", "BELLWIRE_PORT"),
        ("api.replica=3", "replica"),
        ("consumer.terminationGracePeriodSeconds=10", "terminationGracePeriodSeconds"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(value: str, reason: str) -> None:
    done = helm(
        *("template", "release", str(CHART), "--kube-version", VERSIONS[-1]),
        *("--values", str(CHART / "ci/minimal-values.yaml"), "--set", value),
    )
    assert done.returncode != 0
    assert reason in done.stderr


# --- without -----------------------------------------------------------------------------------------------


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm lays them."""
    found = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = merged(found[name], value) if both else value
    return found


@pytest.mark.parametrize("values", SETS)
def test_values_match_their_schema(values: str) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    given = yaml.safe_load((CHART / f"ci/{values}-values.yaml").read_text())
    jsonschema.validate(merged(yaml.safe_load((CHART / "values.yaml").read_text()), given), schema)


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert schema["properties"].keys() - {"global"} == values.keys()


def test_the_chart_has_the_version_of_the_product() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]


def test_what_the_chart_reads_from_the_secret_are_settings_and_may_not_be_values() -> None:
    keys = yaml.safe_load((CHART / "values.yaml").read_text())["secretKeys"]
    named = {name for group in keys.values() for name in group}
    secret = {name for name in SETTINGS if re.search("_(SECRET|PASSWORD|METRICS_TOKEN|DEMO_KEY)(_|$)", name)}
    assert named <= SETTINGS
    assert secret - named == {"BELLWIRE_DEMO_KEY"}, "the chart cannot take it from the secret"
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]
    for name in named | secret:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({name: "x"}, schema)
    jsonschema.validate({"BELLWIRE_KAFKA_USERNAME": "x"}, schema)


def test_the_chart_has_copies_of_the_rules_and_the_dashboards() -> None:
    """`python -m deploy` makes them: Helm reads nothing outside of the chart."""
    sources = [ROOT / "deploy/prometheus/alerts.yml", *(ROOT / "deploy/grafana").glob("*.json")]
    copies = {file.name: file.read_text() for file in (CHART / "files").iterdir()}
    assert copies == {file.name: file.read_text() for file in sources}
