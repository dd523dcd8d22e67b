"""The lake: raw landing, Iceberg tables, the SQL engine. Importing it is cheap."""

from exp_platform.lake.engine import Engine
from exp_platform.lake.opening import open_lake
from exp_platform.lake.publication import Publication
from exp_platform.lake.raw import (
    RawFile,
    land_raw,
    raw_folder,
    validate_experiment_id,
    verify_raw,
)
from exp_platform.lake.settings import LakeSettings
from exp_platform.lake.snapshots import SnapshotState
from exp_platform.lake.states import (
    FileState,
    TableState,
    states_from_json,
    states_to_json,
)
from exp_platform.lake.warehouse import Lake

__all__ = [
    "Engine",
    "FileState",
    "Lake",
    "LakeSettings",
    "Publication",
    "RawFile",
    "SnapshotState",
    "TableState",
    "land_raw",
    "open_lake",
    "raw_folder",
    "states_from_json",
    "states_to_json",
    "validate_experiment_id",
    "verify_raw",
]
