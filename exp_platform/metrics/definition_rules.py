"""What the keys of a definition may say together; each rule names the key it is about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exp_platform.errors import UsageError
from exp_platform.metrics.definition_text import (
    CapText,
    CovariateText,
    MetricText,
    RowsText,
    SourceText,
)
from exp_platform.metrics.expression_writer import Columns
from exp_platform.metrics.expressions import write_filter, write_key, write_value
from exp_platform.metrics.positions import Path
from exp_platform.metrics.unit_values import RELATIONS

_ROWS = ("source", "window", "covariate", "covariates")
_SUMS = (*_ROWS, "aggregation", "cap")
KEYS_OF_TYPE = {
    "mean": _SUMS,
    "count": _SUMS,
    "proportion": _ROWS,
    "ratio": (
        "numerator", "denominator", "aggregation", "window", "cap", "covariate",
        "covariates",
    ),
    "quantile": ("source", "aggregation", "window", "quantile", "of"),
    "retention": (*_ROWS, "retention"),
    "funnel": ("steps", "window", "covariate", "covariates"),
}  # fmt: skip
"""Keys beside name, words, direction and defaults that each type takes."""

_NEEDED = {
    "ratio": ("numerator", "denominator"),
    "quantile": ("source", "quantile"),
    "retention": ("source", "retention"),
    "funnel": ("steps",),
}
_SPECIFIC = frozenset(key for keys in KEYS_OF_TYPE.values() for key in keys)
_FEWEST_STEPS = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong at a key.

    Attributes:
        path: keys from the top, numbers in lists.
        what: one clause. found: what was there. allowed: what would be accepted.
        is_key: the key itself is wrong, not its value.
    """

    path: Path
    what: str
    found: str = ""
    allowed: str = ""
    is_key: bool = False


def find_problems(text: MetricText) -> list[Problem]:
    """Everything that the keys say against each other."""
    return [problem for rule in RULES for problem in rule(text)]


def _take_own_keys(text: MetricText) -> Iterator[Problem]:
    own = KEYS_OF_TYPE[text.type]
    for key in sorted((text.model_fields_set & _SPECIFIC) - {*own}):
        yield Problem(
            (key,), f"a {text.type} has no {key}", allowed=", ".join(own), is_key=True
        )


def _have_needed_keys(text: MetricText) -> Iterator[Problem]:
    for key in _NEEDED.get(text.type, ("source",)):
        if not getattr(text, key):
            yield Problem(("type",), f"a {text.type} needs {key}")
    if text.type == "funnel" and 0 < len(text.steps) < _FEWEST_STEPS:
        yield Problem(("steps",), "a funnel has at least two steps")


def _name_one_source(text: MetricText) -> Iterator[Problem]:
    for path, rows in _rows_of(text):
        both = rows.outcome is not None and rows.event is not None
        if both or (not rows.source_name and not isinstance(rows, CovariateText)):
            yield Problem(path, "name one outcome or one event")
        if isinstance(rows, CovariateText) and not rows.source_name:
            for key in sorted(rows.model_fields_set & {"filter", "value"}):
                yield Problem(
                    (*path, key),
                    f"a covariate from the metric's own rows has their {key}",
                    allowed=f"name an outcome or event to give it a {key} of its own",
                    is_key=True,
                )


def _read_expressions(text: MetricText) -> Iterator[Problem]:
    for path, rows in _rows_of(text):
        columns = RELATIONS[rows.kind].columns
        if rows.filter:
            yield from _try((*path, "filter"), write_filter, rows.filter, columns)
        value = rows.value if isinstance(rows, SourceText) else ""
        if value:
            is_key = _aggregation(text, path) == "distinct"
            write = write_key if is_key else write_value
            yield from _try((*path, "value"), write, value, columns)


def _read_own_past(text: MetricText) -> Iterator[Problem]:
    """Texts that the metric tells apart are no numbers for its own past either."""
    keys = ("source", "numerator", "denominator")
    own = [(key, rows) for key in keys if (rows := getattr(text, key)) and rows.value]
    for path, covariate in _covariates_of(text):
        if covariate.source_name or covariate.aggregation in (None, "distinct"):
            continue
        for key, rows in own:
            if _aggregation(text, (key,)) == "distinct":
                columns = RELATIONS[rows.kind].columns
                where = (*path, "aggregation")
                yield from _try(where, write_value, rows.value, columns)


def _try(
    path: Path, write: Callable[[str, Columns], str], text: str, columns: Columns
) -> Iterator[Problem]:
    try:
        write(text, columns)
    except UsageError as error:
        parts = error.parts
        yield Problem(path, error.what, parts.get("found", ""), parts["allowed"])


def _aggregation(text: MetricText, path: Path) -> str:
    """Of the rows at a path."""
    part: object = text
    for key in path:
        part = part[key] if isinstance(key, int) else getattr(part, key)  # type: ignore[index]
    own = getattr(part, "aggregation", None)
    if own is None and isinstance(part, CovariateText) and text.numerator is not None:
        own = text.numerator.aggregation  # as the metric's own value
    return str(own or text.aggregation)


