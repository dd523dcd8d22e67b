"""The metrics stage on Spark and on Trino gives what it gives on DuckDB."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from exp_platform.config import load_settings
from exp_platform.lake import open_lake
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

# PySpark leaves the socket of an Arrow answer to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY.parent / "shared" / "data"
OTHERS = ("spark", "trino")

# every branch of the generated SQL: caps, counts, distinct values, properties, texts
DEFINITIONS = {
    "big_orders": {
        "type": "mean",
        "source": {"outcome": "revenue", "filter": "value > 10"},
        "window": {"days": 4},
        "covariate": {},
    },
    "capped_revenue": {
        "type": "mean",
        "source": {"outcome": "revenue"},
        "cap": 40,
        "covariate": {},
    },
    "back_in_days_3_and_4": {
        "type": "retention",
        "source": {"outcome": "sessions"},
        "retention": {"from_days": 3, "to_days": 5},
    },
    "visit_then_order": {
        "type": "funnel",
        "steps": [{"outcome": "sessions"}, {"outcome": "conversion"}],
        "window": {"days": 5},
    },
    "sessions_p75": {
        "type": "quantile",
        "source": {"outcome": "sessions"},
        "quantile": 0.75,
    },
    "order_median": {
        "type": "quantile",
        "source": {"outcome": "revenue"},
        "quantile": 0.5,
        "of": "rows",
        "window": {"days": 5},
    },
    "revenue_per_visit": {
        "type": "ratio",
        "numerator": {"outcome": "revenue"},
        "denominator": {"outcome": "sessions"},
        "covariate": {},
    },
    "revenue_two_pasts": {
        "type": "mean",
        "source": {"outcome": "revenue"},
        "covariates": [{}, {"outcome": "sessions", "lookback_days": 7}],
    },
    "odd_value": {
        "type": "mean",
        "source": {
            "outcome": "revenue",
            "value": "round(value / 3, 2) + case when value > 12 then 1 else 0.5 end",
            "filter": "value between 0.5 and 1000 and not (event = 'it''s')",
        },
    },
    "largest_by_day": {
        "type": "mean",
        "source": {"outcome": "revenue"},
        "aggregation": "max",
        "window": {"days": 3, "grain": "day"},
    },
    "distinct_values": {
        "type": "count",
        "source": {"outcome": "revenue", "value": "value"},
        "aggregation": "distinct",
    },
    "purchases": {"type": "count", "source": {"event": "purchase"}},
    "purchase_value": {
        "type": "mean",
        "source": {
            "event": "purchase",
            "value": "properties.value",
            "filter": "properties.value is not null",
        },
        "covariate": {},
    },
    "large_purchase": {
        "type": "proportion",
        "source": {
            "event": "purchase",
            "filter": "value > 11 and coalesce(properties.coupon, 'none') in ('none', 'it''s')",
        },
    },
    "use_then_purchase": {
        "type": "funnel",
        "steps": [{"event": "daily_activity"}, {"event": "purchase"}],
    },
    "value_per_use": {
        "type": "ratio",
        "numerator": {
            "event": "purchase",
            "value": "cast(properties.value as double) * 2",
        },
        "denominator": {"event": "daily_activity", "aggregation": "count"},
    },
}
OF_EVENTS = [
    name for name, text in DEFINITIONS.items() if '"event"' in json.dumps(text)
]
SMALL = {
    "days": 8,
    "n_users": 2000,
    "base_conversion": 0.3,
    "effect_lift_conversion": 0.1,
    "pre_period_days": 7,
    "plan": {"segments": ["platform"]},
}
THREE_DAYS = [
    {"metric_name": "three_day_conversion", "role": "goal"},
    {"metric_name": "three_day_revenue", "role": "goal", "covariate": True},
    {"metric_name": "three_day_sessions", "role": "guardrail", "margin": 0.05},
]
SCENARIOS: dict[str, dict[str, Any]] = {
    "plain": {"plan": {"segments": ["platform", "country"]}},
    "types": {
        "n_users": 2500,
        "plan": {
            "segments": ["platform"],
            "metrics": {
                name: {"covariate": True} if "covariate" in json.dumps(text) else {}
                for name, text in DEFINITIONS.items()
                if name not in OF_EVENTS
            },
        },
    },
    "events": {
        "events": True,
        "failure_modes": {"duplicate_share": 0.1, "crossover_share": 0.05},
        "plan": {
            "segments": ["platform", "dim_user.platform"],
            "metrics": {name: {} for name in OF_EVENTS},
        },
    },
    "rollout": {
        "n_users": 2500,
        "assignment": "policy",
        "policy_day": 4,
        "n_clusters": 30,
    },
    "crossover": {"failure_modes": {"crossover_share": 0.12}},
    "bots": {"failure_modes": {"bot_share": 0.03, "spike_day": 5}},
    "late": {"failure_modes": {"late_share": 0.15, "duplicate_share": 0.08}},
    "looks": {"days": 12, "observed_days": 7, "plan": {"metrics": THREE_DAYS}},
    "lost": {"failure_modes": {"sample_ratio_mismatch": 0.08}},
    "gaps": {
        "days": 14,
        "failure_modes": {
            "missing_day": 6,
            "outlier_value": 250000.0,
            "novelty_half_life_days": 2.0,
        },
    },
}
# moments, whose sums every engine orders as it likes
TOTALS = {
    "metric_aggregates_overall": 1e-12,
    "metric_aggregates_daily": 1e-12,
    "metric_aggregates_by_age": 1e-12,
    "metric_quantiles": 1e-12,
    "metric_adjustments": 1e-12,
    "metric_calculations": 0.0,
    "experiment_assignments": 0.0,
    "unit_ledger": 0.0,
    "sample_ratio_mismatch": 1e-9,
    "metric_anomalies": 1e-9,
    "experiment_results": 1e-9,
    "experiment_summary": 1e-9,
    "analysis_results": 1e-9,
    "did_pretrend_tests": 1e-9,
    "did_pretrend_delta": 1e-9,
    "check_results": 1e-9,
    "decisions": 1e-9,
}
OF_EVENT_RUNS = {"fact_experiment_exposure": 1e-12, "dim_feature": 0.0}
VOLATILE = {"run_id", "computed_at"}
GAP = re.compile(r"the largest gap is \S+ of")
# A moment is a difference of sums: what is lost is relative to the values, which are at
# least 1e-3 in these data.
NEAR_ZERO = 1e-15


@dataclass
class Project:
    """One project whose metrics are computed by each engine in turn."""

    root: Path
    ran: dict[tuple[str, str], Any] = field(default_factory=dict)

    def settings(self, engine: str) -> Any:
        return load_settings(self.root / "configs" / f"{engine}.yaml")

    def run(self, engine: str, name: str) -> Any:
        if (engine, name) not in self.ran:
            options = RunOptions(generate_synth=name in SCENARIOS)
            outcome = run_end_to_end(self.settings(engine), name, options)
            self.ran[engine, name] = outcome
        return self.ran[engine, name]

    def rows(self, engine: str, name: str, table: str) -> list[dict[str, Any]]:
        with open_lake(self.settings(engine)) as lake:
            rows = lake.read(table, name).to_pylist()
        return [{k: v for k, v in r.items() if k not in VOLATILE} for r in rows]


@pytest.fixture(scope="module", autouse=True)
def _one_session() -> Iterator[None]:
    """Runs share the process's Spark session; afterwards it is gone."""
    yield
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("engines")
    (root / "configs").mkdir()
    shutil.copytree(REPOSITORY / "metrics", root / "metrics")
    for name, text in DEFINITIONS.items():
        written = yaml.safe_dump({"name": name, **text}, sort_keys=False)
        (root / "metrics" / f"{name}.yml").write_text(written, "utf-8")
    experiments = {name: SMALL | changed for name, changed in SCENARIOS.items()}
    for engine in ("duckdb", *OTHERS):
        places = {
            "warehouse": f"{engine}/warehouse",
            "catalog": f"{engine}/warehouse/catalog.db",
            "raw": f"{engine}/raw",
            "memos": f"{engine}/memos",
            "temp": f"{engine}/tmp",
        }
        document: dict[str, Any] = {
            "environment": engine,
            "paths": places,
            "engine": {"memory_limit": "1GB", "stages": {"metrics": engine}},
            "experiments": experiments,
        }
        if engine == "trino":
            host, port = (os.environ[f"EXP_TRINO_{n}"] for n in ("HOST", "PORT"))
            document["engine"]["trino"] = f"http://{host}:{port}"
            document["remote"] = {
                "catalog": os.environ["EXP_CATALOG_URI"],
                "warehouse": "s3://warehouse",
                "raw": "s3://raw",
                "endpoint": os.environ["EXP_S3_ENDPOINT"],
            }
        text = yaml.safe_dump(document, sort_keys=False)
        (root / "configs" / f"{engine}.yaml").write_text(text, "utf-8")
    return Project(root)


