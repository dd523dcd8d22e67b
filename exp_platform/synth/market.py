"""Markets of a policy roll-out: the clusters that get the treatment as a whole."""

from dataclasses import dataclass

import numpy as np

from exp_platform.config import Scenario
from exp_platform.synth.arrays import Flags, Floats
from exp_platform.synth.randomness import Streams

_LEVEL_SHAPE = 2.0  # gamma
_LEVEL_MEAN = 0.3  # of the purchase rate of a market of level 0
_SELECTION_NOISE = 0.15
_SHOCK_SD = 0.05


@dataclass(frozen=True, slots=True)
class Markets:
    """One value per market, shape (n_clusters,).

    Attributes:
        level: extra purchases, the same number on every day, relative to the
            average day of a market of level 0.
        is_treated: the market gets the treatment; chosen for its level.
        shocks: factor on purchases by market and day, shape (n_clusters, n_days).
    """

    level: Floats
    is_treated: Flags
    shocks: Floats


def draw_markets(scenario: Scenario, n_days: int, streams: Streams) -> Markets:
    """Draw markets of which the stronger ones tend to be treated."""
    rng = streams.open("markets")
    n = scenario.n_clusters
    level = rng.gamma(_LEVEL_SHAPE, _LEVEL_MEAN / _LEVEL_SHAPE, n)
    appeal = level + rng.normal(0.0, _SELECTION_NOISE, n)
    n_treated = min(max(round(scenario.treatment_share * n), 1), n - 1)
    is_treated = np.zeros(n, dtype=bool)
    is_treated[np.argsort(-appeal, kind="stable")[:n_treated]] = True
    shocks = np.exp(rng.normal(-(_SHOCK_SD**2) / 2, _SHOCK_SD, (n, n_days)))
    return Markets(level, is_treated, shocks)
