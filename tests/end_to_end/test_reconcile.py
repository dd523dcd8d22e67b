"""`exp reconcile` against somebody who forgot a rule, in pandas from the raw files."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exp_platform.checks.reconciliation import (
    Claim,
    Option,
    Statistic,
    find_explanations,
    find_number,
    measure_exactly,
)
from exp_platform.config import load_settings
from exp_platform.lake.raw import land_raw
from exp_platform.metrics.departures import DEPARTURES
from exp_platform.pipelines.reconcile import (
    ReconcileRequest,
    Reconciliation,
    reconcile,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("reconcile")]

ID, TRACKED = "exp_sick", "exp_tracked"
ZONE, HOURS = "Asia/Tokyo", 9.0

METRICS: dict[str, dict[str, Any]] = {
    "revenue_3d": {"outcome": "revenue", "days": 3, "cap": 15},
    "revenue_next_day": {"outcome": "revenue", "delay": 1, "days": 2},
    "sessions_all": {"outcome": "sessions"},
    "sessions_2_calendar_days": {"outcome": "sessions", "days": 2, "is_by_day": True},
    "bought": {"outcome": "conversion", "kind": "any"},
    "revenue_per_visit": {"outcome": "revenue", "below": "sessions", "days": 2},
    "back": {"outcome": "sessions", "kind": "any", "delay": 1, "days": 2},
    "visit_then_order": {
        "outcome": "conversion",
        "kind": "funnel",
        "days": 3,
        "steps": ("sessions", "conversion"),
    },
    "sessions_p75": {"outcome": "sessions", "days": 3, "quantile": 0.75},
}
DEFINITIONS = {
    "revenue_3d": """
type: mean
source: {outcome: revenue}
window: {days: 3}
cap: {value: 15}
covariate: {}""",
    "revenue_next_day": """
type: mean
source: {outcome: revenue}
window: {days: 2, delay_days: 1}""",
    "sessions_all": """
type: count
source: {outcome: sessions}""",
    "sessions_2_calendar_days": """
type: count
source: {outcome: sessions}
window: {days: 2, grain: day}""",
    "bought": """
type: proportion
source: {outcome: conversion}""",
    "revenue_per_visit": """
type: ratio
numerator: {outcome: revenue}
denominator: {outcome: sessions}
window: {days: 2}""",
    "back": """
type: retention
source: {outcome: sessions}
retention: {from_days: 1, to_days: 3}""",
    "visit_then_order": """
type: funnel
steps: [{outcome: sessions}, {outcome: conversion}]
window: {days: 3}""",
    "sessions_p75": """
type: quantile
source: {outcome: sessions}
quantile: 0.75
window: {days: 3}""",
    "purchases": """
type: count
aggregation: count
source: {event: purchase}
window: {days: 3}""",
}
CONFIG = """\
  exp_sick:
    days: 8
    n_users: 300
    base_conversion: 0.4
    pre_period_days: 7
    plan:
      exclude_bots: true
      metrics:
{metrics}
    failure_modes:
      {{duplicate_share: 0.1, crossover_share: 0.1, late_share: 0.1, bot_share: 0.04}}
"""


@pytest.fixture(scope="module")
def sick(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An experiment with every disease, and one with events and assignments."""
    project = make_project(tmp_path_factory.mktemp("sick") / "project")
    for name, text in DEFINITIONS.items():
        (project.root / "metrics" / f"{name}.yml").write_text(f"name: {name}{text}\n")
    lines = "\n".join(f"        {name}: {{}}" for name in METRICS)
    config = project.config.read_text() + CONFIG.format(metrics=lines)
    tracked = "    plan: {segments: [platform, dim_user.platform]}\n"
    assert config.count(tracked) == 1
    project.config.write_text(
        config.replace(tracked, "    plan: {metrics: {purchases: {}}}\n")
    )
    assert project.job(ID, "--generate-synth").code == 0
    _make_sicker(project)
    assert project.job(ID).code == 0
    assert project.job(TRACKED, "--generate-synth").code == 0
    return project


