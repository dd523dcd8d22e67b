"""Raw events become tables in the run of an experiment; a run from events alone."""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("tracked")]

ID = "exp_tracked"
EVENT_TABLES = {
    "fact_event",
    "event_files",
    "event_quarantine",
    "dim_user",
    "dim_feature",
    "fact_experiment_exposure",
    "assignments",
}
OUTCOMES = {
    "daily_activity": ("sessions",),
    "purchase": ("conversion", "revenue"),
    "support_contact": ("support_contacts",),
}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """A project in which an experiment with events, and one without, were run."""
    project = make_project(tmp_path_factory.mktemp("tracked") / "project")
    assert project.job(ID, "--generate-synth").code == 0
    assert project.job("exp_tiny", "--generate-synth").code == 0
    return project


@pytest.fixture(scope="module")
def tables(tracked: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = tracked.tables()
    return found


def _of(rows: list[dict[str, Any]], experiment_id: str = ID) -> list[dict[str, Any]]:
    return [row for row in rows if row["experiment_id"] == experiment_id]


def _outcomes(rows: list[dict[str, Any]]) -> Counter[Any]:
    return Counter(
        (r["user_id"], r["metric_name"], r["value"], r["outcome_ts"]) for r in rows
    )


def test_a_refresh_tells_which_segments_it_leaves_out(
    tracked: Any, tables: Any
) -> None:
    assert tables  # read before the refresh adds its own
    answer = tracked.exp("refresh", ID)
    assert "segment left out: dim_user.platform" in answer.out
    assert "left out: platform" not in answer.out


def test_outcomes_of_the_run_follow_from_its_events(tables: Any) -> None:
    told = []
    for row in tables["fact_event"]:
        for metric in OUTCOMES.get(row["event_name"], ()):
            value = row["value"] if metric in {"sessions", "revenue"} else 1.0
            told.append((row["user_id"], metric, value, row["event_ts"]))
    assert Counter(told) == _outcomes(_of(tables["outcomes"]))


def test_exposures_of_the_run_stand_with_their_plan(tables: Any) -> None:
    exposures = _of(tables["exposures"])
    facts = tables["fact_experiment_exposure"]
    key = ("user_id", "variant", "exposure_ts")
    assert Counter(tuple(r[k] for k in key) for r in facts) == Counter(
        tuple(r[k] for k in key) for r in exposures
    )
    assert {row["experiment_id"] for row in facts} == {ID}
    assert {row["traffic_allocation"] for row in facts} == {0.5}
    first = {row["user_id"]: row for row in facts if row["is_first"]}
    units = _of(tables["experiment_assignments"])
    assert {u: r["variant"] for u, r in first.items()} == {
        row["user_id"]: row["variant"] for row in units
    }


def test_guardrails_of_exposures_add_up_to_the_totals(tables: Any) -> None:
    totals = {
        (row["metric_name"], row["variant"]): row
        for row in _of(tables["metric_aggregates_overall"])
        if row["segment"] == "all"
    }
    sums: Counter[Any] = Counter()
    counts: Counter[Any] = Counter()
    for row in tables["fact_experiment_exposure"]:
        for name, value in json.loads(row["guardrails"] or "{}").items():
            sums[name, row["variant"]] += value
            counts[name, row["variant"]] += 1
    names = {name for name, _ in counts}
    assert names == {"sessions_per_user", "support_contacts_per_user"}
    for key, n in counts.items():
        assert n == totals[key]["n"]
        # whole numbers, summed in another order
        assert sums[key] == pytest.approx(n * totals[key]["mean"], rel=1e-12)


def test_features_name_the_arms_of_the_experiment(tables: Any) -> None:
    rows = {row["variant"]: row for row in tables["dim_feature"]}
    assert rows.keys() == {"control", "treatment"}
    assert {row["feature_key"] for row in rows.values()} == {"tracked"}
    met = Counter((r["user_id"], r["variant"]) for r in _of(tables["exposures"]))
    n_units = Counter(variant for _, variant in met)
    assert {v: row["n_units"] for v, row in rows.items()} == n_units


def test_ledger_begins_with_the_assigned(tables: Any) -> None:
    stages = {
        (row["stage"], row["variant"]): row["n_units"]
        for row in _of(tables["unit_ledger"])
    }
    assigned = Counter(row["variant"] for row in tables["assignments"])
    for variant in ("control", "treatment"):
        assert stages["assigned", variant] == assigned[variant]
        assert stages["assigned", variant] >= stages["exposed", variant] > 0
    others = {row["stage"] for row in _of(tables["unit_ledger"], "exp_tiny")}
    assert "assigned" not in others


def test_segments_of_users_are_as_of_the_first_exposure(tables: Any) -> None:
    exposed = {
        row["user_id"]: row["exposure_ts"]
        for row in _of(tables["experiment_assignments"])
    }
    known: dict[str, tuple[Any, str]] = {}
    for row in tables["fact_event"]:
        user = row["user_id"]
        if user in exposed and row["event_ts"] <= exposed[user]:
            known[user] = max(
                known.get(user, (row["event_ts"], "")),
                (row["event_ts"], row["platform"]),
            )
    expected = Counter(platform for _, platform in known.values())
    found: Counter[str] = Counter()
    for row in _of(tables["metric_aggregates_overall"]):
        if row["metric_name"] == "sessions_per_user":
            attribute, _, level = row["segment"].partition("=")
            if attribute == "dim_user.platform":
                found[level] += row["n"]
    assert found == expected
    now = {row["user_id"]: row["platform"] for row in tables["dim_user"]}
    assert any(now[user] != platform for user, (_, platform) in known.items())


def test_experiments_without_events_have_none_of_their_rows(tables: Any) -> None:
    assert tables.keys() >= EVENT_TABLES
    for name in EVENT_TABLES:
        assert {row.get("experiment_id", ID) for row in tables[name]} <= {ID}
        assert {row.get("namespace", ID) for row in tables[name]} <= {ID}


def test_rerun_writes_no_event_file(tracked: Any, tables: Any, comparable: Any) -> None:
    before = tracked.snapshots()
    assert tracked.job(ID).code == 0
    after = tracked.snapshots()
    for name in ("fact_event", "event_files", "event_quarantine", "dim_user"):
        assert after[name] == before[name]
    again = tracked.tables()
    for name in tables.keys() - {"analysis_runs"}:
        assert comparable(again[name]) == comparable(tables[name]), name


def test_stages_alone_read_the_published_events(tracked: Any) -> None:
    from exp_platform.pipelines.compute_metric_aggregates import main

    before = tracked.tables("fact_experiment_exposure", "metric_aggregates_overall")
    answer = _call_stage(main, tracked)
    assert answer == 0
    after = tracked.tables("fact_experiment_exposure", "metric_aggregates_overall")
    assert after == before


def _call_stage(main: Any, project: Any) -> int:
    import sys

    kept, sys.argv = (
        sys.argv,
        ["stage", "--config", str(project.config), "--experiment-id", ID],
    )
    try:
        return int(main())
    finally:
        sys.argv = kept


# --- deliveries of other shapes -----------------------------------------------------


def _registry(project: Any) -> Path:
    path: Path = project.raw / ID / "experiment_registry.parquet"
    (project.raw / ID / "_manifest.json").unlink(missing_ok=True)
    return path


def _change_registry(project: Any, **columns: Any) -> None:
    path = _registry(project)
    (row,) = pq.read_table(path).to_pylist()
    schema = pq.read_schema(path)
    pq.write_table(pa.Table.from_pylist([row | columns], schema=schema), path)


def _generate(project: Any) -> None:
    from exp_platform.config import load_settings
    from exp_platform.generate_synth import generate_synth

    generate_synth(load_settings(project.config), ID)


def test_run_from_events_alone_finds_the_same_exposures(
    project: Any, tables: Any, comparable: Any
) -> None:
    _generate(project)
    folder = _registry(project).parent
    for name in ("exposures", "outcomes"):
        (folder / f"{name}.parquet").unlink()
    assert project.job(ID).code == 0
    found = project.tables()
    assert found["outcomes"] == []
    columns = ("user_id", "variant", "exposure_ts", "first_seen_ts")
    assert Counter(tuple(r[c] for c in columns) for r in found["exposures"]) == Counter(
        tuple(r[c] for c in columns) for r in _of(tables["exposures"])
    )
    # rows differ: copies of an event are gone before it becomes an exposure
    units = ("stage", "variant", "metric_name", "n_units")
    assert Counter(tuple(r[c] for c in units) for r in found["unit_ledger"]) == Counter(
        tuple(r[c] for c in units) for r in _of(tables["unit_ledger"])
    )
    assert comparable(found["dim_feature"]) == comparable(tables["dim_feature"])


def test_run_without_exposures_and_events_is_refused(project: Any) -> None:
    _generate(project)
    _change_registry(project, namespace=None)
    (project.raw / ID / "exposures.parquet").unlink()
    answer = project.job(ID)
    assert answer.code == 3
    assert "no exposures.parquet" in answer.err


def test_rows_of_events_go_when_the_experiment_has_none_any_more(project: Any) -> None:
    _generate(project)
    _change_registry(project, plan=_plan(["platform"]))
    assert project.job(ID).code == 0
    assert project.tables("dim_feature")["dim_feature"]
    _change_registry(project, namespace=None)
    (project.raw / ID / "experiment_assignments.parquet").unlink()
    assert project.job(ID).code == 0
    found = project.tables()
    for name in ("dim_feature", "fact_experiment_exposure", "assignments"):
        assert found[name] == []
    assert found["fact_event"]


def _plan(segments: list[str]) -> str:
    metrics = [{"metric_name": "conversion", "role": "goal"}]
    return json.dumps({"metrics": metrics, "segments": segments})


@pytest.mark.parametrize(
    ("segments", "namespace", "words"),
    [
        (["dim_user.last_seen_ts"], ID, ["not known before exposure", "as of the"]),
        (["dim_user.n_events"], ID, ["not known before exposure"]),
        (["dim_user.country"], None, ["needs events", "names no namespace"]),
        (
            ["platform", "converted"],
            ID,
            ["'converted' is not known before exposure", "country, platform"],
        ),
        (["platfrom"], ID, ["did you mean 'platform'"]),
        (["x'] or true --"], ID, ["not known before exposure"]),
        (["platform", "Variant"], ID, ["'Variant' cannot be told from the arm"]),
        (
            ["population"],
            ID,
            ["'population' cannot be told from", "under another name"],
        ),
    ],
)
def test_segments_from_after_exposure_are_refused(
    project: Any, segments: list[str], namespace: str | None, words: list[str]
) -> None:
    _generate(project)
    _change_registry(project, plan=_plan(segments), namespace=namespace)
    answer = project.job(ID)
    assert answer.code == 3
    assert all(word in answer.err for word in words), answer.err
    assert project.tables() == {}


def test_namespace_that_is_no_folder_is_refused(project: Any) -> None:
    _generate(project)
    _change_registry(project, namespace="../secrets")
    answer = project.job(ID)
    assert answer.code == 3
    assert "not a namespace" in answer.err


def test_regenerated_events_replace_the_old_ones(project: Any) -> None:
    _generate(project)
    assert project.job(ID).code == 0
    first = project.tables("fact_event")["fact_event"]
    config = yaml.safe_load(project.config.read_text())
    config["experiments"][ID] |= {"days": 5, "seed": 11}
    project.config.write_text(yaml.safe_dump(config))
    assert project.job(ID, "--generate-synth").code == 0
    second = project.tables("fact_event", "event_files")
    days = {row["event_date"] for row in second["fact_event"]}
    assert len(days) == 12
    assert len({row["event_date"] for row in first}) == 15
    ids = [row["event_id"] for row in second["fact_event"]]
    assert len(set(ids)) == len(ids)
    on_disk = (project.raw.parent / "events").rglob("*.parquet")
    assert {row["source_file"] for row in second["event_files"]} == {
        path.relative_to(project.raw.parent).as_posix() for path in on_disk
    }


def test_late_events_of_others_and_after_the_watermark_delay_nothing(
    project: Any,
) -> None:
    _generate(project)
    purchases = {
        "name": "purchases",
        "type": "count",
        "source": {"event": "purchase"},
        "aggregation": "count",
        "description": "Purchases.",
    }
    plan = {"metrics": [{"metric_name": "purchases", "role": "goal"}]}
    definitions = json.dumps({"purchases": purchases})
    _change_registry(project, plan=json.dumps(plan), definitions=definitions)
    before = _late_data(project)
    found = project.tables("experiment_registry", "experiment_assignments")
    (spec,), unit = found["experiment_registry"], found["experiment_assignments"][0]
    folder = project.raw.parent / "events" / f"namespace={ID}"
    some = next(folder.glob("event_date=*/*.parquet"))
    rows = [
        {
            "event_id": f"late{number}{user}",
            "event_name": "purchase",
            "user_id": user,
            "client_ts": at,
            "received_ts": at + timedelta(days=4),
        }
        for number in range(3000)
        for user, at in (
            (unit["user_id"], spec["watermark_ts"] + timedelta(days=20)),
            ("stranger", spec["start_ts"] + timedelta(days=1)),
        )
    ]
    schema = pq.read_schema(some)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), some.parent / "z.parquet")
    assert _late_data(project) == before


def _late_data(project: Any) -> tuple[str, float]:
    assert project.job(ID).code == 0
    (check,) = (
        row
        for row in project.tables("check_results")["check_results"]
        if row["check_name"] == "LATE_DATA"
    )
    return check["status"], check["value"]
