"""Read the platform's tables with plain PyIceberg and with DuckDB, nothing of ours.

Run it after `make demo`: `.venv/bin/python examples/read_tables.py [warehouse folder]`.
"""

import sys
from pathlib import Path

import duckdb
from pyiceberg.catalog.sql import SqlCatalog


def main() -> None:
    warehouse = Path(sys.argv[1] if len(sys.argv) > 1 else "data/warehouse").resolve()
    catalog = SqlCatalog(
        "iceberg",
        uri=f"sqlite:///{warehouse / 'catalog.db'}",
        warehouse=warehouse.as_uri(),
    )
    print("PyIceberg")
    for identifier in sorted(catalog.list_tables("exp")):
        rows = catalog.load_table(identifier).scan().count()
        print(f"  {'.'.join(identifier):<34}{rows:>10,} rows")

    print("DuckDB, over the files PyIceberg plans")
    results = catalog.load_table("exp.analysis_results")
    files = [task.file.file_path for task in results.scan().plan_files()]
    answer = duckdb.execute(
        "select experiment_id, metric_name, treatment, method, round(relative_lift, 4), p_value"
        " from read_parquet($files)"
        " where role = 'primary' and segment = 'all' and status = 'OK'"
        " order by experiment_id, metric_name",
        {"files": files},
    )
    for experiment, metric, arm, method, lift, p_value in answer.fetchall():
        print(
            f"  {experiment:<26}{metric:<28}{arm:<14}{method:<14}"
            f"{lift:>+9.2%}  p = {p_value:.2g}"
        )


if __name__ == "__main__":
    main()
