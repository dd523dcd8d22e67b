"""What totals stand on beside data and watermark, and in words what of it changed."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from exp_platform.records import AnalysisPlan, ExperimentSpec, MetricDefinition

_FORMAT = 1
"""Goes up when partials or totals of an older one cannot be gone on with."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LABELS = {
    "definitions": "the definitions",
    "dates": "the dates",
    "arms": "the arms",
    "plan": "the plan",
    "design": "the design",
    "format": "what a refresh stores",
}


def refresh_key(
    spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]
) -> str:
    """Hashes of everything but data and watermark that makes the totals, by name.

    Args:
        spec: the experiment.
        definitions: its metrics.
    """
    others = replace(
        spec,
        start_ts=_EPOCH,
        end_ts=_EPOCH,
        watermark_ts=_EPOCH,
        variants=(),
        control="",
        plan=AnalysisPlan(metrics=()),
        owner="",
        hypothesis="",
    )
    parts = {
        "definitions": sorted(definitions.items()),
        "dates": (spec.start_ts, spec.end_ts),
        "arms": (spec.variants, spec.control),
        "plan": spec.plan,
        "design": others,
        "format": _FORMAT,
    }
    return " ".join(f"{name}={_hash(part)}" for name, part in parts.items())


def name_changes(before: str, now: str) -> str:
    """What changed between two keys; empty when they are equal.

    Args:
        before: of the last refresh.
        now: of this one.
    """
    if before == now:
        return ""
    theirs, ours = _parts(before), _parts(now)
    if theirs.keys() != _LABELS.keys() or ours.keys() != _LABELS.keys():
        return "a definition, the design or the program changed"
    found = [label for n, label in _LABELS.items() if theirs[n] != ours[n]]
    *first, last = found
    return f"{', '.join(first)} and {last} changed" if first else f"{last} changed"


def _hash(part: object) -> str:
    return hashlib.sha256(repr(part).encode()).hexdigest()[:16]


def _parts(key: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in key.split(" ") if "=" in part)
