"""One metric, computed again and again with another rule left out each time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exp_platform.checks.reconciliation import ArmNumbers, Combination, Numbers
from exp_platform.errors import ContractError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text
from exp_platform.metrics.departures import (
    QUANTILES,
    VALUES,
    Departure,
    Subject,
    write_models,
)
from exp_platform.metrics.rebuild import Rebuilder
from exp_platform.metrics.totals import (
    compare_quantiles,
    compare_totals,
    read_quantiles,
    read_totals,
)
from exp_platform.pipelines.progress import Progress
from exp_platform.pipelines.reconcile_sources import Published

ALL = "all"
"""The segment of all units."""


@dataclass
class Bench:
    """Computes one metric again and again, and remembers what came out."""

    engine: Engine
    subject: Subject
    progress: Progress
    departures: Mapping[str, Departure] = field(default_factory=dict)
    numbers: dict[Combination, Numbers] = field(default_factory=dict)
    relations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rebuilder = Rebuilder(self.engine)

    def check(self, ours: Published) -> None:
        """Do the unchanged models give what was published?

        Raises:
            ContractError: they do not.
        """
        texts = write_models(self.subject, has_covariates=True)
        tables = ["metric_aggregates_overall"]
        if ours.definition.quantile is not None:
            tables.append("metric_quantiles")
        self.relations = self._rebuilder.build(texts, tables)
        found = [self.engine.records(f"from {self.relations[name]}") for name in tables]
        differences = compare_totals(
            ours.totals, read_totals(r for r in found[0] if r["segment"] == ALL)
        )
        if len(found) > 1:
            rows = [row for row in found[1] if row["segment"] == ALL]
            differences += compare_quantiles(ours.quantiles, read_quantiles(rows))
        if differences:
            raise ContractError(
                "the published numbers cannot be computed again from their data",
                where=f"{ours.spec.experiment_id}, {ours.definition.name}, "
                f"run {ours.run_id}",
                found="; ".join(differences[:3]),
                next_step="the data are newer than the metrics, or another version of "
                "the package made them: run the experiment again",
            )

    def keep(self) -> None:
        """Relations made so far serve what comes after."""
        self._rebuilder.keep()

    def evaluate(self, combination: Combination) -> Numbers:
        """The metric's numbers by arm under some departures."""
        if combination not in self.numbers:
            place = f"combination {len(self.numbers) + 1}"
            self.progress.say(f"{place}: {', '.join(combination) or 'unchanged'}")
            chosen = [self.departures[code] for code in combination]
            texts = write_models(self.subject, chosen, has_covariates=False)
            relations = self._rebuilder.build(texts, self.subject.goals)
            self.numbers[combination] = _read_numbers(
                self.engine, self.subject, relations
            )
            if len(combination) > 1:
                self._rebuilder.forget()
        return self.numbers[combination]


def _read_numbers(
    engine: Engine, subject: Subject, relations: Mapping[str, str]
) -> dict[str, ArmNumbers]:
    is_quantile = subject.definition.quantile is not None
    rows = engine.rows(
        "select variant, count(*), coalesce(fsum(value), 0), fsum(denominator)"
        f" from {relations[VALUES]} group by variant"
    )
    quantiles = {}
    if is_quantile:
        where = f"where segment = {quote_text(ALL)}"
        found = f"select variant, quantile_value from {relations[QUANTILES]} {where}"
        quantiles = dict(engine.rows(found))
    arms = {
        variant: ArmNumbers(n, total, below, quantiles.get(variant), is_quantile)
        for variant, n, total, below in rows
    }
    below = 0.0 if subject.has_denominator else None
    nobody = ArmNumbers(0, 0.0, below, None, is_quantile)
    return {v.name: arms.get(v.name, nobody) for v in subject.spec.variants}
