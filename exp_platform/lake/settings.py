"""Where the embedded tier keeps its files and how much memory its engine may use."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """Places and limits of one warehouse.

    Attributes:
        warehouse: folder of the Iceberg tables (data and metadata).
        catalog: SQLite file with one pointer per table.
        raw: folder of delivered files.
        temp_directory: where the engine spills.
        memory_limit: of the engine, with unit, e.g. `4GB`.
        threads: of the engine; None = one per core.
    """

    warehouse: Path
    catalog: Path
    raw: Path
    temp_directory: Path
    memory_limit: str = "4GB"
    threads: int | None = None
