"""Every check by name: what it protects against, its rule, and what to do next.

The order is the order of gravity: of two findings with the same status, the one
listed first here is told first.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from exp_platform.records import (
    Assignment,
    CheckResult,
    CheckStatus,
    ExperimentSpec,
)


class Chance(StrEnum):
    """How a check can be wrong on clean data (METHODS section 6).

    NONE: deterministic, carries no p. OWN_RULE: a fixed rule with its own error rate.
    FAMILY: Holm over all results of this check, at the check's own level.
    SHARED: Holm over all results of all shared checks, at the level they share.
    """

    NONE = "none"
    OWN_RULE = "own_rule"
    FAMILY = "family"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class CheckEntry:
    """One check as documented.

    Attributes:
        title: what people call it.
        can_fail: may say FAILED; where it is required, its absence blocks SHIP.
        chance: how its false alarms are held.
        level: probability of a false alarm on clean data, 0 where there is none.
        protects_against: what goes wrong without it.
        rule: when it warns or fails.
        next_step: what to do when it does.
        when_absent: what to do when it could not be made; empty = run its step.
    """

    name: str
    title: str
    can_fail: bool
    chance: Chance
    level: float
    protects_against: str
    rule: str
    next_step: str
    when_absent: str = ""


_ENTRIES = (
    CheckEntry(
        "SRM",
        title="Split of units (SRM)",
        can_fail=True,
        chance=Chance.OWN_RULE,
        level=0.002,
        protects_against="Units lost or gained in one arm, so that arms differ before "
        "any effect.",
        rule="Fails when the e-value reached 1,000 at any look, or p < 0.001 at the "
        "registered end, and an arm is 0.2 % or more off its plan. Warns on p < 0.001 "
        "while running or below 0.2 %. Where clusters were assigned, clusters are "
        "counted.",
        next_step="Find the stage of the unit ledger where the arms part, repair the "
        "cause, and run the experiment again; do not re-weight.",
    ),
    CheckEntry(
        "SQL_TWIN",
        title="SQL and Python agree",
        can_fail=True,
        chance=Chance.NONE,
        level=0.0,
        protects_against="An error in one of the two implementations, SQL and Python, "
        "of the same test.",
        rule="Fails when a difference is more than 1e-9 standard errors apart, a "
        "standard error or df more than 1e-9 relative, counts at all, a row is missing "
        "on one side, or SQL's normal p, Holm, interval or lift is not the one that "
        "Python's statistic gives.",
        next_step="Compare the two rows named in the details; report it as a bug.",
        when_absent="Nothing by itself: it is made as soon as a metric has a number.",
    ),
    CheckEntry(
        "KEYS",
        title="Keys",
        can_fail=True,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Rows that belong to nobody, units counted twice, and metrics "
        "of an outcome that never came.",
        rule="Fails when a unit stands twice in the analysis set or in an unregistered "
        "arm, no outcome belongs to an exposed unit, or 10 % of a table's rows lack a "
        "key. Warns from 0.1 %, and when an outcome or event that a metric is made of "
        "has no row.",
        next_step="Look at the quarantined rows and repair the tracking call or the "
        "export that drops the key; where an outcome has no row, correct its name in "
        "the definition, or the tracking.",
    ),
    CheckEntry(
        "CROSSOVER",
        title="Crossover",
        can_fail=True,
        chance=Chance.OWN_RULE,
        level=0.001,
        protects_against="Units that met both arms, which blurs the effect, or biases "
        "it when one arm sheds more of them.",
        rule="Fails from 10 %, or when the share differs by first arm at p < 0.001 "
        "(units that met two arms at the same instant left out). Warns from 1 %.",
        next_step="Check that assignment is sticky (devices, log-in, cache); read the "
        "estimate without crossover units beside the primary one.",
    ),
    CheckEntry(
        "MISSING_VALUES",
        title="Missing values",
        can_fail=True,
        chance=Chance.OWN_RULE,
        level=0.001,
        protects_against="Arms that are no longer comparable because values were lost "
        "in one of them.",
        rule="Fails when the share of units without a value differs between arms at "
        "p < 0.001 (over all metrics) and by 0.2 points or more. Warns from 1 % of "
        "units, and when a whole arm has 0 where 20 units with another value were to be "
        "expected from the other arms.",
        next_step="Find out why values are missing and bring them; or count a missing "
        "value as 0 at the source, if that is what it means. If only one arm can have "
        "the outcome, decide by one that all arms can have.",
    ),
    CheckEntry(
        "PRETREND",
        title="Pre-trend",
        can_fail=True,
        chance=Chance.FAMILY,
        level=0.001,
        protects_against="Arms that were already moving apart before the start.",
        rule="Where difference-in-differences is primary: fails on a pre-trend whose "
        "bias matters, warns when it is negligible or could not have been seen. On a "
        "randomised experiment: warns at p < 0.001.",
        next_step="Look at the pre-trend plot; find a control group that moves in "
        "parallel, or do not read a difference-in-differences here.",
        when_absent="Bring more periods from before the start, or more units that were "
        "treated and not treated: trends that were not seen cannot be vouched for.",
    ),
    CheckEntry(
        "ERRORS",
        title="Errored metrics",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="A metric that could not be computed and is quietly left out.",
        rule="Warns when any metric has status METRIC_ERRORED.",
        next_step="Read the reason of the estimate and repair the metric definition.",
    ),
    CheckEntry(
        "MINIMUM_DATA",
        title="Enough units",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Intervals that rest on a handful of units.",
        rule="Warns when an arm has fewer units than the plan's minimum.",
        next_step="Bring more units, or let an experiment that takes in units run on.",
    ),
    CheckEntry(
        "ASSIGNMENT",
        title="How units came to their arm",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="An observational comparison read as an experiment.",
        rule="Warns when units chose their arm. Nothing ships then.",
        next_step="Take the adjusted difference as a reason to run an experiment.",
    ),
    CheckEntry(
        "PRE_PERIOD_BALANCE",
        title="Balance before exposure",
        can_fail=False,
        chance=Chance.FAMILY,
        level=0.001,
        protects_against="Arms that differed before exposure, by bad luck or by a "
        "broken split.",
        rule="Warns when a covariate's mean differs between arms at p < 0.001 after "
        "Holm over covariates and arms.",
        next_step="Prefer the estimate adjusted by the covariate; look for a cause in "
        "the split.",
        when_absent="Nothing by itself: it is made as soon as the values differ.",
    ),
    CheckEntry(
        "PRE_PERIOD_PRESENT",
        title="Pre-period data",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="A planned adjustment that has nothing to adjust with.",
        rule="Warns when no unit has a row in a declared pre-period, or an arm has one value only.",
        next_step="Load the outcomes from before the start, or change the plan in the "
        "open; nothing falls back in silence.",
    ),
    CheckEntry(
        "OUTLIER",
        title="One unit's influence",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="One unit that makes the result, by an extreme value or because "
        "there are few events.",
        rule="Warns when leaving out the most extreme unit moves the difference by "
        "more than 0.5 standard errors.",
        next_step="Find out who the unit is; if such values mean nothing, write a cap "
        "into the metric definition before the next experiment. Of a yes or no: wait for "
        "more events.",
        when_absent="Nothing by itself: it is made as soon as the values differ.",
    ),
    CheckEntry(
        "SKEWNESS",
        title="Skewness",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Heavy tails with unequal arms, where p-values err to one "
        "side.",
        rule="Warns when the skewness of the difference is above 0.06.",
        next_step="Read the expected tail rates; cap the metric or split equally.",
        when_absent="Nothing by itself: it is made as soon as the values differ.",
    ),
    CheckEntry(
        "RATIO_DENOMINATOR",
        title="Denominator of a ratio",
        can_fail=False,
        chance=Chance.FAMILY,
        level=0.001,
        protects_against="A ratio that moves because its denominator moved.",
        rule="Warns when the treatment moves the denominator at p < 0.001 after Holm "
        "over ratios and arms.",
        next_step="Read numerator and denominator apart before the ratio.",
        when_absent="Nothing by itself: it is made as soon as the values differ.",
    ),
    CheckEntry(
        "NOVELTY",
        title="Novelty",
        can_fail=False,
        chance=Chance.SHARED,
        level=0.0,
        protects_against="An effect that fades, or grows, with days since exposure, so "
        "that its average promises the wrong thing.",
        rule="Warns on a trend of the effect over days since exposure, by Holm within "
        "the shared budget.",
        next_step="Look at the effect by day; run longer, or read the last days.",
        when_absent="Nothing, unless the effect may fade: a trend takes effects on "
        "several days since exposure, and enough units on each of them.",
    ),
    CheckEntry(
        "BOTS_BY_ARM",
        title="Bots by arm",
        can_fail=False,
        chance=Chance.SHARED,
        level=0.0,
        protects_against="An exclusion that takes more from one arm than from another.",
        rule="Warns when the share of bots differs by arm, by Holm within the shared "
        "budget.",
        next_step="Read the estimate with and without bots.",
    ),
    CheckEntry(
        "BOTS",
        title="Bots",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Machines counted as people.",
        rule="Warns when 1 % or more of the units are bots, or when a bot stays in the "
        "analysis and they make 0.1 % or more.",
        next_step="In the plan of the next experiment raise bot_rows_per_day if these are "
        "people; if not, set exclude_bots where it is not set yet.",
    ),
    CheckEntry(
        "SRM_BY_SEGMENT",
        title="Split by segment",
        can_fail=False,
        chance=Chance.SHARED,
        level=0.0,
        protects_against="A leak in one segment or stage that the whole hides.",
        rule="Warns when a segment or stage is split off its plan, by Holm within the "
        "shared budget.",
        next_step="Start the search for the cause in the segment named.",
    ),
    CheckEntry(
        "DUPLICATES",
        title="Duplicates",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="The same event delivered twice and counted twice.",
        rule="Warns when 1 % or more of a table's rows are equal to another row.",
        next_step="Nothing for this result: copies were removed, unless the plan keeps "
        "them. Find out why the source sends twice.",
    ),
    CheckEntry(
        "LATE_DATA",
        title="Late data",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Numbers that will still move, or a feed that stopped.",
        rule="Warns when 1 % or more of the rows arrived late, or the newest event lies "
        "more than the same hours before the watermark.",
        next_step="Run again when the feed is complete; compare the two results.",
        when_absent="Deliver the time of arrival (received_ts), if rows can come late.",
    ),
    CheckEntry(
        "LOOK_RESTATED",
        title="Look restated",
        can_fail=True,
        chance=Chance.NONE,
        level=0.0,
        protects_against="A result that was acted on and has quietly become another one.",
        rule="Warns when a bound is crossed at another look than a published run first "
        "told, or is crossed no more, and when the plan has other looks, another error "
        "rate or end, another role or margin of a metric, or another rule for arms that "
        "may all ship or for what is worse inside a margin, than when it was told. Fails when "
        "the one look at a metric without a window, taken again on later data, crosses a "
        "bound that it had not, and no bound of harm.",
        next_step="Where it failed, the answer is that of the first run at the end; with a "
        "window the metric keeps it. Else decide again on the numbers as they are now; if "
        "late data did it, wait longer for the feed before the next look.",
    ),
    CheckEntry(
        "METRIC_ANOMALY",
        title="Unusual days",
        can_fail=False,
        chance=Chance.OWN_RULE,
        level=0.001,
        protects_against="A day on which tracking was broken or counted twice.",
        rule="Warns when a metric has no active unit on a day where 20 were expected, or "
        "lies six robust standard deviations and a factor of two from its seven days "
        "before (and from the same weekday), or from the other arms.",
        next_step="Look at that day in metric_anomalies; repair or reload its data and "
        "run again.",
    ),
    CheckEntry(
        "OUT_OF_WINDOW",
        title="Rows outside the window",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Wrong clocks, time zones or registry dates.",
        rule="Warns when 1 % or more of a table's rows are dated outside the "
        "experiment.",
        next_step="Compare the registry's start and end with the dates in the data.",
    ),
    CheckEntry(
        "QUARANTINE",
        title="Quarantine",
        can_fail=False,
        chance=Chance.NONE,
        level=0.0,
        protects_against="Rejected rows that nobody looks at.",
        rule="Warns when 1 % or more of a table's rows were rejected.",
        next_step="Read the reasons in the quarantine table and repair the source.",
    ),
)

SKIPPED = "SKIPPED"
"""Reason of a check whose step did not run."""

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def title_check(name: str) -> str:
    """A check's name for people; an unknown one by its letters."""
    entry = CATALOGUE.get(name)
    return entry.title if entry else name.replace("_", " ").capitalize()