def _make_sicker(project: Any) -> None:
    """The data end before the rows do, some values are missing, some units meet the
    difference only some time after their first visit; half of the bots are at it early.
    """
    folder = project.raw / ID
    tables = {p.stem: pq.read_table(p) for p in sorted(folder.glob("*.parquet"))}
    registry = tables["experiment_registry"]
    early = pd.Timestamp("2026-01-11 10:00", tz="UTC").to_pydatetime()
    column = pa.array([early], registry.schema.field("watermark_ts").type)
    place = registry.schema.get_field_index("watermark_ts")
    tables["experiment_registry"] = registry.set_column(place, "watermark_ts", column)
    outcomes = tables["outcomes"].to_pandas()
    lost = outcomes[outcomes["outcome_ts"] >= "2026-01-06"].index[::40]
    outcomes.loc[lost, "value"] = None
    day = outcomes["outcome_ts"].dt.floor("D")
    on_day = outcomes.groupby(["user_id", day])["value"].transform("size")
    early_bots = (on_day > 100) & (outcomes["user_id"].str[-1].isin(list("02468")))
    moved = pd.Timestamp("2026-01-09", tz="UTC") - day[early_bots]
    outcomes.loc[early_bots, "outcome_ts"] += moved
    schema = tables["outcomes"].schema
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    tables["outcomes"] = pa.Table.from_pandas(outcomes, nullable, preserve_index=False)
    exposures = tables["exposures"].to_pandas()
    exposures.loc[::4, "exposure_ts"] += pd.Timedelta(hours=20)
    tables["exposures"] = pa.Table.from_pandas(
        exposures, tables["exposures"].schema, preserve_index=False
    )
    land_raw(project.root / "data" / "raw", ID, tables)


@dataclass(frozen=True)
class Case:
    """One metric, each of its rules left out alone."""

    found: Reconciliation
    folder: Path
    count: Callable[..., Any]

    def analyst(self, *forgets: str) -> dict[str, dict[str, float]]:
        facts = METRICS[self.found.published.definition.name]
        hours = HOURS if ZONE in forgets else 0.0
        numbers: dict[str, dict[str, float]] = self.count(
            self.folder, facts, forgets, hours
        )
        return numbers


@pytest.fixture(scope="module")
def cases(sick: Any, analyst: Any, monkeymodule: Any) -> dict[str, Case]:
    monkeymodule.chdir(sick.root)
    settings = load_settings(str(sick.config))
    asked = ReconcileRequest(value="-1", timezones=(ZONE,), depth=1)
    return {
        name: Case(reconcile(settings, ID, name, asked), sick.raw / ID, analyst)
        for name in METRICS
    }


@pytest.fixture(scope="module")
def monkeymodule() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def _compare(case: Case, *codes: str) -> None:
    """Our numbers and the analyst's: counts exactly, sums but for their order."""
    theirs = case.analyst(*codes)
    for arm, numbers in theirs.items():
        for statistic, number in numbers.items():
            ours = find_number(
                case.found.numbers[codes], Statistic(statistic), arm, control="control"
            )
            assert ours == pytest.approx(number, rel=1e-12), (codes, arm, statistic)


@pytest.mark.parametrize("metric", METRICS)
def test_reconcile_gives_what_an_analyst_gets_who_forgets_one_rule(
    cases: dict[str, Case], metric: str
) -> None:
    case = cases[metric]
    _compare(case)
    for code in case.found.departures:
        _compare(case, code)


@pytest.mark.parametrize(
    ("metric", "code"),
    [
        ("revenue_3d", "before_exposure"),
        ("sessions_all", "from_start"),
        ("revenue_3d", "crossover_dropped"),
        ("revenue_3d", "copies_kept"),
        ("sessions_all", "bots_kept"),
        ("sessions_all", "after_watermark"),
        ("sessions_all", "not_yet_received"),
        ("sessions_2_calendar_days", ZONE),
        ("revenue_3d", "no_window"),
        ("revenue_next_day", "no_delay"),
        ("revenue_3d", "no_cap"),
        ("revenue_3d", "immature_kept"),
        ("revenue_3d", "missing_kept"),
        ("revenue_3d", "rows_only"),
        ("sessions_p75", "no_window"),
    ],
)
def test_reconcile_names_the_rule_that_was_forgotten_and_no_other(
    cases: dict[str, Case], metric: str, code: str
) -> None:
    case = cases[metric]
    theirs = case.analyst(code)
    given = {arm: measure_exactly(n["mean"]) for arm, n in theirs.items()}
    search = find_explanations(
        [Claim(Statistic.MEAN, given)],
        [Option(d.code, d.group) for d in case.found.departures.values()],
        case.found.numbers.__getitem__,
        control="control",
        depth=1,
    )
    assert [one.combination for one in search.explanations] == [(code,)]


