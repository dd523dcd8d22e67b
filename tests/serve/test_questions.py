"""Asking: the numbers are those of the published totals, in every format."""

import io
import json
import math
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
import sqlglot

from exp_platform.errors import UsageError
from exp_platform.serve.jobs import Jobs

QUERY = "/v1/experiments/exp_tiny/query"
SEGMENTED = {"dimensions": ["variant", "platform"]}


def ask(client, url=QUERY, **body):
    response = client.post(url, json={"metrics": ["conversion"], **body})
    assert response.status_code == 200, response.text
    document = response.json()
    return [
        dict(zip(document["columns"], row, strict=True)) for row in document["rows"]
    ]


def totals_of(ready, metric):
    rows = ready.tables("metric_aggregates_overall")["metric_aggregates_overall"]
    return {
        (r["segment"], r["variant"]): r
        for r in rows
        if r["experiment_id"] == "exp_tiny" and r["metric_name"] == metric
    }


@pytest.mark.parametrize("metric", ["conversion", "revenue_per_user"])
@pytest.mark.parametrize("dimensions", [["variant"], ["variant", "platform"]])
def test_query_gives_the_published_totals(client, ready, metric, dimensions):
    stored = totals_of(ready, metric)
    rows = ask(client, metrics=[metric], dimensions=dimensions)
    assert len(rows) in {2, 6}
    for row in rows:
        segment = f"platform={row['platform']}" if "platform" in row else "all"
        there = stored[segment, row["variant"]]
        assert row["n"] == there["n"]
        # sums in another order: a few units in the last place
        assert row["value"] == pytest.approx(there["mean"], rel=1e-12)
        error = math.sqrt(there["variance"] / there["n"])
        assert row["standard_error"] == pytest.approx(error, rel=1e-10)


def test_query_ratio_is_the_ratio_of_totals(client, ready):
    stored = totals_of(ready, "revenue_per_session")
    results = client.get("/v1/experiments/exp_tiny/results").json()
    estimate = next(
        r
        for r in results
        if r["method"] == "ratio_delta" and r["metric_name"] == "revenue_per_session"
    )
    rows = {r["variant"]: r for r in ask(client, metrics=["revenue_per_session"])}
    for variant, row in rows.items():
        there = stored["all", variant]
        ratio = there["mean"] / there["denominator_mean"]
        assert row["value"] == pytest.approx(ratio, rel=1e-12)
    errors = [row["standard_error"] ** 2 for row in rows.values()]
    # two independent arms: the estimate's error, by another formula
    assert math.sqrt(sum(errors)) == pytest.approx(estimate["standard_error"], rel=1e-9)


def test_results_are_the_records_of_the_command_line(client, ready):
    shown = ready.exp("results", "exp_tiny", "--format", "json")
    answer = client.get("/v1/experiments/exp_tiny/results")
    assert answer.json() == json.loads(shown.out)


def test_results_of_a_panel_can_be_read(client, monkeypatch):
    def refuse(_):
        raise UsageError("no totals of its arms are stored")

    url = "/v1/experiments/exp_tiny"
    monkeypatch.setattr("exp_platform.pipelines.ask.require_totals", refuse)
    assert client.get(url).status_code == 422
    assert client.get(f"{url}/results").status_code == 200


def test_query_by_exposure_week_adds_up(client):
    weeks = ask(client, grain="week")
    whole = {r["variant"]: r for r in ask(client)}
    for variant, row in whole.items():
        parts = [w for w in weeks if w["variant"] == variant]
        assert sum(w["n"] for w in parts) == row["n"]
        assert sum(w["total"] for w in parts) == row["total"]
        assert len({w["time"] for w in parts}) == len(parts) > 1


def test_query_by_outcome_day_is_the_daily_table(client, ready):
    daily = {
        (r["variant"], r["day"].isoformat()): r
        for r in ready.tables("metric_aggregates_daily")["metric_aggregates_daily"]
        if (r["experiment_id"], r["metric_name"]) == ("exp_tiny", "revenue_per_user")
    }
    rows = ask(client, metrics=["revenue_per_user"], grain="day", clock="outcome")
    assert {(r["variant"], r["time"]) for r in rows} == set(daily)
    for row in rows:
        there = daily[row["variant"], row["time"]]
        assert row["value"] == pytest.approx(there["mean"], rel=1e-12)
        assert row["standard_error"] is None


