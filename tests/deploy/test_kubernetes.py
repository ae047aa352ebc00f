"""docker/kubernetes against Kubernetes' own schemas, and against what a careful operator asks for."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "kubernetes"
VERSIONS = ["1.29", "1.34"]


def documents():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    for resource in kustomization["resources"]:
        for document in yaml.safe_load_all((FOLDER / resource).read_text()):
            yield document


def named(document):
    return f"{document['kind']}-{document['metadata']['name']}"


DOCUMENTS = list(documents())
WORKLOADS = [d for d in DOCUMENTS if d["kind"] in ("StatefulSet", "Deployment")]
pods = pytest.mark.parametrize("document", WORKLOADS, ids=named)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_it_is_what_the_schema_says(document, version):
    kubernetes_validate.validate(document, version, strict=True)


def test_every_manifest_is_applied():
    applied = set(yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"])
    assert applied == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}


def test_there_is_a_coordinator_and_workers():
    assert {named(d) for d in WORKLOADS} == {"StatefulSet-coordinator", "Deployment-worker"}


@pods
def test_pods_may_do_little(document):
    spec = document["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert container["resources"]["limits"]["memory"]


@pods
def test_pods_are_probed_and_drain(document):
    spec = document["spec"]["template"]["spec"]
    drain = re.search(r'drain_time = "(\d+)s"', (FOLDER / "fjord.toml").read_text())
    assert spec["terminationGracePeriodSeconds"] > int(drain.group(1))
    for container in spec["containers"]:
        ports = {port["name"] for port in container["ports"]}
        for probe, path in [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]:
            get = container[probe]["httpGet"]
            assert (get["path"], get["port"]) == (path, "http")
            assert get["port"] in ports


@pods
def test_what_is_mounted_and_selected_exists(document):
    template = document["spec"]["template"]
    claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
    volumes = claims | {volume["name"] for volume in template["spec"]["volumes"]}
    for container in template["spec"]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    wanted = document["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()


def test_secrets_are_referred_to_and_never_written():
    for path in [*FOLDER.glob("*.yaml"), FOLDER / "fjord.toml"]:
        text = path.read_text()
        assert "kind: Secret" not in text
        assert not re.search(r"(?i)(password|secret_access_key|secret)\s*[:=]\s*[\"'][^\"'{/]", text), path.name