def test_every_departure_is_in_play_somewhere(
    cases: dict[str, Case], sick: Any
) -> None:
    tried = {code for case in cases.values() for code in case.found.departures}
    # the plan takes bots out; assignments come with events
    assert {*DEPARTURES, ZONE} - tried == {"bots_dropped", "all_assigned"}
    found = _ask(sick, TRACKED, "conversion", "--value", "-1", "--depth", 1)
    assert "all_assigned" in {one["code"] for one in found["departures"]}


def _ask(project: Any, *words: object) -> dict[str, Any]:
    answer = project.exp("reconcile", *words, "--timezone", ZONE, "--json")
    assert answer.code == 0, answer.err
    document: dict[str, Any] = json.loads(answer.out)
    return document


def test_reconcile_command_finds_one_rule_from_a_printed_number(
    sick: Any, cases: dict[str, Case]
) -> None:
    theirs = cases["revenue_3d"].analyst("no_cap")["treatment"]["total"]
    ours = cases["revenue_3d"].analyst()["treatment"]["total"]
    words = ("--variant", "treatment", "--statistic", "total")
    found = _ask(sick, ID, "revenue_3d", "--value", f"{theirs:.2f}", *words)
    (one,) = found["explanations"]
    assert one["departures"] == ["no_cap"]
    (line,) = one["lines"]
    assert line["published"] == pytest.approx(ours, rel=1e-12)
    assert line["steps"][0]["cause"] == "cap"
    assert line["steps"][0]["change"] == pytest.approx(theirs - ours, rel=1e-9)
    assert abs(line["remainder"]) <= 0.005


@pytest.mark.parametrize(
    "pair", [("crossover_dropped", "no_window"), ("copies_kept", "no_cap")]
)
def test_reconcile_command_finds_two_rules_and_the_size_of_each(
    sick: Any, cases: dict[str, Case], pair: tuple[str, str]
) -> None:
    case = cases["revenue_3d"]
    sums = [case.analyst(*pair[:size])["control"]["total"] for size in range(3)]
    words = ("--variant", "control", "--statistic", "total", "--depth", 2)
    found = _ask(sick, ID, "revenue_3d", "--value", f"{sums[2]:.2f}", *words)
    (one,) = found["explanations"]
    assert one["departures"] == list(pair)
    steps = one["lines"][0]["steps"]
    assert [step["number"] for step in steps] == pytest.approx(sums[1:], rel=1e-12)
    second = case.analyst(pair[1])["control"]["total"]
    assert steps[1]["alone"] == pytest.approx(second - sums[0], rel=1e-9)


def test_reconcile_command_leaves_what_it_cannot_explain(
    sick: Any, cases: dict[str, Case]
) -> None:
    ours = cases["revenue_3d"].analyst()["control"]["total"]
    words = ("--variant", "control", "--statistic", "total", "--depth", 1)
    found = _ask(sick, ID, "revenue_3d", "--value", f"{ours + 0.37:.4f}", *words)
    assert not found["is_explained"]
    assert found["explanations"] == []
    (line,) = found["nearest"]["lines"]
    assert line["steps"] == []
    assert line["remainder"] == pytest.approx(0.37, abs=1e-4)
    words = ("--value", f"{ours + 0.37:.4f}", *words)
    shown = sick.exp("reconcile", ID, "revenue_3d", *words)
    assert "NOT EXPLAINED" in shown.out


