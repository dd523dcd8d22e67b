"""The memo as data: every record of the facts under its own field names."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from exp_platform.report.facts import MemoFacts

FORMAT_VERSION = 1


def build_document(facts: MemoFacts) -> dict[str, Any]:
    """All facts as JSON values; the overall decision once more at the top."""
    content = {item.name: getattr(facts, item.name) for item in fields(facts)}
    definitions = {
        name: {**to_json(one), "definition_hash": one.definition_hash}
        for name, one in facts.definitions.items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "experiment_id": facts.spec.experiment_id,
        "decision": to_json(facts.overall),
        **{name: to_json(value) for name, value in content.items()},
        "definitions": definitions,
    }


def to_json(value: Any) -> Any:
    """Plain JSON values; a number that is not finite is null."""
    if is_dataclass(value):
        return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy value out of some details
        return to_json(value.tolist())
    return _to_scalar(value)


def _to_scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)
