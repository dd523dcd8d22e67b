"""What one refresh of an experiment's totals did, and how far they are complete."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """One refresh.

    Attributes:
        watermark_ts: event time up to which the totals are complete.
        full_reason: why everything was read; None after an incremental refresh.
        n_files: data files counted. n_files_read: those read now.
        n_units: units with a first exposure. n_units_touched: new or changed ones.
        n_cohorts_computed: cohorts of some metric that were computed again.
        in_full: metrics whose rows are all read again, with the reason.
        batch: number of the refresh since the last full pass, which is 1.
    """

    experiment_id: str
    watermark_ts: datetime
    full_reason: str | None
    n_files: int
    n_files_read: int
    n_units: int
    n_units_touched: int
    n_cohorts_computed: int
    in_full: Mapping[str, str]
    batch: int