def test_reconcile_command_lists_many_explanations_in_a_line_each(sick: Any) -> None:
    asked = ("--statistic", "mean", "--variant", "control")

    def ask(value: str) -> dict[str, Any]:
        words = ("reconcile", ID, "revenue_3d", *asked, "--value", value, "--json")
        document: dict[str, Any] = json.loads(sick.exp(*words).out)
        return document

    alone = [n["number"] for one in ask("1e1")["departures"] for n in one["numbers"]]
    published = ask("1e1")["nearest"]["lines"][0]["published"]
    rounded = Counter(f"{n:.3g}" for n in alone if f"{n:.3g}" != f"{published:.3g}")
    [(few_digits, count)] = rounded.most_common(1)
    assert count > 3
    explanations = ask(few_digits)["explanations"]
    assert len(explanations) == count
    shown = sick.exp("reconcile", ID, "revenue_3d", *asked, "--value", few_digits).out
    assert shown.count(" published ") == 3
    _, _, further = shown.partition("\n or ")
    for one in explanations[3:]:
        assert one["lines"][0]["steps"][0]["words"] in further


def test_reconcile_command_sees_that_there_is_nothing_to_explain(
    sick: Any, cases: dict[str, Case]
) -> None:
    ours = cases["bought"].analyst()["control"]["mean"]
    found = _ask(sick, ID, "bought", "--value", f"{ours:.5%}", "--statistic", "mean")
    assert [one["departures"] for one in found["explanations"]] == [[]]
    assert found["n_tried"] == 1


def test_reconcile_command_knows_a_published_adjusted_estimate(sick: Any) -> None:
    results = json.loads(sick.exp("results", TRACKED, "--format", "json").out)
    key = ("revenue_per_user", "cuped", "all")
    cuped = next(
        row["difference"]
        for row in results
        if (row["metric_name"], row["method"], row["segment"]) == key
    )
    words = ("--value", repr(cuped), "--depth", 1)
    found = _ask(sick, TRACKED, "revenue_per_user", *words)
    assert ("cuped", "difference") in {
        (one["method"], one["field"]) for one in found["same_estimates"]
    }


def test_reconcile_counts_copies_of_events_from_the_raw_files(sick: Any) -> None:
    """The copies of events are in no table; the analyst reads the raw files."""
    folder = sick.root / "data" / "raw" / "events" / f"namespace={TRACKED}"
    files = sorted(folder.rglob("*.parquet"))
    events = pd.concat([pq.ParquetFile(f).read().to_pandas() for f in files])
    bought = events[events["event_name"] == "purchase"]
    units = pd.DataFrame(
        sick.tables("experiment_assignments")["experiment_assignments"]
    )
    units = units[units["experiment_id"] == TRACKED]
    total = 0
    for is_kept in (False, True):
        rows = bought if is_kept else bought.drop_duplicates("event_id")
        total = _count_in_window(rows, units)
        found = _ask(
            *(sick, TRACKED, "purchases", "--value", total),
            *("--statistic", "total", "--variant", "all", "--depth", 1),
        )
        expected = ["copies_kept"] if is_kept else []
        assert expected in [one["departures"] for one in found["explanations"]]
    assert found["explanations"][0]["lines"][0]["steps"][0]["change"] > 0


def _count_in_window(rows: pd.DataFrame, units: pd.DataFrame) -> int:
    """Purchases of matured units in three days, the device's clock corrected."""
    ahead = (rows["received_ts"] - rows["sent_ts"]).fillna(pd.Timedelta(0))
    rows = rows.assign(at=(rows["client_ts"] + ahead).clip(upper=rows["received_ts"]))
    ends = pd.Timestamp("2026-01-13", tz="UTC")
    days = pd.Timedelta(days=3)
    units = units[units["exposure_ts"] + days <= ends]
    joined = units.merge(rows[["user_id", "at"]], on="user_id")
    since = joined["at"] - joined["exposure_ts"]
    return int(((since >= pd.Timedelta(0)) & (since < days)).sum())


def test_reconcile_counts_units_assigned(sick: Any) -> None:
    assigned = pd.read_parquet(sick.raw / TRACKED / "experiment_assignments.parquet")
    arms = assigned.groupby("user_id")["variant"].first().value_counts()
    words = ("--variant", "control", "--statistic", "units", "--depth", 1)
    found = _ask(sick, TRACKED, "conversion", "--value", arms["control"], *words)
    assert ["all_assigned"] in [one["departures"] for one in found["explanations"]]


