"""What lies in deploy/ fits the code, and is of the form that its readers expect."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from inference import prompt, serving
from streams.metrics import Metrics
from streams.settings import Settings
from tests.unit.test_metrics import EVERYTHING

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMTOOL = shutil.which("promtool")
DASHBOARD, RULES = DEPLOY / "grafana/penchant.json", DEPLOY / "prometheus/rules.yml"
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: deploy/system-packages.sh")


def documents(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d is not None]


def exported_series():
    """Every series that a worker can export, for a pipeline that told everything there is to tell."""
    metrics = Metrics()
    for event in EVERYTHING:
        metrics.observe(event)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def test_every_metric_on_the_dashboard_and_in_the_rules_is_exported():
    rules = [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    exported = exported_series()
    for text in (DASHBOARD.read_text(), *(rule["expr"] for rule in rules)):
        assert set(re.findall(r"\b(?:penchant|process)_[a-z_]+\b", text)) <= exported
        assert set(re.findall(r"\bpenchant:[a-z0-9_:]+", text)) <= recorded


def test_the_objective_is_of_clicks_and_comments_wherever_it_is_measured():
    for text in (DASHBOARD.read_text().replace('\\"', '"'), RULES.read_text()):
        measured = re.findall(r"penchant_event_to_profile_seconds_\w+{(.*?)}", text)
        assert measured
        assert all('topic=~"penchant[.](clicks|comments)[.]v1"' in where for where in measured)


def test_the_dashboard_shows_every_metric():
    families = {family.name for family in Metrics().registry.collect() if family.name.startswith("penchant_")}
    shown = DASHBOARD.read_text()
    assert [name for name in sorted(families) if name not in shown] == []


def test_the_committed_dashboard_is_what_the_code_gives(monkeypatch):
    pytest.importorskip("grafana_foundation_sdk")
    monkeypatch.syspath_prepend(DEPLOY / "grafana")
    import dashboard

    assert DASHBOARD.read_text() == dashboard.render(), "run 'make contracts' and commit deploy/grafana/penchant.json"
    panels = dashboard.build().build().panels
    assert panels[0].title.startswith("Objective")
    for panel in panels:
        if panel.type_val != "row":
            assert panel.description
            assert len({target.ref_id for target in panel.targets}) == len(panel.targets)


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then():
    subprocess.run([PROMTOOL, "check", "config", DEPLOY / "prometheus/prometheus.yml"], check=True)
    subprocess.run([PROMTOOL, "test", "rules", DEPLOY / "prometheus/rules_test.yml"], check=True)


def fired_in_tests():
    """The alerts that some rule test expects to fire."""
    for test in documents(DEPLOY / "prometheus/rules_test.yml")[0]["tests"]:
        yield from (case["alertname"] for case in test.get("alert_rule_test", ()) if case.get("exp_alerts"))
        for case in test.get("promql_expr_test", ()):
            for sample in case["exp_samples"]:
                yield from re.findall(r'alertname="(\w+)", alertstate="firing"', sample["labels"])


def test_every_alert_is_tested_and_says_what_to_do():
    alerts = [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"] if "alert" in rule]
    assert {alert["alert"] for alert in alerts} == set(fired_in_tests())
    for alert in alerts:
        assert {"summary", "description", "runbook"} <= set(alert["annotations"])
        assert alert["labels"]["severity"] in {"page", "ticket"}


def environments():
    """The environment variables that the containers and manifests set, by the file that sets them."""
    compose = documents(DEPLOY / "docker/compose.yaml")[0]["services"]["worker"]["environment"]
    yield "compose.yaml", set(compose)
    config, deployment, *_ = documents(DEPLOY / "k8s/worker.yaml")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    yield "worker.yaml", {*config["data"], *(entry["name"] for entry in container["env"])}
    yield "Dockerfile", set(re.findall(r"PENCHANT_\w+(?==)", (DEPLOY / "docker/Dockerfile").read_text()))


@pytest.mark.parametrize(("file", "names"), list(environments()))
def test_only_settings_that_exist_are_set(file, names):
    """An unknown PENCHANT_ variable ends the worker at its start."""
    known = {f"PENCHANT_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in names if name.startswith("PENCHANT_")} <= known


def test_kubernetes_adds_no_variables_of_its_own_and_the_worker_has_no_rights():
    deployment = next(d for d in documents(DEPLOY / "k8s/worker.yaml") if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_manifests_belong_together():
    config, deployment, service, budget = documents(DEPLOY / "k8s/worker.yaml")
    (scaled,) = documents(DEPLOY / "k8s/keda.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (deployment["spec"]["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["spec"]["maxReplicaCount"] <= int(config["data"]["PENCHANT_PARTITIONS"])
    for trigger in scaled["spec"]["triggers"]:
        assert trigger["metadata"]["consumerGroup"] == config["data"]["PENCHANT_CONSUMER_GROUP"]
        assert trigger["metadata"]["bootstrapServers"] == config["data"]["PENCHANT_KAFKA_BOOTSTRAP"]


def test_the_image_has_all_packages_and_runs_without_root():
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    for package in (pattern.removesuffix("*") for pattern in packages):
        assert f"COPY {package} {package}" in dockerfile
        assert f"!{package}" in (DEPLOY / "docker/Dockerfile.dockerignore").read_text().split()
    assert re.search(r"^USER \d+$", dockerfile, re.MULTILINE)


def test_what_compose_mounts_is_there():
    services = documents(DEPLOY / "docker/compose.yaml")[0]["services"]
    mounts = [mount for service in services.values() for mount in service.get("volumes", ()) if mount.startswith("../")]
    assert mounts
    for mount in mounts:
        assert (DEPLOY / "docker" / mount.split(":")[0]).resolve().exists(), mount
    for name in ("valkey", "worker"):
        assert re.search(r"change-me-\w+", str(services[name])), (
            "the example's passwords say that they are to be changed"
        )


@pytest.mark.parametrize(("service", "card"), [("vllm", None), ("vllm-tuned", {"tag": prompt.tag()})])
def test_compose_starts_vllm_as_our_own_command_does(service, card, tmp_path):
    if card:
        (tmp_path / serving.CARD).write_text(json.dumps(card))
    ours = serving.gpu(str(tmp_path), host="0.0.0.0").command  # noqa: S104 - inside the container
    vllm = documents(DEPLOY / "docker/compose.yaml")[0]["services"][service]
    defaults = [re.sub(r"\$\{\w+:-(.+?)\}", r"\1", part) for part in vllm["command"]]
    assert [*vllm["entrypoint"], *defaults] == [part.replace(str(tmp_path), "/model") for part in ours]


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda p: p.name)
def test_every_yaml_file_is_one(path):
    assert documents(path)