def _fit_window(text: MetricText) -> Iterator[Problem]:
    window = text.window
    if text.type == "retention":
        for key in ("days", "delay_days"):
            if key in window.model_fields_set:
                yield Problem(
                    ("window", key), "the days of a retention stand in `retention`"
                )
    if window.grain == "day":
        if text.type == "funnel":
            yield Problem(
                ("window", "grain"),
                "the steps of a funnel are put in order by their instants",
            )
        yield from _fit_calendar_days(text)


def _fit_calendar_days(text: MetricText) -> Iterator[Problem]:
    spans = {"window": ("days", "delay_days"), "retention": ("from_days", "to_days")}
    for part, keys in spans.items():
        for key in keys:
            days = getattr(getattr(text, part), key, None)
            if days is not None and not float(days).is_integer():
                yield Problem((part, key), "calendar days are whole")


def _fit_retention(text: MetricText) -> Iterator[Problem]:
    spoken = text.retention
    if spoken is None:
        return
    path: Path = ("retention",)
    if (spoken.day is None) == (spoken.from_days is None):
        yield Problem(path, "say `day`, or `from_days` and `to_days`")
    elif spoken.from_days is not None:
        if spoken.to_days is None:
            yield Problem(path, "from_days needs to_days")
        if spoken.rolling:
            yield Problem((*path, "rolling"), "rolling goes with `day`")
    elif spoken.to_days is not None and not spoken.rolling:
        yield Problem(
            (*path, "to_days"), "one day ends by itself; with rolling it goes on"
        )
    start = spoken.from_days if spoken.day is None else float(spoken.day)
    if None not in (start, spoken.to_days) and (spoken.to_days or 0) <= (start or 0):
        yield Problem((*path, "to_days"), "the window ends before it begins")


def _fit_quantile(text: MetricText) -> Iterator[Problem]:
    if text.of == "rows" and "aggregation" in text.model_fields_set:
        yield Problem(("aggregation",), "single rows are not aggregated", is_key=True)


def _fit_caps(text: MetricText) -> Iterator[Problem]:
    caps: list[tuple[Path, CapText | None]] = [(("cap",), text.cap)]
    caps += [((*path, "cap"), c.cap) for path, c in _covariates_of(text)]
    for path, cap in caps:
        if cap is None:
            continue
        if (cap.value is None) == (cap.percentile is None):
            yield Problem(path, "a cap is a value or a percentile")
        if cap.value is not None:
            for key in sorted(cap.model_fields_set - {"value"}):
                yield Problem((*path, key), f"{key} goes with a percentile")
        if cap.taken_from == "pre_period" and path == ("cap",):
            yield from _fit_pre_period(text)


def _fit_pre_period(text: MetricText) -> Iterator[Problem]:
    if text.window.days is None:
        yield Problem(
            ("cap", "taken_from"),
            "a cap from the pre-period needs window.days",
            allowed="as many days before the exposure are summed",
        )


def _fit_covariates(text: MetricText) -> Iterator[Problem]:
    if text.covariate is not None and text.covariates:
        yield Problem(("covariate",), "say covariate or covariates", is_key=True)
    for path, covariate in _covariates_of(text):
        if text.type != "funnel" or covariate.source_name:
            continue
        for key, use in (("aggregation", "aggregate"), ("cap", "cap")):
            if getattr(covariate, key):
                yield Problem(
                    (*path, key),
                    "a funnel's own past is whether it was walked: 0 or 1",
                    allowed=f"name an outcome or event to {use}",
                    is_key=True,
                )


def _fit_defaults(text: MetricText) -> Iterator[Problem]:
    defaults = text.defaults
    if defaults.role == "guardrail" and defaults.margin is None:
        yield Problem(("defaults",), "a guardrail needs a margin")
    if defaults.role != "guardrail" and defaults.margin is not None:
        yield Problem(("defaults", "margin"), "only a guardrail has a margin")
    is_whole = defaults.margin_scale == "relative" and (defaults.margin or 0) >= 1
    if is_whole:
        yield Problem(
            ("defaults", "margin"),
            "the margin is 100 % of control's value or more",
            allowed="a share, e.g. 0.02 for 2 %",
        )


def _rows_of(text: MetricText) -> Iterator[tuple[Path, RowsText]]:
    for key in ("source", "numerator", "denominator"):
        rows = getattr(text, key)
        if rows is not None:
            yield (key,), rows
    for number, step in enumerate(text.steps):
        yield ("steps", number), step
    yield from _covariates_of(text)


def _covariates_of(text: MetricText) -> Iterator[tuple[Path, CovariateText]]:
    if text.covariate is not None:
        yield ("covariate",), text.covariate
    for number, covariate in enumerate(text.covariates):
        yield ("covariates", number), covariate


RULES: tuple[Callable[[MetricText], Iterator[Problem]], ...] = (
    _take_own_keys,
    _have_needed_keys,
    _name_one_source,
    _read_expressions,
    _read_own_past,
    _fit_window,
    _fit_retention,
    _fit_quantile,
    _fit_caps,
    _fit_covariates,
    _fit_defaults,
)