SQL = """
with first as (
    select user_id, min_by(variant, exposure_ts) as variant, min(exposure_ts) as since
    from exp.exposures group by user_id)
select first.variant, sum(outcomes.value)
from first inner join iceberg.exp.outcomes as outcomes
    on first.user_id = outcomes.user_id
where outcomes.metric_name = 'sessions' and outcomes.outcome_ts >= first.since
    and first.user_id not in (
        select user_id from experiment_assignments where is_bot)
    and first.user_id not in (select json_extract_string(payload, '$.user_id')
        from quarantine where reason = 'MISSING_VALUE'
        and json_extract_string(payload, '$.metric_name') = 'sessions')
group by first.variant
"""


def test_reconcile_explains_a_query_by_variant(sick: Any) -> None:
    """It has every rule but the watermark, so it has units that nobody waits for too."""
    file = sick.root / "theirs.sql"
    file.write_text(SQL)
    found = _ask(sick, ID, "sessions_all", "--sql", file, "--statistic", "total")
    assert {one["variant"] for one in found["given"]} == {"control", "treatment"}
    (one,) = found["explanations"]
    assert one["departures"] == ["after_watermark", "immature_kept"]
    assert all(abs(line["remainder"]) < 1e-6 for line in one["lines"])


def test_reconcile_refuses_what_a_quantile_has_not(sick: Any) -> None:
    for words in (("total", "control"), ("mean", "all")):
        asked = ("--statistic", words[0], "--variant", words[1])
        answer = sick.exp("reconcile", ID, "sessions_p75", "--value", "1", *asked)
        assert answer.code == 2


def test_reconcile_changes_nothing(sick: Any, cases: dict[str, Case]) -> None:
    before = sick.snapshots()
    _ask(sick, ID, "bought", "--value", "1", "--depth", 1)
    assert sick.snapshots() == before
    assert cases


def test_reconcile_and_sql_use_the_definition_that_the_run_used(sick: Any) -> None:
    file = sick.root / "metrics" / "revenue_3d.yml"
    before = file.read_text()
    words = ("--value", "1", "--depth", 1)
    ours = _ask(sick, ID, "revenue_3d", *words)
    file.write_text(before.replace("cap: {value: 15}", "cap: {value: 2}\nversion: 2"))
    later = _ask(sick, ID, "revenue_3d", *words)
    shown = [
        sick.exp("sql", ID, "revenue_3d", *flags).out for flags in ((), ("--full",))
    ]
    file.write_text(before)
    for sql in shown:
        assert sql.startswith(f"-- revenue_3d version {ours['metric_version']}\n")
        assert "-- revenue_3d is version 2:" in sql
        assert ", 15.0)" in sql
    assert later["nearest"] == ours["nearest"]
    assert later["metric_version"] == ours["metric_version"]


def test_reconcile_refuses_numbers_that_are_not_those_of_the_data(
    sick: Any, call: Any
) -> None:
    """Other outcomes were ingested, and nobody computed the metrics from them."""
    from exp_platform.pipelines.run_ingest import main

    name = "exp_other"
    assert sick.job(name, "--generate-synth").code == 0
    ours = _ask(sick, name, "conversion", "--value", "1", "--depth", 1)
    assert sick.exp("refresh", name).code == 0  # publishes no other number
    later = _ask(sick, name, "conversion", "--value", "1", "--depth", 1)
    assert later["run_id"] == ours["run_id"]
    folder = sick.raw / name
    tables = {p.stem: pq.read_table(p) for p in sorted(folder.glob("*.parquet"))}
    tables["outcomes"] = tables["outcomes"].slice(0, 1500)
    land_raw(sick.root / "data" / "raw", name, tables)
    flags = ("--config", sick.config, "--experiment-id", name)
    assert call(main, "run_ingest", *flags).code == 0
    answer = sick.exp("reconcile", name, "sessions_per_user", "--value", "1")
    assert answer.code == 3
    assert "cannot be computed again" in answer.err
    assert "sessions_per_user / all / control: " in answer.err
