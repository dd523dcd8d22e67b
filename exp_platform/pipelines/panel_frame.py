"""A panel in a data frame or a file to estimates, by the same steps as an imported one."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from exp_platform.causal.panel_rules import choose_panel_methods
from exp_platform.errors import UsageError
from exp_platform.lake import Engine, LakeSettings
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.delivered_file import ROW_NUMBER, open_file
from exp_platform.pipelines.frames import to_arrow
from exp_platform.pipelines.panel_data import PanelMetric, PanelSource, load_panel
from exp_platform.pipelines.panel_estimates import estimate_panel_metric, find_facts
from exp_platform.pipelines.panel_layout import (
    define_metrics,
    describe_panel,
    lay_out_panel,
)
from exp_platform.pipelines.panel_request import (
    PanelLayout,
    PanelRequest,
    check_panel_request,
)
from exp_platform.pipelines.panel_rows import count_unplaced, unit_of
from exp_platform.records import Estimate, MetricDefinition

FRAME = Path("frame")
"""What errors name instead of a file."""


def analyze_frame(
    frame: Any, request: PanelRequest, *, alpha: float
) -> tuple[Estimate, ...]:
    """Every metric of the frame by every method the panel allows.

    Args:
        frame: one row per unit and period; pandas, Polars, Arrow or a DuckDB relation,
            or the path of a Parquet or CSV file.
        request: the mapping of columns.
        alpha: two-sided error rate of the intervals.

    Raises:
        UsageError: a column or a period that does not exist, or values that are no
            numbers.
        ContractError: rows that are no panel.
    """
    with open_panel(frame, request, alpha=alpha) as panels:
        return tuple(
            estimate
            for metric, definition in panels
            for estimate in estimate_panel_metric(
                metric, definition, choose_panel_methods(find_facts(metric))
            )
        )


@contextmanager
def open_panel(
    frame: Any, request: PanelRequest, *, alpha: float
) -> Iterator[list[tuple[PanelMetric, MetricDefinition]]]:
    """The panel of every metric, readable until the block ends.

    Args:
        frame: as `analyze_frame`.
        request: the mapping of columns.
        alpha: two-sided error rate of the intervals.

    Raises:
        UsageError: a column or a period that does not exist, or values that are no
            numbers.
        ContractError: rows that are no panel.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = LakeSettings(root, root / "catalog.db", root, root)
        with Engine(settings) as engine:
            file = Path(frame) if isinstance(frame, str | Path) else FRAME
            columns = _open(engine, frame, request)
            check_panel_request(request, columns, file)
            yield _load(engine, request, alpha, file)


def _open(engine: Engine, frame: Any, request: PanelRequest) -> Mapping[str, str]:
    """Make the rows readable as `exp_run.delivered`; numbered where each is a unit."""
    is_numbered = request.unit is None
    if isinstance(frame, str | Path):
        names = [name for name in (request.unit, request.cluster) if name]
        return open_file(engine, Path(frame), as_text=names, is_numbered=is_numbered)
    table = to_arrow(frame)
    engine.register("exp_run.frame", table)
    if is_numbered:
        engine.execute(
            "create table exp_run.delivered as\n"
            f"select *, row_number() over () as {ROW_NUMBER} from exp_run.frame"
        )
    else:
        engine.create_view("exp_run.delivered", "select * from exp_run.frame")
    return dict.fromkeys(table.column_names, "")


def _load(
    engine: Engine, request: PanelRequest, alpha: float, file: Path
) -> list[tuple[PanelMetric, MetricDefinition]]:
    _check_values(engine, request)
    layout, _ = lay_out_panel(engine, request, file, is_ordered=False)
    spec = describe_panel(engine, "", request, layout)
    spec = replace(spec, plan=replace(spec.plan, alpha=alpha))
    metrics = load_panel(engine, spec, _find_panel(engine, request, layout))
    definitions = define_metrics(request)
    return [(metric, definitions[name]) for name, metric in metrics.items()]


def _check_values(engine: Engine, request: PanelRequest) -> None:
    for column in request.outcomes.values():
        if _has_finite_ends(engine, column):
            continue
        value, number = identifier(column), f"try_cast({identifier(column)} as double)"
        broken = engine.rows(
            f"select cast({value} as varchar) from exp_run.delivered\n"
            f"where {value} is not null and not coalesce(isfinite({number}), false)\n"
            f"    and not coalesce(isnan({number}), false) limit 1"
        )
        if broken:
            raise UsageError(
                f"column {column!r} holds a value that is no number",
                found=repr(broken[0][0]),
                next_step="remove or repair these rows",
            )


def _has_finite_ends(engine: Engine, column: str) -> bool:
    """Is the column a float whose least and largest value are numbers?

    No value between is infinite then, and a Parquet file knows its ends unread. A NaN
    counts as the largest: whatever hides behind it is then looked for.
    """
    kind = (
        "select column_type from (describe exp_run.delivered)\n"
        f"where column_name = {text(column)}"
    )
    if engine.rows(kind) not in ([("DOUBLE",)], [("FLOAT",)]):
        return False
    value = identifier(column)
    ends = engine.rows(f"select min({value}), max({value}) from exp_run.delivered")[0]
    return all(end is not None and math.isfinite(end) for end in ends)


def _find_panel(
    engine: Engine, request: PanelRequest, layout: PanelLayout
) -> PanelSource:
    """The panel as it was delivered, after `lay_out_panel`."""
    cluster = "coalesce(cast(cluster as varchar), cast(unit as varchar))"
    covariates = "".join(f", x{i}" for i in range(len(layout.covariates)))
    units = (
        f"select unit, {cluster if request.cluster else 'unit'} as cluster,\n"
        "    cast(cohort_no as double) as cohort, cast(weight as double) as weight"
        f"{covariates}\nfrom exp_run.panel_units"
    )
    cells = {
        name: (
            f"select d.{unit_of(request)} as unit, t.period_no,\n"
            f"    try_cast(d.{identifier(column)} as double) as value\n"
            "from exp_run.delivered as d inner join exp_run.panel_times as t\n"
            f"    on d.{identifier(request.time)} = t.value"
        )
        for name, column in request.outcomes.items()
    }
    return PanelSource(
        layout,
        units,
        cells,
        n_unplaced=count_unplaced(engine),
        has_clusters=request.cluster is not None,
    )
