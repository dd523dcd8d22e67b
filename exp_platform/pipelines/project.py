"""The files a project starts from: configs, metrics and the dbt project."""

import shutil
from importlib import resources
from pathlib import Path

from exp_platform.errors import UsageError
from exp_platform.lake.files import storage_error

PARTS = ("configs", "metrics", "dbt")
_LEFT_OUT = shutil.ignore_patterns(
    "target", "logs", "dbt_packages", "__pycache__", ".*"
)


def lay_out_project(folder: Path) -> list[Path]:
    """Copy the starting files into a folder.

    Args:
        folder: made if it is not there; must not hold a project already.

    Returns:
        The folders written.

    Raises:
        UsageError: one of them exists.
        StorageError: the folder cannot be written.
    """
    for part in PARTS:
        if (folder / part).exists():
            raise UsageError(
                f"{part}/ exists already",
                where=str(folder.resolve()),
                next_step="run `exp init` in an empty folder",
            )
    source = _source()
    try:
        for part in PARTS:
            shutil.copytree(source / part, folder / part, ignore=_LEFT_OUT)
    except OSError as error:
        raise storage_error(error, folder) from error
    return [folder / part for part in PARTS]


def _source() -> Path:
    """Package data of an installed wheel, or the checkout the package runs from."""
    package = Path(str(resources.files("exp_platform")))
    packed = package / "project"
    return packed if packed.is_dir() else package.parent