@pytest.mark.parametrize("metric", ["conversion", "revenue_per_user"])
def test_query_by_age_is_the_table_by_age(client, ready, metric):
    stored = {
        (r["variant"], r["age_day"]): r
        for r in ready.tables("metric_aggregates_by_age")["metric_aggregates_by_age"]
        if (r["experiment_id"], r["metric_name"]) == ("exp_tiny", metric)
    }
    asked = {"metrics": [metric], "grain": "day", "clock": "age"}
    on_day, so_far = ask(client, **asked), ask(client, cumulative=True, **asked)
    for rows, n, mean in (
        (on_day, "n", "mean"),
        (so_far, "cumulative_n", "cumulative_mean"),
    ):
        assert {(r["variant"], r["age_day"]) for r in rows} == set(stored)
        for row in rows:
            there = stored[row["variant"], row["age_day"]]
            assert row["n"] == there[n]
            assert row["value"] == pytest.approx(there[mean], rel=1e-12)
    ages = [r["age_day"] for r in on_day if r["variant"] == "control"]
    assert ages == list(range(len(ages)))


def test_query_by_age_over_all_arms_merges_them(client):
    asked = {"grain": "day", "clock": "age", "cumulative": True}
    pooled = {r["age_day"]: r for r in ask(client, dimensions=[], **asked)}
    for age, row in pooled.items():
        arms = [r for r in ask(client, **asked) if r["age_day"] == age]
        assert row["n"] == sum(r["n"] for r in arms)
        total = sum(r["total"] for r in arms)
        assert row["value"] == pytest.approx(total / row["n"], rel=1e-12)


def test_filters_keep_and_leave_out(client):
    every = ask(client, **SEGMENTED)
    platforms = sorted({row["platform"] for row in every})
    kept = ask(
        client,
        filters=[{"dimension": "platform", "values": platforms[:1]}],
        **SEGMENTED,
    )
    left = ask(
        client,
        filters=[{"dimension": "platform", "values": platforms[:1], "negated": True}],
        **SEGMENTED,
    )
    assert {row["platform"] for row in kept} == set(platforms[:1])
    assert {row["platform"] for row in left} == set(platforms[1:])
    assert sorted(map(repr, [*kept, *left])) == sorted(map(repr, every))


@pytest.mark.parametrize("value", ["", "\t", "two\nlines\n", "\x7f", "é" * 10_000])
def test_a_filter_names_any_text(client, value):
    every = ask(client, **SEGMENTED)
    condition = {"dimension": "platform", "values": [value]}
    assert ask(client, filters=[condition]) == []
    left = ask(client, filters=[{**condition, "negated": True}], **SEGMENTED)
    assert left == every


