"""Definitions as results keep them: JSON of the record, read back whatever its age."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from exp_platform.records import MetricDefinition


def read_stored(document: Mapping[str, Any]) -> MetricDefinition:
    """The record of a stored definition.

    A field that an older version did not have stands at its default; one that no longer
    exists is left out.

    Args:
        document: field -> value, as `dataclasses.asdict` gives them.
    """
    record: MetricDefinition = _read_value(MetricDefinition, document)
    return record


def _read_value(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if get_origin(hint) is UnionType:
        inner = next(part for part in get_args(hint) if part is not type(None))
        return _read_value(inner, value)
    if get_origin(hint) is tuple:
        return tuple(_read_value(get_args(hint)[0], part) for part in value)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        known = {
            field.name: _read_value(hints[field.name], value[field.name])
            for field in fields(hint)
            if field.name in value
        }
        return hint(**known)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value
