"""Experimentation and causal inference: events in, a decision you can trust out.

The public functions live in `exp_platform.analysis` (a data frame or moments in, records
out) and `exp_platform.api` (stored experiments). They are handed on lazily, so that
importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exp_platform.analysis.adjustments import (
        cluster_means,
        cuped,
        lin,
        post_stratify,
    )
    from exp_platform.analysis.comparisons import (
        bootstrap,
        capped,
        compare,
        moments,
        proportion,
        quantile,
        ratio,
    )
    from exp_platform.analysis.conclusions import (
        adjust,
        bayes,
        equivalence,
        interaction,
        non_inferiority,
        segments,
    )
    from exp_platform.analysis.designs import aipw, cace
    from exp_platform.analysis.looks import sequential
    from exp_platform.analysis.panels import (
        did,
        event_study,
        sensitivity,
        staggered,
        synthetic_control,
    )
    from exp_platform.analysis.planning import mde, noise, power, sample_size
    from exp_platform.analysis.split import check_srm, track_srm
    from exp_platform.api import (
        check_results,
        decisions,
        interactions,
        refresh,
        results,
        run,
    )
    from exp_platform.records import Estimate, MetricTotals
    from exp_platform.stats.bayes import NormalPrior
    from exp_platform.stats.bayes_binomial import BetaPrior
    from exp_platform.stats.design import Design

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
    "capped",
    "check_results",
    "check_srm",
    "cluster_means",
    "compare",
    "cuped",
    "decisions",
    "did",
    "equivalence",
    "event_study",
    "interaction",
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
    "refresh",
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
        "capped",
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
        "interaction",
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
    "api": ("check_results", "decisions", "interactions", "refresh", "results", "run"),
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
