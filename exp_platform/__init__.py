"""Experimentation and causal inference: events in, a decision you can trust out.

The public functions live in `exp_platform.analysis` (a data frame or moments in, records
out) and `exp_platform.api` (stored experiments). They are handed on lazily, so that
importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "BetaPrior",
    "Design",
    "Estimate",
    "MetricTotals",
    "NormalPrior",
    "__version__",
    "adjust",
    "aipw",
    "bayes",
    "bootstrap",
    "cace",
    "check_results",
    "check_srm",
    "cluster_means",
    "compare",
    "cuped",
    "decisions",
    "did",
    "equivalence",
    "event_study",
    "interactions",
    "lin",
    "mde",
    "moments",
    "noise",
    "non_inferiority",
    "post_stratify",
    "power",
    "proportion",
    "quantile",
    "ratio",
    "results",
    "run",
    "sample_size",
    "segments",
    "sensitivity",
    "sequential",
    "staggered",
    "synthetic_control",
    "track_srm",
]

_ROOMS = {
    "analysis.adjustments": ("cluster_means", "cuped", "lin", "post_stratify"),
    "analysis.comparisons": (
        "bootstrap",
        "compare",
        "moments",
        "proportion",
        "quantile",
        "ratio",
    ),
    "analysis.conclusions": (
        "adjust",
        "bayes",
        "equivalence",
        "non_inferiority",
        "segments",
    ),
    "analysis.designs": ("aipw", "cace"),
    "analysis.looks": ("sequential",),
    "analysis.panels": (
        "did",
        "event_study",
        "sensitivity",
        "staggered",
        "synthetic_control",
    ),
    "analysis.planning": ("mde", "noise", "power", "sample_size"),
    "analysis.split": ("check_srm", "track_srm"),
    "api": ("check_results", "decisions", "interactions", "results", "run"),
    "records": ("Estimate", "MetricTotals"),
    "stats.bayes": ("NormalPrior",),
    "stats.bayes_binomial": ("BetaPrior",),
    "stats.design": ("Design",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Hand on a public function on its first use (PEP 562)."""
    if name in _HOME:
        return getattr(import_module(f"exp_platform.{_HOME[name]}"), name)
    raise AttributeError(f"module 'exp_platform' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