def parsed(value: Any) -> Any:
    """JSON columns are compared by what they say."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def identity(row: Any) -> Any:
    """A row without its fractions: what it is about."""
    if isinstance(row, dict):
        return sorted((str(k), identity(v)) for k, v in row.items())
    if isinstance(row, list | tuple):
        return [identity(v) for v in row]
    return "" if isinstance(row, float) else str(row)


def assert_same(mine: Any, theirs: Any, rtol: float, path: str) -> None:
    if isinstance(mine, float) and isinstance(theirs, float):
        is_close = math.isclose(mine, theirs, rel_tol=rtol, abs_tol=NEAR_ZERO)
        assert is_close or mine == theirs, (path, mine, theirs)
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        assert set(mine) == set(theirs), path
        for name, value in mine.items():
            assert_same(value, theirs[name], rtol, f"{path}.{name}")
    elif isinstance(mine, list) and isinstance(theirs, list):
        assert len(mine) == len(theirs), path
        for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(one, other, rtol, f"{path}[{place}]")
    else:
        assert mine == theirs, (path, mine, theirs)


def without_gap(row: dict[str, Any]) -> dict[str, Any]:
    """How far SQL and Python are apart is rounding, and each engine's own."""
    if row.get("check_name") != "SQL_TWIN":
        return row
    told = GAP.sub("", row["message"])
    return row | {"message": told, "value": None, "details": None}


