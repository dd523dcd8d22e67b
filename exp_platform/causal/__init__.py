"""Which method the data allow, and effects where treatment was not randomised."""

from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.event_study import (
    NoveltyTrend,
    assess_novelty,
    estimate_deltas,
)
from exp_platform.causal.identification import choose_methods, refuse_method
from exp_platform.causal.pretrends import assess_pretrends

__all__ = [
    "NoveltyTrend",
    "assess_novelty",
    "assess_pretrends",
    "choose_methods",
    "estimate_deltas",
    "estimate_did",
    "panel_of",
    "refuse_method",
]
