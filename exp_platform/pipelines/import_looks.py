"""What an import registers about looking before the end, and how it says so."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

from exp_platform.checks.wording import join_words
from exp_platform.errors import UsageError
from exp_platform.pipelines.import_request import ImportRequest
from exp_platform.records import LookMethod, SequentialDesign, SpendingKind

# An mSPRT needs a width for each metric: it is registered in the plan itself.
_METHODS = ("group_sequential", "confidence_sequence", "fixed")
_DAY = timedelta(days=1)


def read_looks(
    method: str | None,
    spending: str | None,
    planned_units: int | None,
    *,
    look_days: Sequence[int] = (),
    follow_up_days: float | None = None,
) -> dict[str, Any]:
    """Keys of the sequential design that flags have named; the others keep defaults.

    Args:
        method: `--sequential`.
        spending: `--spending`.
        planned_units: `--planned-units`, matured units of all arms.
        look_days: `--look-day`, days after the first.
        follow_up_days: `--follow-up`.

    Raises:
        UsageError: a method or a spending function that does not exist here.
    """
    for flag, value, allowed in (
        ("--sequential", method, _METHODS),
        ("--spending", spending, get_args(SpendingKind)),
    ):
        if value is not None and value not in allowed:
            raise UsageError(
                f"{flag} has a value that does not exist",
                found=value,
                allowed=", ".join(allowed),
            )
    keys = {
        "method": method,
        "spending": spending,
        "planned_units": planned_units,
        "look_days": tuple(sorted(look_days)) or None,
        "follow_up_days": follow_up_days,
    }
    return {name: value for name, value in keys.items() if value is not None}


def choose_design(request: ImportRequest) -> SequentialDesign:
    """What an import registers about looking.

    An end that is only where the data stop is no promise: without one, and without
    planned units, a confidence sequence decides.

    Args:
        request: the mapping of columns and the flags about looks.
    """
    has_end = request.end is not None or request.exposure_ts is None
    keys = dict(request.looks)
    if not has_end and keys.get("planned_units") is not None:
        keys.setdefault("clock", "units")
    return SequentialDesign(**{**keys, "has_end": has_end})


def describe_design(request: ImportRequest, start: datetime) -> list[str]:
    """How often the data will be looked at, in words.

    Args:
        request: the mapping of columns and the flags about looks.
        start: of the experiment.
    """
    if request.exposure_ts is None:
        return ["one look: p-values and intervals are those of a single test"]
    design = choose_design(request)
    too_late = _late_days(request, design, start)
    names = [*request.metrics, *request.ratios]
    growing = [name for name in names if name not in request.windows]
    notes = []
    if design.method == LookMethod.FIXED:
        notes.append(f"one look, {_say_end(design)}: valid if nobody looked before")
    elif len(growing) < len(names):
        taken = [day for day in design.look_days if day not in too_late]
        notes.append(f"looks: {_say_days(design, taken)}, {_say_method(design)}")
    if too_late:
        named = join_words([str(day) for day in too_late])
        notes.append(f"--look-day {named}: after the last look at the end, never taken")
    notes += _say_unseen(request, design)
    if growing and design.method != LookMethod.FIXED:
        verb = "is" if len(growing) == 1 else "are"
        notes.append(
            f"{join_words(growing)} {verb} tested once, {_say_end(design, 'of the data')}: "
            "--window METRIC=DAYS says when a unit's value is final"
        )
    if not design.has_end and design.planned_units is None and design.method is None:
        notes.append(
            "no end and no planned units were registered, so a confidence sequence "
            "decides, which is wider than a single test: name --end or --planned-units, "
            "or --sequential fixed if nobody has looked before"
        )
    return notes


def _say_end(design: SequentialDesign, of_what: str = "") -> str:
    """When a metric with one look is tested."""
    if design.has_end or design.planned_units is None:
        return f"at the end {of_what}".rstrip()
    return f"when the {design.planned_units:,} planned units are in"


def _say_unseen(request: ImportRequest, design: SequentialDesign) -> list[str]:
    """Which units no look will see: their window closes after the last one."""
    is_by_unit = request.cluster is None and request.assignment == "randomised"
    if request.end is None or not is_by_unit:
        return []
    margins = {*request.guardrails, *request.guardrails_absolute}
    followed = ({*request.metrics} - {*request.monitors}) | margins
    late = {
        name: days
        for name, days in request.windows.items()
        if days > design.follow_up_days
        and name in followed
        and len(request.covariates.get(name, ())) <= 1
    }
    if not late:
        return []
    longest = max(late.values())
    is_one = len(late) == 1
    owner, verb = ("the window", "closes") if is_one else ("the windows", "close")
    unseen = longest - design.follow_up_days
    which = f"units exposed in the last {unseen:g} {'day' if unseen == 1 else 'days'}"
    words = (
        f"{owner} of {join_words(late)} {verb} after the last look for {which} before "
        f"--end, which do not count: with --follow-up {longest:g} all do"
    )
    return [words]


def _late_days(
    request: ImportRequest, design: SequentialDesign, start: datetime
) -> list[int]:
    """Days after the last look of an experiment whose end is registered."""
    if request.end is None:
        return []
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    last = request.end + timedelta(days=design.follow_up_days)
    return [day for day in design.look_days if day > (last - midnight) / _DAY]


def _say_days(design: SequentialDesign, taken: Sequence[int]) -> str:
    if not design.look_days:
        return "daily at 00:00 UTC"
    if not taken:
        return "at the end"
    return f"after {join_words([str(day) for day in taken])} days and at the end"


def _say_method(design: SequentialDesign) -> str:
    is_open = not design.has_end and design.planned_units is None
    default = LookMethod.CONFIDENCE_SEQUENCE if is_open else LookMethod.GROUP_SEQUENTIAL
    method = LookMethod(design.method or default)
    words = method.value.replace("_", " ")
    if method is LookMethod.GROUP_SEQUENTIAL:
        words += f", spending {design.spending}"
    if design.planned_units is not None:
        words += f", {design.planned_units:,} units planned"
    return words
