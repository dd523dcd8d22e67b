"""Flags of `exp import --design`: which belong to a panel, and what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.flags import read_pairs
from exp_platform.pipelines.panel_request import PanelRequest

DESIGNS = ("did",)


def read_panel_flags(
    design: str, given: Mapping[str, Any], *, foreign: Mapping[str, Any]
) -> PanelRequest:
    """The mapping of a panel's columns, from the command line.

    Args:
        design: value of `--design`.
        given: flag -> value, of the flags that a panel has.
        foreign: flag -> value, of flags that belong to an experiment's file.

    Raises:
        UsageError: an unknown design, a missing flag, or one that does not belong.
    """
    if design not in DESIGNS:
        raise UsageError(f"no design {design!r}", allowed=did_you_mean(design, DESIGNS))
    refuse_flags(foreign, f"--design {design}")
    if not given["--time"] or not given["--outcome"]:
        raise UsageError(
            "a panel needs --time COL and --outcome METRIC=COL",
            next_step="see `exp import --help`",
        )
    weight = list(given["--weight"] or ())
    if len(weight) > 1:
        raise UsageError("a panel has one --weight COL", found=", ".join(weight))
    treated, _, value = (given["--treated"] or "").partition("=")
    return PanelRequest(
        time=given["--time"],
        outcomes=read_pairs("--outcome", given["--outcome"]),
        unit=given["--unit"],
        cohort=given["--cohort"],
        treated=treated or None,
        treated_value=value or None,
        untreated=given["--control"],
        policy_date=given["--policy-date"],
        cluster=given["--cluster"],
        weight=weight[0] if weight else None,
        covariates=tuple(given["--covariate"] or ()),
        decreases=tuple(given["--decrease"] or ()),
    )


def refuse_flags(foreign: Mapping[str, Any], what: str) -> None:
    """Refuse flags that would be ignored.

    Raises:
        UsageError: one was given.
    """
    named = [flag for flag, value in foreign.items() if value]
    if named:
        raise UsageError(f"{named[0]} does not belong to {what}")


def require_flags(needed: Mapping[str, str | Sequence[str] | None]) -> None:
    """Refuse an experiment's file without the flags it needs.

    Raises:
        UsageError: one is missing.
    """
    missing = [flag for flag, value in needed.items() if not value]
    if missing:
        raise UsageError(
            f"missing option {', '.join(missing)}",
            allowed="--variant, --control and --metric for an experiment; "
            "--design did for a panel",
            next_step="see `exp import --help`",
        )
