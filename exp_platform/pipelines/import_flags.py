"""The flags of `exp import` as a request."""

from collections.abc import Mapping
from typing import Any

from exp_platform.pipelines import flags
from exp_platform.pipelines.import_looks import read_looks
from exp_platform.pipelines.import_request import ImportRequest
from exp_platform.pipelines.panel_flags import require_flags
from exp_platform.records import Assignment


def read_request(given: Mapping[str, Any], *, assignment: str) -> ImportRequest:
    """How a file without a panel is to be read.

    Args:
        given: flag -> value as typed, None or empty where it was not.
        assignment: how units came to their arms.

    Raises:
        UsageError: a flag that is required is missing, or one that cannot be read.
    """
    require_flags(
        {name: given[name] for name in ("--variant", "--control", "--metric")}
    )
    metrics = flags.read_metrics(given["--metric"])
    received, monitors = given["--received"], tuple(given["--monitor"] or ())
    if received is not None and received not in metrics:
        metrics[received] = ""
        monitors = (*monitors, received)
    pairs, adjust_by = _read_covariates(given["--covariate"], assignment)
    return ImportRequest(
        variant=given["--variant"],
        control=given["--control"],
        metrics=metrics,
        unit=given["--unit"],
        cluster=given["--cluster"],
        covariates=pairs,
        adjust_by=adjust_by,
        segments=tuple(given["--segment"] or ()),
        ratios=flags.read_ratios(given["--ratio"]),
        guardrails=_numbers(given, "--guardrail"),
        guardrails_absolute=_numbers(given, "--guardrail-absolute"),
        monitors=monitors,
        caps=_numbers(given, "--cap"),
        decreases=tuple(given["--decrease"] or ()),
        weights=_numbers(given, "--weight"),
        exposure_ts=given["--exposure-ts"],
        long=flags.read_long(
            given["--metric-column"], given["--value-column"], given["--outcome-ts"]
        ),
        start=flags.read_instant(given["--start"]),
        end=flags.read_instant(given["--end"]),
        watermark=flags.read_instant(given["--watermark"]),
        windows=_numbers(given, "--window"),
        looks=read_looks(
            given["--sequential"],
            given["--spending"],
            given["--planned-units"],
            look_days=given["--look-day"] or (),
            follow_up_days=given["--follow-up"],
        ),
        tie_break=given["--tie-break"],
        keep_duplicates=given["--keep-duplicates"],
        assignment=assignment,
        received=received,
    )


def _read_covariates(
    values: list[str] | None, assignment: str
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Pairs for an experiment; plain columns, for all metrics, where units chose."""
    if assignment == Assignment.SELF_SELECTED:
        return {}, tuple(dict.fromkeys(values or ()))
    return flags.read_lists("--covariate", values), ()


def _numbers(given: Mapping[str, Any], flag: str) -> dict[str, float]:
    return flags.read_numbers(flag, given[flag])
