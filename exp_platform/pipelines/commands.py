"""Command lines of the stage modules: the same two options, the same errors."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from exp_platform.config import load_settings
from exp_platform.pipelines.interrupts import end_command
from exp_platform.pipelines.run import Run, open_run


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--config` and `--experiment-id`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", required=True, help="configs/<env>.yaml")
    parser.add_argument("--experiment-id", required=True, help="the experiment")
    return parser


def run_stage(name: str, stage: Callable[[Run], Any]) -> int:
    """Run one stage alone and publish what it wrote."""
    arguments = stage_parser(f"Run the stage {name} alone.").parse_args()

    def action() -> int:
        """Run the stage and publish."""
        settings = load_settings(arguments.config)
        with open_run(settings, arguments.experiment_id, name) as run:
            stage(run)
            provenance = run.publish()
        sys.stdout.write(
            f"{name}: {arguments.experiment_id} done, run {provenance.run_id}\n"
        )
        return 0

    return end_command(action)
