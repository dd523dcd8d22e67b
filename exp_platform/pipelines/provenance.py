"""Versions that make the numbers, and the digest over what must be exactly equal."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from exp_platform.records import MetricDefinition, MetricTotals

_PACKAGES = ("duckdb", "numpy", "pyarrow", "pyiceberg", "scipy")


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that make the numbers."""
    return {name: metadata.version(name) for name in _PACKAGES}


@cache
def code_version() -> str:
    """The package's version, with the commit when it runs from a git checkout."""
    version = metadata.version("exp-platform")
    git = Path(__file__).resolve().parents[2] / ".git"
    head = git / "HEAD"
    if not head.is_file():
        return version
    text = head.read_text("utf-8").strip()
    if text.startswith("ref: "):
        reference = git / text.removeprefix("ref: ")
        text = reference.read_text("utf-8").strip() if reference.is_file() else ""
    return f"{version}+g{text[:12]}" if text else version


def definition_hash(definitions: Iterable[MetricDefinition]) -> str:
    """One hash over all definitions a run used, in order of their names."""
    parts = sorted(f"{d.name}:{d.version}:{d.definition_hash}" for d in definitions)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def digest(totals: Iterable[MetricTotals]) -> str:
    """SHA-256 over exact counts and fixed-point sums, never over floats."""
    rows = sorted(
        (t.experiment_id, t.metric_name, t.variant, t.segment, t.n, t.exact_sum)
        for t in totals
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
