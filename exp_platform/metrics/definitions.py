"""Metric definitions: one small YAML file each, validated strictly.

A definition says what one unit's value is; nothing about an experiment stands in it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.records import Covariate, Direction, MetricDefinition, MetricType

Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Strict):
    outcome: Name


class _Window(_Strict):
    days: float | None = Field(default=None, gt=0)
    delay_days: float = Field(default=0.0, ge=0)


class _CovariateText(_Source):
    lookback_days: int = Field(default=14, ge=1, le=365)


class MetricText(_Strict):
    """A definition as it is written down."""

    name: Name
    version: int = Field(default=1, ge=1)
    owner: str = ""
    description: str = ""
    type: Literal["mean", "count", "proportion", "ratio"]
    direction: Literal["increase", "decrease"] = "increase"
    source: _Source | None = None
    numerator: _Source | None = None
    denominator: _Source | None = None
    aggregation: Literal["sum", "count", "max"] = "sum"
    window: _Window = _Window()
    cap: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    covariate: _CovariateText | None = None
    unit_label: str = ""

    @model_validator(mode="after")
    def _parts_fit_the_type(self) -> Self:
        if self.type == "ratio":
            if self.numerator is None or self.denominator is None or self.source:
                raise ValueError("a ratio has numerator and denominator, no source")
        elif self.source is None or self.numerator or self.denominator:
            raise ValueError(f"a {self.type} has a source and nothing else")
        return self

    def definition(self) -> MetricDefinition:
        """The record of this text."""
        numerator = self.numerator or self.source
        if numerator is None:  # the validator above leaves no such case
            raise ContractError(f"metric {self.name!r} has no source")
        covariate = self.covariate
        return MetricDefinition(
            name=self.name,
            version=self.version,
            type=MetricType(self.type),
            direction=Direction(self.direction),
            numerator=numerator.outcome,
            owner=self.owner,
            description=self.description,
            denominator=self.denominator.outcome if self.denominator else None,
            aggregation=self.aggregation,
            delay_days=self.window.delay_days,
            window_days=self.window.days,
            cap=self.cap,
            covariate=Covariate(covariate.outcome, covariate.lookback_days)
            if covariate
            else None,
            unit_label=self.unit_label,
        )


def parse_definition(document: Any, where: str) -> MetricDefinition:
    """Validate one definition.

    Args:
        document: the mapping as read from YAML or JSON.
        where: file or table it came from, for the error.

    Raises:
        UsageError: an unknown key, a missing part, a value out of bounds.
    """
    try:
        return MetricText.model_validate(document).definition()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        raise UsageError(
            f"unknown key {key!r}" if unknown else f"{key or 'metric'}: {first['msg']}",
            where=where,
            found=repr(first.get("input"))[:200],
            allowed=did_you_mean(key, MetricText.model_fields) if unknown else "",
            next_step="correct the metric's definition",
        ) from error


def load_definitions(folder: Path) -> dict[str, MetricDefinition]:
    """Read every `*.yml` of a folder.

    Returns:
        Definitions by metric name.

    Raises:
        UsageError: a file that is no definition, or a name defined twice.
    """
    found: dict[str, MetricDefinition] = {}
    for file in sorted(folder.glob("*.y*ml")):
        try:
            document = yaml.safe_load(file.read_text("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(
                "not valid YAML", where=str(file), found=str(error)
            ) from error
        definition = parse_definition(document, str(file))
        if definition.name in found:
            raise UsageError(
                f"metric {definition.name!r} is defined twice", where=str(file)
            )
        found[definition.name] = definition
    return found


def choose_definitions(
    names: Iterable[str],
    project: Mapping[str, MetricDefinition],
    own: Mapping[str, Any],
    *,
    experiment_id: str,
) -> dict[str, MetricDefinition]:
    """Pick the definitions an experiment's plan names.

    Args:
        names: metric names of the plan, in order.
        project: definitions of the project's folder.
        own: definitions that belong to this experiment alone; they win.
        experiment_id: for the error.

    Raises:
        UsageError: the plan names a metric that nobody defined.
    """
    chosen: dict[str, MetricDefinition] = {}
    for name in names:
        if name in own:
            where = f"experiment_registry.definitions of {experiment_id}"
            chosen[name] = parse_definition(own[name], where)
        elif name in project:
            chosen[name] = project[name]
        else:
            raise UsageError(
                f"metric {name!r} is not defined",
                where=f"plan of experiment {experiment_id}",
                allowed=did_you_mean(name, [*project, *own]),
                next_step="add a YAML file for it or correct the plan",
            )
    return chosen
