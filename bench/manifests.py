"""CPU time to read a table's manifests: PyIceberg's reader beside the remembered one.

    python bench/manifests.py [--manifests 20]

A table gets one data file and one manifest per append, as other writers leave it. Both
readers take turns; medians, in milliseconds per Avro file.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyiceberg.manifest
from pyiceberg.avro.file import AvroFile
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType, NestedField, StringType, TimestamptzType

from exp_platform.lake.avro import remember_schemas

REPEATS = 25


def make_table(folder: Path, n_manifests: int) -> Any:
    """Shaped like `outcomes`: one partition, rows of a day in each append."""
    catalog = SqlCatalog(
        "iceberg", uri=f"sqlite:///{folder}/catalog.db", warehouse=str(folder)
    )
    catalog.create_namespace("exp")
    schema = Schema(
        NestedField(1, "experiment_id", StringType()),
        NestedField(2, "user_id", StringType()),
        NestedField(3, "metric_name", StringType()),
        NestedField(4, "value", DoubleType()),
        NestedField(5, "outcome_ts", TimestamptzType()),
    )
    spec = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "experiment_id"))
    table = catalog.create_table("exp.outcomes", schema, partition_spec=spec)
    row = {"experiment_id": "exp_a", "user_id": "u", "metric_name": "m", "value": 1.0}
    rows = pa.Table.from_pylist(
        [{**row, "outcome_ts": None}], schema=table.schema().as_arrow()
    )
    for _ in range(n_manifests):
        table.append(rows)
    return table


def read(table: Any) -> int:
    """Avro files read: the list and its manifests."""
    manifests = table.current_snapshot().manifests(table.io)
    n_entries = sum(len(one.fetch_manifest_entry(table.io)) for one in manifests)
    assert n_entries == len(manifests)
    return 1 + len(manifests)


def per_file(table: Any) -> float:
    began = time.process_time()
    n_files = read(table)
    return 1e3 * (time.process_time() - began) / n_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=int, default=20)
    n_manifests = parser.parse_args().manifests
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        table = make_table(Path(folder), n_manifests)
        for _ in range(REPEATS):
            pyiceberg.manifest.AvroFile = AvroFile
            theirs.append(per_file(table))
            remember_schemas()
            ours.append(per_file(table))
    a, b = statistics.median(theirs), statistics.median(ours)
    print(f"PyIceberg {a:.2f} ms, remembered {b:.2f} ms, {a / b:.0f}x per file")


if __name__ == "__main__":
    main()