def required_checks(spec: ExperimentSpec, *, is_did_primary: bool) -> tuple[str, ...]:
    """Which checks must have run before anything may ship.

    A check that has no meaning for the design is not in the list: a policy roll-out
    plans no split, so it has no SRM; its Python estimate is not the fixed-horizon
    test, so it has no twin in SQL.

    Args:
        spec: the experiment's registry row.
        is_did_primary: some primary estimate is a difference-in-differences.
    """
    names = ["KEYS", "CROSSOVER"]
    if spec.assignment is Assignment.RANDOMISED:
        names += ["SRM", "SQL_TWIN"]
    if is_did_primary or spec.assignment is Assignment.POLICY:
        names.append("PRETREND")
    return tuple(name for name in CATALOGUE if name in names)


def checks_not_run(
    names: Iterable[str],
    experiment_id: str,
    *,
    required: Collection[str] | None = None,
    reason: str = SKIPPED,
    message: str = "The step that makes this check did not run.",
    subject: str = "",
) -> tuple[CheckResult, ...]:
    """The results of checks that nobody ran, so that their absence is on record.

    Args:
        names: names of the catalogue.
        experiment_id: experiment they belong to.
        required: checks that this design requires (`required_checks`); None = every
            one that can fail.
        reason: coded cause.
        message: the cause in words.
        subject: metric, arm or stage; "" = all.
    """
    return tuple(
        CheckResult(
            experiment_id=experiment_id,
            check_name=name,
            status=CheckStatus.NOT_RUN,
            reason=reason,
            message=message,
            subject=subject,
            can_fail=CATALOGUE[name].can_fail
            and (required is None or name in required),
        )
        for name in names
    )
