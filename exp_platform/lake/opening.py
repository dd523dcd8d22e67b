"""From a configuration to the lake it names."""

from typing import TYPE_CHECKING

from exp_platform.lake.settings import LakeSettings, ObjectStore, RemoteLake
from exp_platform.lake.warehouse import Lake

if TYPE_CHECKING:
    # The parser of configurations is slow to import, and needless without one.
    from exp_platform.config import Settings


def open_lake(settings: "Settings") -> Lake:
    """The lake a configuration names."""
    paths, remote = settings.paths, settings.remote
    return Lake(
        LakeSettings(
            warehouse=paths.warehouse,
            catalog=paths.catalog,
            raw=paths.raw,
            temp_directory=paths.temp,
            memory_limit=settings.engine.memory_limit,
            threads=settings.engine.threads,
            remote=None
            if remote is None
            else RemoteLake(
                catalog=remote.catalog,
                warehouse=remote.warehouse,
                raw=remote.raw,
                store=ObjectStore(remote.endpoint, remote.region),
                rest_warehouse=remote.rest_warehouse,
            ),
        )
    )
