"""`exp import`: one row per unit, one per outcome, or a panel becomes raw data."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from exp_platform.pipelines.import_file import Imported

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Configuration file.", show_default=False),
]


def import_experiment(  # noqa: PLR0917 - a flag is an argument here
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file.")],
    experiment_id: Annotated[str, typer.Option(help="Name of the experiment.")],
    variant: Annotated[str | None, typer.Option(help="Column with the arm.")] = None,
    control: Annotated[str | None, typer.Option(help="The baseline arm.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="COL or COL:type; repeatable.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Column with the unit; none = row number.")
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            help="METRIC=COL from before exposure; panel or self_selected: COL."
        ),
    ] = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="Column to drill down by.")
    ] = None,
    ratio: Annotated[list[str] | None, typer.Option(help="NAME=METRIC/METRIC.")] = None,
    guardrail: Annotated[
        list[str] | None, typer.Option(help="METRIC=MARGIN, relative, e.g. 0.02.")
    ] = None,
    guardrail_absolute: Annotated[
        list[str] | None, typer.Option(help="METRIC=MARGIN in units of the metric.")
    ] = None,
    monitor: Annotated[
        list[str] | None, typer.Option(help="Metric that decides nothing.")
    ] = None,
    cap: Annotated[
        list[str] | None, typer.Option(help="METRIC=LARGEST value of a unit.")
    ] = None,
    decrease: Annotated[
        list[str] | None, typer.Option(help="Metric for which less is better.")
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="ARM=planned share; panel: COL.")
    ] = None,
    exposure_ts: Annotated[
        str | None, typer.Option(help="Column with the instant of exposure.")
    ] = None,
    metric_column: Annotated[
        str | None, typer.Option(help="Long file: column with the metric's name.")
    ] = None,
    value_column: Annotated[
        str | None, typer.Option(help="Long file: column with the value.")
    ] = None,
    outcome_ts: Annotated[
        str | None, typer.Option(help="Long file: column with the outcome's instant.")
    ] = None,
    start: Annotated[datetime | None, typer.Option(help="First instant, UTC.")] = None,
    end: Annotated[
        datetime | None, typer.Option(help="Instant after the last.")
    ] = None,
    watermark: Annotated[
        datetime | None, typer.Option(help="The data are complete up to here, UTC.")
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=DAYS after exposure in which outcomes count."),
    ] = None,
    sequential: Annotated[
        str | None,
        typer.Option(help="group_sequential, confidence_sequence or fixed."),
    ] = None,
    spending: Annotated[
        str | None, typer.Option(help="obrien_fleming, pocock or power.")
    ] = None,
    planned_units: Annotated[
        int | None, typer.Option(help="Matured units planned, all arms.")
    ] = None,
    look_day: Annotated[
        list[int] | None,
        typer.Option(help="Look so many days after the first; repeatable, else daily."),
    ] = None,
    follow_up: Annotated[
        float | None, typer.Option(help="Days after --end until the last look.")
    ] = None,
    tie_break: Annotated[
        str | None, typer.Option(help="Goal that picks among shippable arms.")
    ] = None,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Equal rows are separate facts.")
    ] = False,
    received: Annotated[
        str | None,
        typer.Option(help="Column that is 1 where the unit received the treatment."),
    ] = None,
    assignment: Annotated[
        str | None,
        typer.Option(help="randomised (default), or self_selected if units chose."),
    ] = None,
    design: Annotated[
        str | None, typer.Option(help="did: a panel, one row per unit and period.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="Panel: the period.")] = None,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Panel: METRIC=COL; repeatable.")
    ] = None,
    cohort: Annotated[
        str | None,
        typer.Option(
            "--cohort",
            "--treated-from",
            help="Panel: column with the first treated period.",
        ),
    ] = None,
    treated: Annotated[
        str | None, typer.Option(help="Panel: COL with 0 and 1, or COL=VALUE.")
    ] = None,
    policy_date: Annotated[
        str | None, typer.Option(help="Panel: the treated are treated from here on.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Column with what was assigned, e.g. a city.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Bring in one row per unit, one per outcome, or a panel (--design did)."""
    from exp_platform import api
    from exp_platform.pipelines import panel_flags
    from exp_platform.pipelines.import_file import import_file
    from exp_platform.pipelines.import_flags import read_request
    from exp_platform.pipelines.import_panel import import_panel

    panel = {
        "--time": time,
        "--outcome": outcome,
        "--cohort": cohort,
        "--treated": treated,
        "--policy-date": policy_date,
    }
    shared = {
        "--unit": unit,
        "--control": control,
        "--weight": weight,
        "--covariate": covariate,
        "--decrease": decrease,
        "--cluster": cluster,
    }
    flat = {
        "--variant": variant,
        "--metric": metric,
        "--segment": segment,
        "--ratio": ratio,
        "--guardrail": guardrail,
        "--guardrail-absolute": guardrail_absolute,
        "--monitor": monitor,
        "--cap": cap,
        "--exposure-ts": exposure_ts,
        "--metric-column": metric_column,
        "--value-column": value_column,
        "--outcome-ts": outcome_ts,
        "--start": start,
        "--end": end,
        "--watermark": watermark,
        "--window": window,
        "--sequential": sequential,
        "--spending": spending,
        "--planned-units": planned_units,
        "--look-day": look_day,
        "--follow-up": follow_up,
        "--tie-break": tie_break,
        "--keep-duplicates": keep_duplicates,
        "--received": received,
    }
    if design is not None:
        foreign = {**flat, "--assignment": assignment}
        asked = panel_flags.read_panel_flags(
            design, {**panel, **shared}, foreign=foreign
        )
        done = import_panel(api.settings_of(config), file, experiment_id, asked)
    else:
        panel_flags.refuse_flags(panel, "an import without --design")
        came_by = assignment or "randomised"
        request = read_request({**flat, **shared}, assignment=came_by)
        done = import_file(api.settings_of(config), file, experiment_id, request)
    _tell_import(experiment_id, done)


def _tell_import(experiment_id: str, done: "Imported") -> None:
    typer.echo(f"{experiment_id}: {done.rows:,} rows landed in {done.folder}")
    for note in done.notes:
        typer.echo(f"  {note}")
    typer.echo(f"next: exp run {experiment_id}")
