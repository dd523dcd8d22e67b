"""How a file's columns are to be read, and whether they can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from exp_platform.checks.wording import join_words
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.import_csv import refuse_repeated
from exp_platform.pipelines.segments import name_claim
from exp_platform.records import LookMethod

_TYPES = ("mean", "count", "proportion")


@dataclass(frozen=True, slots=True)
class LongColumns:
    """Columns of a file with one row per outcome."""

    metric_name: str
    value: str
    outcome_ts: str


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """How a file's columns are to be read.

    Attributes:
        variant: column with the arm. control: the baseline arm's value in it.
        metrics: metric -> type, "" = infer; a column each, or a value of
            `long.metric_name`.
        unit: column with the unit's identifier; None = the row number is the unit.
        cluster: column with the level at which treatment was assigned; None = by unit.
        covariates: metric -> columns with a value from before exposure.
        segments: columns with facts from before exposure.
        ratios: ratio's name -> (numerator metric, denominator metric).
        guardrails: metric -> largest acceptable harm, relative to control;
            `guardrails_absolute` in units of the metric.
        monitors: metrics that decide nothing.
        caps: metric -> largest value of a unit that counts.
        decreases: metrics for which less is better.
        weights: arm -> planned share; empty = equal shares.
        exposure_ts: column with the instant of exposure; None = undated.
        start, end: window of a dated experiment; None = that of the exposures, and no
            end is registered.
        watermark: instant up to which the data are complete; None = the last row's.
        windows: metric -> days after exposure in which its outcomes count.
        looks: keys of the plan's sequential design.
        adjust_by: columns with facts from before units chose their arm.
        received: column (long file: metric) that says who received the treatment.
    """

    variant: str
    control: str
    metrics: Mapping[str, str]
    unit: str | None = None
    cluster: str | None = None
    covariates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    segments: Sequence[str] = ()
    ratios: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    guardrails: Mapping[str, float] = field(default_factory=dict)
    guardrails_absolute: Mapping[str, float] = field(default_factory=dict)
    monitors: Sequence[str] = ()
    caps: Mapping[str, float] = field(default_factory=dict)
    decreases: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    exposure_ts: str | None = None
    long: LongColumns | None = None
    start: datetime | None = None
    end: datetime | None = None
    watermark: datetime | None = None
    windows: Mapping[str, float] = field(default_factory=dict)
    looks: Mapping[str, Any] = field(default_factory=dict)
    tie_break: str | None = None
    keep_duplicates: bool = False
    assignment: str = "randomised"
    received: str | None = None
    adjust_by: Sequence[str] = ()

    @property
    def facts(self) -> tuple[str, ...]:
        """Columns that travel with the unit: segments, covariates, and its cluster."""
        named = [*self.segments, *self.adjust_by]
        named += [self.cluster] if self.cluster else []
        return tuple(dict.fromkeys(named))

    @property
    def past(self) -> tuple[str, ...]:
        """Columns with values from before exposure, each once."""
        named = [column for columns in self.covariates.values() for column in columns]
        return tuple(dict.fromkeys(named))


def check_request(
    request: ImportRequest, columns: Mapping[str, str], file: Path
) -> None:
    """Refuse a mapping that this file cannot have.

    Args:
        request: the mapping.
        columns: column -> type of the file.
        file: for the error.

    Raises:
        UsageError: a column or metric that does not exist, flags that contradict.
    """
    named = [request.variant, *request.facts]
    named += [name for name in (request.unit, request.exposure_ts) if name]
    if request.long is None:
        named += [*request.metrics, *request.past]
    else:
        long = request.long
        named += [long.metric_name, long.value, long.outcome_ts]
        if request.unit is None or request.exposure_ts is None:
            raise UsageError(
                "a file with one row per outcome needs --unit and --exposure-ts",
                where=str(file),
            )
    for name in named:
        if name not in columns:
            raise UsageError(
                f"the file has no column {name!r}",
                where=str(file),
                allowed=did_you_mean(name, columns),
                next_step="correct the flag; nothing was written",
            )
    refuse_repeated(file, named, columns)
    if not request.metrics:
        raise UsageError("name at least one metric with --metric", where=str(file))
    _check_metrics(request)
    _check_contradictions(request, file)
    _check_parts(request)
    _check_segment_names(request)


def _check_metrics(request: ImportRequest) -> None:
    known = {*request.metrics, *request.ratios}
    for ratio, parts in request.ratios.items():
        for part in parts:
            _check_known(part, request.metrics, f"--ratio {ratio}")
    for flag, names in (
        ("--covariate", request.covariates),
        ("--guardrail", request.guardrails),
        ("--guardrail-absolute", request.guardrails_absolute),
        ("--monitor", request.monitors),
        ("--cap", request.caps),
        ("--decrease", request.decreases),
        ("--window", request.windows),
    ):
        for name in names:
            _check_known(name, known, flag)
    for name, kind in request.metrics.items():
        if kind and kind not in _TYPES:
            raise UsageError(
                f"metric {name!r} has a type that does not exist",
                found=kind,
                allowed=", ".join(_TYPES),
            )


def _check_known(name: str, known: Any, flag: str) -> None:
    if name not in known:
        raise UsageError(
            f"{name!r} is not a metric of this import",
            where=flag,
            allowed=did_you_mean(name, known),
            next_step="name it with --metric first",
        )


def _check_contradictions(request: ImportRequest, file: Path) -> None:
    for name, columns in request.covariates.items():
        if request.long is None and name in columns:
            raise UsageError(
                f"the covariate of {name!r} is the metric itself",
                where=str(file),
                allowed="a column with a value from before exposure",
            )
    for name in request.monitors:
        if name in request.guardrails or name in request.guardrails_absolute:
            raise UsageError(
                f"{name!r} is both a guardrail and a monitor",
                allowed="--guardrail decides, --monitor decides nothing",
            )
    for name, margin in request.guardrails.items():
        if name in request.guardrails_absolute:
            raise UsageError(
                f"{name!r} has two margins",
                found=f"--guardrail {margin:g} and --guardrail-absolute "
                f"{request.guardrails_absolute[name]:g}",
                allowed="one of them",
            )
        if margin >= 1:
            raise UsageError(
                f"the margin of {name!r} is 100 % of control's value or more",
                found=f"{margin:g}",
                allowed="a share, e.g. 0.02 for 2 %",
            )
    if request.received is not None and request.assignment != "randomised":
        raise UsageError(
            "--received tells the effect of a randomised offer on those who took it",
            found=f"--assignment {request.assignment}",
            next_step="leave --received out, or name the column that was randomised "
            "with --variant",
        )
    dated = {
        "--start": request.start,
        "--end": request.end,
        "--watermark": request.watermark,
        "--window": request.windows,
        "looks before the end": request.looks not in ({}, {"method": LookMethod.FIXED}),
    }
    needing = [flag for flag, value in dated.items() if value]
    if request.exposure_ts is None and needing:
        raise UsageError(
            f"{join_words(needing)} {'need' if len(needing) > 1 else 'needs'} "
            "--exposure-ts",
            next_step="name the column with the instant of exposure",
        )


def _check_segment_names(request: ImportRequest) -> None:
    for name in request.segments:
        if claim := name_claim(name):
            raise UsageError(
                f"segment {name!r} cannot be told from {claim}",
                where="--segment",
                next_step="give the column another name; nothing was written",
            )


def _check_parts(request: ImportRequest) -> None:
    """What comes from before exposure is no outcome; a ratio has no parts of its own."""
    for flag, columns in (
        ("--covariate", request.past),
        ("--covariate", request.adjust_by),
        ("--segment", request.segments),
    ):
        for column in columns:
            if request.long is None and column in request.metrics:
                raise UsageError(
                    f"{column!r} is an outcome of this import",
                    where=flag,
                    allowed="a column with a value from before exposure",
                )
    for flag, names in (
        ("--covariate", request.covariates),
        ("--cap", request.caps),
    ):
        for name in names:
            if name in request.ratios:
                raise UsageError(
                    f"{flag} does not work on the ratio {name!r} yet",
                    next_step="name its numerator or denominator instead",
                )