@pytest.mark.parametrize("dimension", ["variant", "platform"])
def test_values_of_a_dimension_are_those_a_filter_keeps(client, ready, dimension):
    url = f"/v1/experiments/exp_tiny/dimensions/{dimension}"
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    rows = answer.json()["rows"]
    assert answer.json()["columns"] == ["value", "n"]
    assert rows == sorted(rows, key=lambda row: (-row[1], row[0]))
    units = ready.tables("experiment_assignments")["experiment_assignments"]
    counted = Counter(
        unit["variant"]
        if dimension == "variant"
        else dict(unit["attributes"]).get(dimension) or "(unknown)"
        for unit in units
        if unit["experiment_id"] == "exp_tiny" and unit["is_in_analysis"]
    )
    assert dict(rows) == counted
    every = ask(client, dimensions=[dimension])
    assert {value for value, _ in rows} >= {row[dimension] for row in every}
    for row in every:
        filters = [{"dimension": dimension, "values": [row[dimension]]}]
        assert ask(client, dimensions=[dimension], filters=filters) == [row]
    again = client.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert client.get(f"{url}?format=csv").text.startswith('"value","n"')


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv;q=0.1, application/json", "application/json"),
        ("application/json;q=0.5, text/csv ; Q=0.8", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
        ("text/csv;q=much, application/json;q=0.001", "application/json"),
        ("text/html, application/vnd.apache.arrow.stream;q=0.9", "application/vnd"),
    ],
)
def test_the_format_is_the_one_that_weighs_most(accept, kind, client):
    body = {"metrics": ["conversion"]}
    answer = client.post(QUERY, json=body, headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("path", ["/healthz", "/v1/experiments", "/v1/nothing"])
def test_head_is_get_without_its_body(path, client):
    head, whole = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-type", "content-length", "etag"):
        assert head.headers.get(name) == whole.headers.get(name)
    assert client.head(QUERY).status_code == 405


def test_csv_and_arrow_hold_the_rows_of_json(client):
    rows = ask(client, **SEGMENTED)
    body = {"metrics": ["conversion"], **SEGMENTED}
    text = client.post(QUERY, json=body, headers={"Accept": "text/csv"})
    lines = pa_csv.read_csv(io.BytesIO(text.content)).to_pylist()
    assert [(r["variant"], r["platform"], r["n"]) for r in lines] == [
        (r["variant"], r["platform"], r["n"]) for r in rows
    ]
    arrow = client.post(f"{QUERY}?format=arrow", json=body)
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table.to_pylist() == rows
    assert b"snapshots" in table.schema.metadata[b"exp.as_of"]
    assert text.headers["x-exp-as-of"] == arrow.headers["x-exp-as-of"]


def test_answer_says_as_of_when(client, ready):
    body = client.post(QUERY, json={"metrics": ["conversion"]}).json()
    stored = ready.tables("metric_definitions")["metric_definitions"]
    versions = {
        r["metric_name"]: r["metric_version"]
        for r in stored
        if r["experiment_id"] == "exp_tiny"
    }
    snapshots = ready.snapshots()
    assert body["as_of"]["definitions"] == versions
    for table, snapshot in body["as_of"]["snapshots"].items():
        assert snapshot == str(snapshots[table])
    assert body["as_of"]["watermark"].startswith("20")
    assert "metric_calculations" in body["sql"]


def test_etag_spares_the_answer_and_knows_the_format(client):
    body = {"metrics": ["conversion"]}
    first = client.post(QUERY, json=body)
    tag = {"If-None-Match": first.headers["etag"]}
    again = client.post(QUERY, json=body, headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    other = client.post(f"{QUERY}?format=csv", json=body, headers=tag)
    assert other.status_code == 200
    wider = client.post(QUERY, json={**body, **SEGMENTED}, headers=tag)
    assert wider.status_code == 200


def test_etag_changes_with_the_sql_of_the_answer(client, monkeypatch):
    body = {"metrics": ["conversion"]}
    first = client.post(QUERY, json=body)
    monkeypatch.setattr("exp_platform.metrics.query._ERROR", "cast(null as double)")
    tag = {"If-None-Match": first.headers["etag"]}
    assert client.post(QUERY, json=body, headers=tag).status_code == 200


def test_a_long_question_becomes_a_job(client):
    body = {"metrics": ["conversion"]}
    accepted = client.post(QUERY, json=body, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    where = accepted.headers["location"]
    for _ in range(600):
        if client.get(where).json()["status"] == "done":
            break
    answer = client.get(accepted.json()["result"])
    direct = client.post(QUERY, json=body)
    assert answer.json() == direct.json()
    assert answer.headers["etag"] == direct.headers["etag"]
    stranger = {"Authorization": "Bearer another-token"}
    assert client.get(where, headers=stranger).status_code == 404


def test_too_many_jobs_are_refused(make_app, listen, open_client):
    app = make_app()
    app.state.jobs = Jobs(waiting=0)
    with listen(app) as base:
        client = open_client({"Authorization": "Bearer a-token-of-the-tests"}, base)
        refused = client.post(QUERY, json={"metrics": ["conversion"]})
    assert refused.status_code == 503
    assert "ask again" in refused.json()["next_step"]


def test_health_does_not_wait_behind_questions(
    make_app, listen, open_client, monkeypatch
):
    gate, n = threading.Event(), 60  # more than a server has threads
    monkeypatch.setattr(
        "exp_platform.serve.reading.find_subject", lambda *_: gate.wait(30)
    )
    with listen(make_app()) as base, ThreadPoolExecutor(n) as pool:
        client = open_client({"Authorization": "Bearer a-token-of-the-tests"}, base)
        for _ in range(n):
            pool.submit(client.get, "/v1/experiments/exp_tiny")
        time.sleep(0.5)
        try:
            assert httpx.get(f"{base}/healthz", timeout=5).status_code == 200
        finally:
            gate.set()


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_sql_is_compiled_and_not_run(client, dialect):
    body = {"metrics": ["conversion"], "grain": "week", **SEGMENTED}
    answer = client.post(
        f"/v1/experiments/exp_tiny/sql?dialect={dialect}", json=body
    ).json()
    assert answer["dialect"] == dialect
    assert "metric_calculations" in answer["sql"]


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_sql_by_age_is_compiled_for_every_engine(client, dialect):
    body = {"metrics": ["conversion"], "grain": "day", "clock": "age"}
    url = f"/v1/experiments/exp_tiny/sql?dialect={dialect}"
    sql = client.post(url, json={**body, "cumulative": True}).json()["sql"]
    (select,) = sqlglot.parse(sql, read=dialect)
    assert select.named_selects[:3] == ["metric_name", "variant", "age_day"]
    assert "cumulative_mean" in sql
