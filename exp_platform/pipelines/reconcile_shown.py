"""A reconciliation as tables, sentences and JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from exp_platform.checks.reconciliation import (
    FLOAT_ROOM,
    Claim,
    Combination,
    Explanation,
    Statistic,
    find_number,
)
from exp_platform.checks.wording import format_count
from exp_platform.metrics.departures import DEPARTURES
from exp_platform.pipelines.reconcile import Reconciliation

Row = Mapping[str, Any]
_DIGITS = 10
_WATERFALLS = 3
"""Explanations that are shown step by step; each other one is a line."""


def as_document(found: Reconciliation) -> dict[str, Any]:
    """Everything that was found, as JSON values; a number that does not exist is null."""
    ours = found.published
    return {
        "experiment_id": ours.spec.experiment_id,
        "metric": ours.definition.name,
        "metric_version": ours.definition.metric_version,
        "run_id": ours.run_id,
        "computed_at": ours.computed_at.isoformat(),
        "watermark": ours.spec.watermark_ts.isoformat(),
        "snapshots": dict(ours.snapshots),
        "given": [
            {"variant": variant or None, **asdict(printed)}
            for variant, printed in found.given.items()
        ],
        "is_explained": bool(found.search.explanations),
        "explanations": [
            {
                "statistic": one.claim.statistic.value,
                "departures": list(one.combination),
                "lines": [
                    _waterfall(found, one.claim, one.combination, variant)
                    for variant in one.claim.numbers
                ],
            }
            for one in found.search.explanations
        ],
        "nearest": _nearest_document(found),
        "departures": [
            {
                "code": code,
                "cause": departure.cause.value,
                "words": departure.words,
                "numbers": _number_documents(found, code),
            }
            for code, departure in found.departures.items()
        ],
        "not_in_play": [
            {"code": code, "cause": DEPARTURES[code].cause.value, "reason": reason}
            for code, reason in found.absent.items()
        ],
        "same_estimates": [asdict(match) for match in found.estimates],
        "n_tried": found.search.n_tried,
        "largest_combination": found.search.size,
    }


def _nearest_document(found: Reconciliation) -> dict[str, Any]:
    """The reading nearest to what was published, as if nothing explained it."""
    claim = found.nearest
    return {
        "statistic": claim.statistic.value,
        "lines": [_waterfall(found, claim, (), variant) for variant in claim.numbers],
    }


def _waterfall(
    found: Reconciliation, claim: Claim, combination: Combination, variant: str
) -> dict[str, Any]:
    """From the published number to the other one, a departure at a time."""
    numbers = [
        _number(found, claim.statistic, variant, combination[:length])
        for length in range(len(combination) + 1)
    ]
    given = claim.numbers[variant].value
    steps = [
        {
            "code": code,
            "cause": found.departures[code].cause.value,
            "words": found.departures[code].words,
            "number": numbers[position],
            "change": _minus(numbers[position], numbers[position - 1]),
            "alone": _minus(
                _number(found, claim.statistic, variant, (code,)), numbers[0]
            ),
        }
        for position, code in enumerate(combination, start=1)
    ]
    return {
        "variant": variant or None,
        "published": numbers[0],
        "given": given,
        "steps": steps,
        "remainder": _minus(given, numbers[-1]),
    }


def _number_documents(found: Reconciliation, code: str) -> list[dict[str, Any]]:
    """Every number that the other one may be, under one departure."""
    asked = dict.fromkeys(
        (claim.statistic, variant)
        for claim in found.claims
        for variant in claim.numbers
    )
    rows = []
    for statistic, variant in asked:
        number = _number(found, statistic, variant, (code,))
        change = _minus(number, _number(found, statistic, variant, ()))
        row = {"statistic": statistic.value, "variant": variant or None}
        rows.append({**row, "number": number, "change": change})
    return rows


def _number(
    found: Reconciliation, statistic: Statistic, variant: str, chosen: Combination
) -> float | None:
    control = found.published.spec.control
    return find_number(found.numbers[chosen], statistic, variant, control=control)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def describe(found: Reconciliation) -> Iterator[str]:
    """What was compared, and what came of it, in sentences."""
    ours, search = found.published, found.search
    yield (
        f"{ours.spec.experiment_id}, {ours.definition.name} version "
        f"{ours.definition.metric_version}, run {ours.run_id}: computed again, "
        "equal to what was published"
    )
    for match in found.estimates:
        look = "" if match.look is None else f", look {match.look}"
        yield (
            f"the published {match.field} by {match.method} ({match.treatment}{look}) "
            f"is {_shown(match.number)}: the number given"
        )
    largest = format_count(search.size, "departure")
    tried = f"{search.n_tried} combinations of up to {largest} were tried"
    if not search.explanations:
        is_one = len({(c.statistic, *c.numbers) for c in found.claims}) == 1
        yield f"NOT EXPLAINED: {tried}, and none gives the number given"
        if not is_one:
            yield (
                "it is none of the metric's numbers; the nearest is shown, "
                "--statistic and --variant say which one is meant"
            )
        return
    if search.size == 0:
        yield "nothing to explain: the number given is the published one"
        return
    count = len(search.explanations)
    several = f"{count} equally small explanations" if count > 1 else "one explanation"
    yield f"{several}; {tried}"
    if count > _WATERFALLS:
        yield "more digits of the number, --statistic or --variant leave fewer of them"


def as_waterfalls(found: Reconciliation) -> Iterator[tuple[str, list[Row]]]:
    """One table for each arm of the first explanations, with its title."""
    explanations = found.search.explanations or (Explanation(found.nearest, ()),)
    for one in explanations[:_WATERFALLS]:
        for variant in one.claim.numbers:
            line = _waterfall(found, one.claim, one.combination, variant)
            is_explained = bool(found.search.explanations)
            yield (
                _title(one.claim.statistic, variant),
                _waterfall_rows(line, is_explained=is_explained),
            )


def as_further(found: Reconciliation) -> list[Row]:
    """The other explanations, a line for each and arm."""
    return [
        {
            "or": " + ".join(found.departures[code].words for code in one.combination),
            "of": _title(one.claim.statistic, variant),
            "number": _shown(
                _number(found, one.claim.statistic, variant, one.combination)
            ),
        }
        for one in found.search.explanations[_WATERFALLS:]
        for variant in one.claim.numbers
    ]


def _title(statistic: Statistic, variant: str) -> str:
    return f"{statistic.value} of {variant or 'all arms'}"


def _waterfall_rows(line: Mapping[str, Any], *, is_explained: bool) -> list[Row]:
    steps = [
        _row(
            step["cause"], step["words"], step["number"], step["change"], step["alone"]
        )
        for step in line["steps"]
    ]
    remainder = line["remainder"]
    if not is_explained:
        words = "given, NOT EXPLAINED"
    elif abs(remainder) <= FLOAT_ROOM * abs(line["given"]):
        words, remainder = "given", None
    else:
        words = "given, rounded"
    return [
        _row("", "published", line["published"]),
        *steps,
        _row("", words, line["given"], remainder),
    ]


def _row(
    cause: str,
    words: str,
    number: float | None,
    change: float | None = None,
    alone: float | None = None,
) -> Row:
    return {
        "cause": cause,
        "step": words,
        "number": _shown(number),
        "change": _signed(change),
        "alone": _signed(alone),
    }


def as_sizes(found: Reconciliation) -> list[Row]:
    """Each departure alone: what the number would be, largest change first.

    Clocks that nobody named are many; `describe_clocks` sums them up.
    """
    lines = [
        (departure, *_alone(found, code))
        for code, departure in found.departures.items()
        if not (departure.shift and found.are_zones_alone)
    ]
    lines.sort(key=lambda line: -abs(line[2] or 0.0))
    return [
        {
            "cause": departure.cause.value,
            "one rule not followed": departure.words,
            "number": _shown(number),
            "change": _signed(change),
        }
        for departure, number, change in lines
    ]


def describe_clocks(found: Reconciliation) -> Iterator[str]:
    """How far the clocks that nobody named would move the number."""
    changes = [
        change
        for code, departure in found.departures.items()
        if departure.shift and found.are_zones_alone
        if (change := _alone(found, code)[1]) is not None
    ]
    if changes:
        yield (
            f"timezone: {len(changes)} other clocks, each tried alone, change it by "
            f"{_signed(min(changes))} to {_signed(max(changes))}; --timezone NAME tries "
            "one with the other causes"
        )


def _alone(found: Reconciliation, code: str) -> tuple[float | None, float | None]:
    """The number under one departure, and its change."""
    claims = [one.claim for one in found.search.explanations] or [found.nearest]
    statistic, variant = claims[0].statistic, next(iter(claims[0].numbers))
    number = _number(found, statistic, variant, (code,))
    return number, _minus(number, _number(found, statistic, variant, ()))


def list_absent(found: Reconciliation) -> Iterator[str]:
    """What could make no difference, and why."""
    if found.absent:
        yield "not in play: " + "; ".join(dict.fromkeys(found.absent.values()))


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.{_DIGITS}g}"


def _signed(number: float | None) -> str:
    return "" if number is None else f"{number:+.6g}"


def print_reconciliation(found: Reconciliation) -> None:
    """Sentences and tables on standard output."""
    import sys

    from exp_platform.pipelines.shown import print_table

    for line in describe(found):
        sys.stdout.write(f"{line}\n")
    for title, rows in as_waterfalls(found):
        sys.stdout.write(f"\n{title}\n")
        print_table(rows)
    for rows in (as_further(found), as_sizes(found)):
        if rows:
            print_table(rows)
    for line in (*describe_clocks(found), *list_absent(found)):
        sys.stdout.write(f"{line}\n")
