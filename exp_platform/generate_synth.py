"""Generate a synthetic experiment: a scenario of the configuration into raw Parquet.

`python -m exp_platform.generate_synth --config configs/dev.yaml --experiment-id ID`
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from exp_platform.config import DEFAULT_CONFIG, Settings, load_settings
from exp_platform.errors import ExpPlatformError, UsageError

TARGETS = ("local", "minio")


def generate_synth(
    settings: Settings, experiment_id: str, *, target: str | None = None
) -> Path:
    """Generate an experiment and land its tables, events and truth in the raw area.

    Args:
        settings: the configuration that holds the scenario.
        experiment_id: key under `experiments:`.
        target: where the raw area must be, `local` or `minio` (any S3 server); None =
            as configured.

    Returns:
        The experiment's raw folder.

    Raises:
        UsageError: no such scenario, an impossible one, or a target that is not there.
        StorageError: the files could not be written.
    """
    _check_target(settings, target)
    settings.scenario(experiment_id)
    from exp_platform.lake import open_lake

    with open_lake(settings) as lake, lake.experiment_lock(experiment_id):
        return land_synth(settings, experiment_id)


def land_synth(settings: Settings, experiment_id: str) -> Path:
    """The same for those who hold the experiment's lock.

    Args:
        settings: the configuration that holds the scenario.
        experiment_id: key under `experiments:`.
    """
    scenario = settings.scenario(experiment_id)
    from exp_platform.lake import land_raw, open_lake
    from exp_platform.synth import generate_experiment

    experiment = generate_experiment(experiment_id, scenario)
    folders = []
    if experiment.events:
        from exp_platform.lake.events import land_events

        folders.append(
            land_events(settings.paths.raw, experiment_id, experiment.events)
        )
    folder = land_raw(
        settings.paths.raw,
        experiment_id,
        experiment.tables,
        documents={"truth": experiment.truth},
    )
    if settings.remote is not None:
        with open_lake(settings) as lake:
            for landed in (*folders, folder):
                lake.send_raw(landed)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _read_options(arguments)
    try:
        folder = generate_synth(
            load_settings(options.config), options.experiment_id, target=options.target
        )
    except ExpPlatformError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's own output
        return error.exit_code
    print(folder)  # noqa: T201 - the command's own output
    return 0


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m exp_platform.generate_synth",
        description="Generate a synthetic experiment as raw Parquet, with its truth.",
    )
    parser.add_argument("--config", default=DEFAULT_CONFIG, help="configuration file")
    parser.add_argument("--experiment-id", required=True, help="scenario to generate")
    parser.add_argument("--target", help="local or minio; default: as configured")
    return parser.parse_args(arguments)


def _check_target(settings: Settings, target: str | None) -> None:
    """The configuration decides; a target that says otherwise is a mistake."""
    if target is None:
        return
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}", allowed=" or ".join(TARGETS))
    own = "local" if settings.remote is None else "minio"
    if target != own:
        raise UsageError(
            f"the configuration's raw area is not {target!r}",
            found=f"environment {settings.environment}: {own}",
            next_step="pass --config configs/stack.yaml"
            if target == "minio"
            else "leave --target out",
        )


if __name__ == "__main__":
    sys.exit(main())