def comparable(rows: list[dict[str, Any]]) -> list[Any]:
    plain = [
        {
            name: float(value)
            if isinstance(value, Decimal)
            else sorted(value)
            if isinstance(value, list)
            else parsed(value)
            for name, value in row.items()
        }
        for row in map(without_gap, rows)
    ]
    return sorted(plain, key=lambda row: (identity(row), repr(row)))


def assert_engines_agree(project: Project, engine: str, name: str, tables: Any) -> None:
    own, other = project.run("duckdb", name), project.run(engine, name)
    assert own.judgement.verdict == other.judgement.verdict
    for table, rtol in tables.items():
        mine, theirs = (
            comparable(project.rows(e, name, table)) for e in ("duckdb", engine)
        )
        assert_same(mine, theirs, rtol, table)
    facts = [project.rows(e, name, "analysis_runs")[-1] for e in ("duckdb", engine)]
    assert len({f["digest"] for f in facts}) == 1
    assert len({(f["verdict"], f["outcome"]) for f in facts}) == 1
    assert "metrics by" not in facts[0]["engine"]
    assert f"metrics by {engine}" in facts[1]["engine"]


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_engine_agrees_with_duckdb(project: Project, engine: str, name: str) -> None:
    tables = TOTALS | (OF_EVENT_RUNS if name == "events" else {})
    assert_engines_agree(project, engine, name, tables)
    rows = project.rows(engine, name, "metric_aggregates_overall")
    assert len(rows) > 0
    twin = [
        row["status"]
        for row in project.rows(engine, name, "check_results")
        if row["check_name"] == "SQL_TWIN"
    ]
    # a rollout has no comparison that SQL makes too
    assert set(twin) == (set() if name == "rollout" else {"PASSED"})


@pytest.mark.parametrize("engine", OTHERS)
def test_memo_is_the_same_but_for_run_facts(project: Project, engine: str) -> None:
    texts = [
        project.run(e, "plain").memo.markdown.read_text("utf-8").split("\n## 7")[0]
        for e in ("duckdb", engine)
    ]
    own, other = (GAP.sub("", text) for text in texts)
    assert own == other


def test_trino_drops_its_schemas(project: Project, trino_rows: Any) -> None:
    before = {name for (name,) in trino_rows("show schemas from iceberg")}
    project.run("trino", "plain")
    after = {name for (name,) in trino_rows("show schemas from iceberg")}
    assert "exp" in after
    # what a killed run left goes a day later
    assert not {name for name in after - before if name.startswith("exp_scratch_")}


@pytest.mark.parametrize("engine", OTHERS)
def test_cookie_cats_agrees_with_duckdb(
    project: Project, call: Any, engine: str
) -> None:
    from exp_platform.cli import main

    file = DATA / "cookie_cats.csv"
    if not file.is_file():
        pytest.skip("cookie_cats.csv is not beside the checkout (shared/data)")
    columns = ("--unit", "userid", "--variant", "version", "--control", "gate_30")
    metrics = ("retention_1", "retention_7", "sum_game_rounds")
    named = [word for name in metrics for word in ("--metric", name)]
    for each in ("duckdb", engine):
        if (each, "cookie_cats") not in project.ran:
            config = ("--config", project.root / "configs" / f"{each}.yaml")
            words = ("import", file, "--experiment-id", "cookie_cats", *columns)
            answer = call(main, "exp", *words, *named, *config)
            assert answer.code == 0, answer.err
    assert_engines_agree(project, engine, "cookie_cats", TOTALS)


# dbt's own macros say "\\w" in a plain text
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("engine", OTHERS)
def test_dbt_builds_and_tests_the_models(project: Project, engine: str) -> None:
    pytest.importorskip(f"dbt.adapters.{engine}")
    from exp_platform.pipelines.dbt_build import build_with_dbt

    if not (project.root / "dbt").is_dir():
        ignored = shutil.ignore_patterns("target", "logs", ".*")
        shutil.copytree(REPOSITORY / "dbt", project.root / "dbt", ignore=ignored)
    project.run(engine, "events")
    built = build_with_dbt(project.settings(engine), "events", engine)
    assert built.n_totals > 0
    assert built.n_compared > 0
    assert built.results["model"] > 60
    assert built.results["test"] > 300
