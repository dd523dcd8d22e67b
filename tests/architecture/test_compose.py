"""infra/compose.yaml is the stack of `make stack-up`, on loopback, with pinned images."""

import re
from pathlib import Path

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))


def properties(text):
    lines = [line.split("=", 1) for line in text.splitlines() if line]
    return dict(lines)


def test_services_are_those_of_the_stack():
    source = (INFRA / "stack" / "__main__.py").read_text("utf-8")
    started = re.search(r"SERVICES = \{(.*)\}", source)[1]
    assert set(COMPOSE["services"]) == set(re.findall(r'"(\w+)":', started))


def test_images_are_pinned_and_ports_are_loopback():
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_trino_opens_the_catalog_as_the_stack_does():
    source = (INFRA / "stack" / "trino.py").read_text("utf-8")
    template = re.search(r'"iceberg": """\\\n(.*?)"""', source, re.DOTALL)[1]
    here = properties((INFRA / "trino" / "iceberg.properties").read_text("utf-8"))
    there = properties(template)
    assert set(here) == set(there)
    assert {k: v for k, v in there.items() if "{" not in v}.items() <= here.items()
