"""What `exp power` is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exp_platform.pipelines.plan_looks import LookRequest
from exp_platform.stats.design import Design


@dataclass(frozen=True, slots=True)
class PowerRequest:
    """What the flags of `exp power` say.

    Attributes:
        baseline: control mean, rate, ratio or quantile. sd: of one unit's value; of a
            ratio linearised, of a quantile its standard error x the root of its units.
        mde: wanted effect relative to the baseline; difference: the same, absolute.
        margin: relative non-inferiority margin; makes it a guardrail.
        units: units of all arms, to ask what they can find.
        experiment_id, metric: take the noise from past data instead.
        looks: before the end; from past data what is not said is as registered.
        cluster_size, cluster_icc: units of a cluster and their intra-class correlation,
            where whole clusters will be assigned; the numbers are then by unit.
        design: arms and error rates; from past data only power, inflation and
            guardrails are read.
    """

    design: Design
    kind: str = "mean"
    baseline: float | None = None
    sd: float | None = None
    variance_ratio: float = 1.0
    mde: float | None = None
    difference: float | None = None
    margin: float | None = None
    is_decrease: bool = False
    units: int | None = None
    experiment_id: str | None = None
    metric: str | None = None
    looks: LookRequest = field(default_factory=LookRequest)
    cluster_size: float | None = None
    cluster_icc: float | None = None


@dataclass(frozen=True, slots=True)
class PowerAnswer:
    """The table, and the same as JSON values.

    Attributes:
        rows: one per metric, and one of the whole experiment where there are several.
        notes: sentences for people.
    """

    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """Rows and notes under their names."""
        return {"sizes": [dict(row) for row in self.rows], "notes": list(self.notes)}
