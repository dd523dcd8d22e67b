"""`exp metrics export`: definitions as files of somebody's dbt project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exp_platform.errors import UsageError
from exp_platform.metrics.dbt_export import export_models
from exp_platform.metrics.definitions import load_definitions
from exp_platform.metrics.metricflow import export_semantic_model
from exp_platform.pipelines.metric_files import DIALECTS
from exp_platform.pipelines.segments import name_claim
from exp_platform.pipelines.shown import check_format

FORMATS = ("dbt", "metricflow")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        paths: files, all of them rewritten.
        left_out: metric -> why it is in none of them.
    """

    paths: tuple[Path, ...]
    left_out: Mapping[str, str]


def export_metrics(
    folder: Path,
    out: Path,
    *,
    output: str,
    segments: Sequence[str] = (),
    dialect: str = "duckdb",
) -> Exported:
    """Write the definitions of a folder for dbt or for MetricFlow.

    Args:
        folder: of the definitions.
        out: folder among the models of a dbt project; made if it is not there.
        output: dbt (models that the package reads) or metricflow (a semantic model).
        segments: attributes to drill down by (dbt).
        dialect: duckdb, spark or trino (dbt).

    Raises:
        UsageError: an unknown format or dialect, a segment called like something of
            ours, or nothing that can be written.
    """
    check_format(output, FORMATS)
    check_format(dialect, DIALECTS, what="dialect")
    for name in segments:
        if claim := name_claim(name):
            raise UsageError(
                f"segment {name!r} cannot be told from {claim}",
                where="--segment",
                next_step="give the attribute another name",
            )
    definitions = load_definitions(folder)
    if not definitions:
        raise UsageError("no metric definition there", where=str(folder))
    left_out: Mapping[str, str] = {}
    if output == "dbt":
        files: Mapping[str, str] = export_models(
            definitions, segments=segments, dialect=dialect
        )
    else:
        semantic = export_semantic_model(definitions)
        files, left_out = semantic.files, semantic.left_out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, "utf-8")
    return Exported(tuple(out / name for name in files), left_out)
