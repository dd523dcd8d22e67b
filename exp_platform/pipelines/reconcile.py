"""`exp reconcile`: why does somebody else get another number for the same metric?

The metric's own models run again over the rows behind the published number, each time
with one rule not followed. First they run unchanged, and must give what was published.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from exp_platform.checks.reconciliation import (
    ALL_ARMS,
    Claim,
    Combination,
    Numbers,
    Option,
    Printed,
    Search,
    find_explanations,
    find_nearest,
    read_printed,
)
from exp_platform.config import Settings
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake import Engine, validate_experiment_id
from exp_platform.metrics.departure_facts import count_facts, tell_absent
from exp_platform.metrics.departures import (
    DEPARTURES,
    Departure,
    Subject,
    shift_hours,
    shift_zone,
)
from exp_platform.pipelines.compute_metric_aggregates import fixed_point
from exp_platform.pipelines.foreign_number import run_foreign_query
from exp_platform.pipelines.progress import Progress
from exp_platform.pipelines.reconcile_bench import Bench
from exp_platform.pipelines.reconcile_claims import list_claims
from exp_platform.pipelines.reconcile_estimates import EstimateMatch, find_estimates
from exp_platform.pipelines.reconcile_sources import Published, open_published
from exp_platform.pipelines.run import open_reader
from exp_platform.records import ExperimentSpec

DEPTH = 3
_MAX_DEPTH = 4
# UTC-11:00 to UTC+14:00, and India
_OFFSETS = [*(60 * h for h in range(-11, 15) if h), 330]


@dataclass(frozen=True, slots=True)
class ReconcileRequest:
    """Somebody else's number and what it is thought to be.

    Attributes:
        value: as it was printed. sql: file with a SELECT. One of the two.
        statistic: None = any that the metric has.
        variant: an arm, or `all`; None = any.
        timezones: zones to try beside other departures; none = whole hours, alone.
        depth: departures in the largest combination.
    """

    value: str | None = None
    sql: Path | None = None
    statistic: str | None = None
    variant: str | None = None
    timezones: tuple[str, ...] = ()
    depth: int = DEPTH


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What lies between the published number and the other one.

    Attributes:
        given: the other number, by variant.
        claims: what it may be. nearest: the one nearest to what was published.
        numbers: of every combination that was evaluated.
        departures: what was tried, in the order in which it is applied.
        absent: what was not, with the reason, by code.
        estimates: published estimates that are the other number.
        are_zones_alone: nobody named a zone, so none was tried with other departures.
    """

    published: Published
    given: Mapping[str, Printed]
    claims: tuple[Claim, ...]
    nearest: Claim
    numbers: Mapping[Combination, Numbers]
    departures: Mapping[str, Departure]
    absent: Mapping[str, str]
    search: Search
    estimates: tuple[EstimateMatch, ...]
    are_zones_alone: bool


def reconcile(
    settings: Settings, experiment_id: str, metric: str, request: ReconcileRequest
) -> Reconciliation:
    """Explain a difference by the smallest set of rules that was not followed.

    Args:
        settings: a loaded configuration.
        experiment_id: was run before.
        metric: in its plan.
        request: the other number.

    Raises:
        UsageError: no number, or a statistic or arm that the metric has not.
        ContractError: nothing published, or it cannot be computed again.
        StorageError: a snapshot expired while it was read.
    """
    validate_experiment_id(experiment_id)
    _check_request(request)
    with open_reader(settings, experiment_id) as run:
        ours = open_published(run, metric)
        given = (
            run_foreign_query(run.lake, request.sql, ours)
            if request.sql is not None
            else {ALL_ARMS: read_printed(request.value or "")}
        )
        claims = list_claims(
            ours.spec,
            ours.definition,
            given,
            statistic=request.statistic,
            variant=request.variant,
        )
        subject = Subject(ours.spec, ours.definition, fixed_point(run))
        with closing(Progress(f"reconcile {experiment_id} {metric}")) as progress:
            bench = Bench(run.engine, subject, progress)
            return _explain(bench, ours, claims, given, request)


def _check_request(request: ReconcileRequest) -> None:
    if (request.value is None) == (request.sql is None):
        raise UsageError(
            "one other number is needed",
            allowed="--value X or --sql FILE",
            next_step="give exactly one of the two",
        )
    if not 1 <= request.depth <= _MAX_DEPTH:
        raise UsageError(
            "no such depth", found=str(request.depth), allowed=f"1 to {_MAX_DEPTH}"
        )


def _explain(
    bench: Bench,
    ours: Published,
    claims: tuple[Claim, ...],
    given: Mapping[str, Printed],
    request: ReconcileRequest,
) -> Reconciliation:
    bench.check(ours)
    facts = count_facts(bench.engine, bench.subject, bench.relations)
    absent = {**tell_absent(bench.subject, facts), **ours.unknown}
    zones = _list_zones(bench.engine, request.timezones)
    bench.departures = _list_departures(ours.spec, absent, zones)
    search = _search(bench, claims, request)
    control = ours.spec.control
    return Reconciliation(
        published=ours,
        given=given,
        claims=claims,
        nearest=find_nearest(claims, bench.numbers[()], control=control),
        numbers=bench.numbers,
        departures=bench.departures,
        absent=absent,
        search=search,
        estimates=find_estimates(ours.estimates, given),
        are_zones_alone=not request.timezones,
    )


def _search(
    bench: Bench, claims: tuple[Claim, ...], request: ReconcileRequest
) -> Search:
    """Each departure alone, then the smallest combination, then the way to it."""
    options = [
        Option(d.code, d.group, is_alone=bool(d.shift) and not request.timezones)
        for d in bench.departures.values()
    ]
    bench.evaluate(())
    for option in options:
        bench.evaluate((option.code,))
    bench.keep()
    search = find_explanations(
        claims,
        options,
        bench.evaluate,
        control=bench.subject.spec.control,
        depth=request.depth,
    )
    for explanation in search.explanations:
        for length in range(len(explanation.combination)):
            bench.evaluate(explanation.combination[:length])
    return search


def _list_departures(
    spec: ExperimentSpec, absent: Mapping[str, str], zones: Mapping[str, Departure]
) -> dict[str, Departure]:
    """What can make a difference, in the order in which it is applied."""
    order: dict[str, Departure] = {}
    for code, departure in DEPARTURES.items():
        if code == "no_delay" and spec.is_dated:
            # a clock is a matter of the rows, before windows are laid over them
            order |= zones
        if code not in absent:
            order[code] = departure
    return order


def _list_zones(engine: Engine, names: Sequence[str]) -> dict[str, Departure]:
    if not names:
        shifts = [shift_hours(minutes) for minutes in sorted(_OFFSETS)]
        return {shift.code: shift for shift in shifts}
    known = {row[0] for row in engine.rows("select name from pg_timezone_names()")}
    for name in names:
        if name not in known:
            raise UsageError(
                f"no time zone {name!r}",
                allowed=did_you_mean(name, map(str, known)),
                next_step="name it as in Europe/Berlin",
            )
    return {name: shift_zone(name) for name in dict.fromkeys(names)}
