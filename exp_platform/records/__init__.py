"""The nouns of the platform: frozen records that every room hands on.

A record has no behaviour beyond what follows from its own fields. Numbers are plain
Python floats, instants are UTC datetimes, shares and rates run from 0 to 1.
"""

from exp_platform.records.findings import (
    AssignmentFacts,
    CheckResult,
    Decision,
    Details,
    Estimate,
    LedgerStage,
    MethodChoice,
    PretrendDelta,
    PretrendTest,
    Provenance,
)
from exp_platform.records.outcomes import (
    Assignment,
    CheckStatus,
    Direction,
    EstimateRole,
    EstimateStatus,
    MarginScale,
    MetricRole,
    MetricType,
    Outcome,
    PretrendOutcome,
    Verdict,
)
from exp_platform.records.plans import (
    AnalysisPlan,
    Covariate,
    ExperimentSpec,
    MetricDefinition,
    MetricPlan,
    Variant,
)
from exp_platform.records.totals import (
    AdjustmentTotals,
    ClusterTotals,
    GramTotals,
    MetricTotals,
    PanelTotals,
    QuantileTotals,
    TailTotals,
)

__all__ = [
    "AdjustmentTotals",
    "AnalysisPlan",
    "Assignment",
    "AssignmentFacts",
    "CheckResult",
    "CheckStatus",
    "ClusterTotals",
    "Covariate",
    "Decision",
    "Details",
    "Direction",
    "Estimate",
    "EstimateRole",
    "EstimateStatus",
    "ExperimentSpec",
    "GramTotals",
    "LedgerStage",
    "MarginScale",
    "MethodChoice",
    "MetricDefinition",
    "MetricPlan",
    "MetricRole",
    "MetricTotals",
    "MetricType",
    "Outcome",
    "PanelTotals",
    "PretrendDelta",
    "PretrendOutcome",
    "PretrendTest",
    "Provenance",
    "QuantileTotals",
    "TailTotals",
    "Variant",
    "Verdict",
]
