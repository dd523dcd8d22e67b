"""A percentile cap through whole runs: taken once, then the same number everywhere."""

import importlib
import json
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.end_to_end

ID = "exp_tiny"
BODY = """
type: mean
source: {outcome: revenue}
window: {days: 3}
"""
CAPPED = f"""name: capped{BODY}
cap: {{percentile: 0.9, nonzero: true}}
covariate: {{lookback_days: 5, cap: {{percentile: 0.97}}}}
"""
FREE = f"name: free{BODY}\ncovariate: {{lookback_days: 5}}\n"
PLAN = """
    plan:
      metrics: {capped: {covariate: true}, free: {covariate: true}}
"""


def lay_out(project: Any) -> None:
    (project.root / "metrics" / "capped.yml").write_text(CAPPED)
    (project.root / "metrics" / "free.yml").write_text(FREE)
    config = project.config.read_text()
    tiny = "    plan: {segments: [platform]}\n"
    assert config.count(tiny) == 1
    project.config.write_text(config.replace(tiny, PLAN))


def read(project: Any, table: str, metric: str) -> list[dict[str, Any]]:
    rows = project.tables(table)[table]
    return [r for r in rows if (r["experiment_id"], r["metric_name"]) == (ID, metric)]


def stored(project: Any) -> tuple[float, float, str]:
    (row,) = read(project, "metric_definitions", "capped")
    definition = json.loads(row["definition"])
    assert definition["percentile_cap"]["origin"] == "first_look"
    return definition["cap"], definition["covariate"]["cap"], row["metric_version"]


def order_statistics(project: Any, share: float = 0.9) -> tuple[float, float]:
    """Of the metric without caps, as it stands in the lake."""
    units = read(project, "metric_calculations", "free")
    values = np.array([row["value"] for row in units])
    past = np.array([row["covariate"] for row in units])
    pick = {"method": "inverted_cdf"}
    own = float(np.quantile(values[values != 0], share, **pick))
    return own, float(np.quantile(past, 0.97, **pick))


def largest(project: Any) -> tuple[float, float]:
    units = read(project, "metric_calculations", "capped")
    return max(u["value"] for u in units), max(u["covariate"] for u in units)


def test_a_percentile_cap_is_frozen_by_the_first_run(project: Any, call: Any) -> None:
    lay_out(project)
    refused = project.job(ID, "--generate-synth", "--skip-metrics")
    assert refused.code != 0
    assert "needs the metrics stage" in refused.err
    assert project.job(ID, "--generate-synth").code == 0
    cap, past, version = stored(project)
    assert cap == order_statistics(project)[0]
    assert largest(project) == (cap, past)
    assert "least(" in project.exp("sql", ID, "capped").out
    assert repr(cap) in project.exp("sql", ID, "capped").out

    more = project.config.read_text().replace("n_users: 400", "n_users: 700", 1)
    project.config.write_text(more)
    assert project.job(ID, "--generate-synth").code == 0
    assert stored(project) == (cap, past, version)
    assert order_statistics(project)[0] != cap
    assert largest(project) == (cap, past)
    for name in ("compute_metric_aggregates", "write_memo"):
        main = importlib.import_module(f"exp_platform.pipelines.{name}").main
        options = ("--config", project.config, "--experiment-id", ID)
        answer = call(main, name, *options)
        assert (answer.code, answer.err) == (0, "")
    assert stored(project) == (cap, past, version)
    assert project.exp("refresh", ID).code == 0
    (refreshed,) = (
        row["mean"]
        for row in read(project, "refreshed_totals", "capped")
        if (row["variant"], row["segment"]) == ("control", "all")
    )
    values = [
        row["value"]
        for row in read(project, "metric_calculations", "capped")
        if row["variant"] == "control"
    ]
    # two orders of adding some hundred doubles
    assert refreshed == pytest.approx(np.mean(values), rel=1e-12)


def test_another_percentile_freezes_anew(project: Any) -> None:
    lay_out(project)
    assert project.job(ID, "--generate-synth").code == 0
    cap, past, version = stored(project)
    file = project.root / "metrics" / "capped.yml"
    file.write_text(CAPPED.replace("0.9,", "0.6,"))
    assert repr(cap) in project.exp("sql", ID, "capped").out
    assert "has no number" in project.exp("refresh", ID).err
    assert project.job(ID).code == 0
    lower, same, other = stored(project)
    assert lower == order_statistics(project, 0.6)[0] < cap
    assert same == past
    assert other != version
    units = read(project, "metric_calculations", "free")
    theirs = f"{np.mean([unit['value'] for unit in units]):.6f}"
    answer = project.exp("reconcile", ID, "capped", "--value", theirs, "--depth", "1")
    assert answer.code == 0
    assert "values not capped" in answer.out
