"""A panel in a data frame to estimates, by the same steps as an imported one."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from exp_platform.causal.panel_rules import choose_panel_methods
from exp_platform.errors import ContractError
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.definitions import parse_definition
from exp_platform.pipelines.analyze_panel import estimate_panel_metric, find_facts
from exp_platform.pipelines.frames import to_arrow
from exp_platform.pipelines.import_panel import lay_out_panel, panel_tables
from exp_platform.pipelines.import_rows import ROW_NUMBER
from exp_platform.pipelines.panel_data import load_panel
from exp_platform.pipelines.panel_request import PanelRequest, check_panel_request
from exp_platform.pipelines.registry import read_json, read_spec
from exp_platform.records import Estimate

FRAME = Path("frame")
"""What errors name instead of a file."""


def analyze_frame(
    frame: Any, request: PanelRequest, *, alpha: float
) -> tuple[Estimate, ...]:
    """Every metric of the frame by every method the panel allows.

    Args:
        frame: one row per unit and period; pandas, Polars, Arrow or a DuckDB relation.
        request: the mapping of columns.
        alpha: two-sided error rate of the intervals.

    Raises:
        UsageError: a column or a period that does not exist.
        ContractError: rows that are no panel, or values that are no numbers.
    """
    table = to_arrow(frame)
    columns = dict.fromkeys(table.column_names, "")
    check_panel_request(request, columns, FRAME)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = LakeSettings(root, root / "catalog.db", root, root)
        with Engine(settings) as engine:
            engine.register("exp_run.frame", table)
            engine.execute(
                "create table exp_run.delivered as\n"
                f"select *, row_number() over () as {ROW_NUMBER} from exp_run.frame"
            )
            return _analyze(engine, request, alpha)


def _analyze(
    engine: Engine, request: PanelRequest, alpha: float
) -> tuple[Estimate, ...]:
    layout, _ = lay_out_panel(engine, request, FRAME)
    tables = panel_tables(engine, "frame", request, layout, FRAME)
    engine.register("exp.exposures", tables["exposures"])
    engine.register("exp_run.values", tables["outcomes"])
    broken = engine.rows(
        "select metric_name, value from exp_run.values where value is not null\n"
        "    and not coalesce(isfinite(try_cast(value as double)), false)\n"
        "    and lower(value) <> 'nan' limit 1"
    )
    if broken:
        raise ContractError(
            f"column {request.outcomes[broken[0][0]]!r} holds a value that is no number",
            found=repr(broken[0][1]),
            next_step="remove or repair these rows",
        )
    engine.execute(
        "create view exp.outcomes as select * replace (cast(value as double) as value)\n"
        "from exp_run.values where value is not null and lower(value) <> 'nan'"
    )
    row = tables["experiment_registry"].to_pylist()[0]
    spec = read_spec(row)
    spec = replace(spec, experiment_id="", plan=replace(spec.plan, alpha=alpha))
    documents = read_json(row["definitions"], "definitions", "frame")
    metrics = load_panel(engine, spec, layout, {name: name for name in documents})
    return tuple(
        estimate
        for name, metric in metrics.items()
        for estimate in estimate_panel_metric(
            metric,
            parse_definition(documents[name], "frame"),
            choose_panel_methods(find_facts(metric)),
        )
    )
