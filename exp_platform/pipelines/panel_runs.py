"""Whether a run is of a ready-made panel, and which stages that leaves out."""

from collections.abc import Collection

from exp_platform.errors import UsageError
from exp_platform.pipelines.panel_request import PanelLayout, read_layout
from exp_platform.pipelines.run import STAGES, Run

REPLACED_STAGES = tuple(stage for stage in STAGES if stage != "dq")
"""Stages that work on rows by user and instant; the stage panel stands in for them."""


def find_layout(run: Run, *, skip: Collection[str] = ()) -> PanelLayout | None:
    """The layout of an experiment that is a ready-made panel, None for any other.

    Args:
        run: its engine holds the registry.
        skip: stages that the run leaves out.

    Raises:
        UsageError: a panel, and a stage is skipped that the stage panel stands in for.
    """
    rows = run.engine.rows("select panel from exp.experiment_registry")
    document = rows[0][0] if rows else None
    if document is None:
        return None
    refused = [stage for stage in REPLACED_STAGES if stage in skip]
    if refused:
        raise UsageError(
            f"{run.experiment_id} is a ready-made panel, estimated in one stage",
            where=f"skipped: {', '.join(refused)}",
            allowed="to skip dq: `exp run --skip dq`, or --skip-dq of the stages",
            next_step="leave the flag out; no table was changed",
        )
    return read_layout(str(document))


def require_rows_by_user(run: Run) -> None:
    """Refuse a ready-made panel: the stage works on rows by user and instant.

    Args:
        run: its engine holds the registry.

    Raises:
        UsageError: the experiment is a panel.
    """
    if find_layout(run) is not None:
        raise UsageError(
            f"{run.experiment_id} is a ready-made panel, estimated in one stage",
            where=f"stage {run.command}",
            allowed="analyze_panel, dq_report, write_memo, or `exp run`",
            next_step="run one of these; no table was changed",
        )
