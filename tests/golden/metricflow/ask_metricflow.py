"""What MetricFlow answers about the shop of `tests/dbt/package`: `answers.csv`.

MetricFlow (`dbt-metricflow`, Apache-2.0) is here for tests alone:

    python -m pytest tests/dbt/package/test_metricflow.py --basetemp=kept
    python tests/golden/metricflow/ask_metricflow.py .venv/bin/mf kept/shop0/shop kept/shop0/warehouse.duckdb

The test builds the shop and asks; this asks again and writes the answer down.
"""

import os
import subprocess
import sys
from pathlib import Path

METRICS = (
    "orders_in_three_days",
    "orders_in_three_days_total",
    "orders_in_three_days_units",
    "order_value_per_visit",
    "order_value_per_visit_total",
    "order_value_per_visit_denominator",
    "order_value_per_visit_units",
    "visit_then_order",
    "visit_then_order_total",
    "visit_then_order_units",
    "order_p80",
    "order_p80_units",
)
ANSWERS = Path(__file__).parent / "answers.csv"


def ask(program: str, project: Path, database: Path, out: Path) -> None:
    """Check the exported model with `mf` and write every metric by arm as CSV."""
    places = {"EXP_DBT_DATABASE": str(database), "DBT_PROFILES_DIR": str(project)}
    by = "unit_value__experiment_id,unit_value__variant"
    query = ["query", "--metrics", ",".join(METRICS), "--group-by", by]
    commands = (
        [str(Path(program).parent / "dbt"), "parse", "--quiet"],
        [program, "validate-configs"],
        [program, *query, "--csv", str(out)],
    )
    for words in commands:
        done = subprocess.run(
            words,
            cwd=project,
            env={**os.environ, **places, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr}")


if __name__ == "__main__":
    ask(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), ANSWERS)
