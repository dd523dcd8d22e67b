"""What an estimator has to know beside the totals."""

from dataclasses import dataclass
from functools import lru_cache

from exp_platform.records import EstimateRole, MetricDefinition


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """How one comparison is to be estimated.

    The segment is not a setting: it comes with the totals.

    Attributes:
        definition: the metric's contract; its version and hash are stored in the row.
        role: primary, secondary or diagnostic, as the router chose it.
        alpha: two-sided error rate of the interval, 0 to 1.
        min_units_per_arm: units below which an arm is INSUFFICIENT_DATA.
        is_clustered: treatment was assigned to clusters of units; totals of single
            units are refused then.
    """

    definition: MetricDefinition
    role: EstimateRole = EstimateRole.PRIMARY
    alpha: float = 0.05
    min_units_per_arm: int = 100
    is_clustered: bool = False

    @property
    def metric_version(self) -> str:
        """Version and content hash of the definition, as stored in the row."""
        return _name_version(self.definition)


@lru_cache(maxsize=1024)
def _name_version(definition: MetricDefinition) -> str:
    return definition.metric_version
