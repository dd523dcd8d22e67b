"""Users and what does not change about them."""

from dataclasses import dataclass

import numpy as np

from exp_platform.config import Scenario
from exp_platform.synth.arrays import Flags, Floats, Ints
from exp_platform.synth.market import Markets
from exp_platform.synth.randomness import Streams

COUNTRIES = ("DE", "FR", "GB", "SE", "US")
PLATFORMS = ("web", "ios", "android")

_COUNTRY_SHARES = (0.20, 0.15, 0.20, 0.10, 0.35)
_PLATFORM_SHARES = (0.50, 0.22, 0.28)
_PLATFORM_PROPENSITY = (1.0, 1.2, 0.9)
_ACTIVITY_SHAPE = 4.0  # gamma: variance of activity = 1 / shape
_PROPENSITY_SD = 1.2  # of the logarithm
_ORDER_SCALE_SD = 0.5  # of the logarithm
_NEEDINESS_SD = 0.5  # of the logarithm


@dataclass(frozen=True, slots=True)
class Population:
    """One value per user, shape (n_users,); scales have mean 1.

    Attributes:
        activity: scale of the number of visits.
        propensity: scale of purchases per visit.
        order_scale: scale of the value of an order.
        neediness: scale of support contacts per visit.
        country, platform, market: positions in their lists; market is 0 for all
            when there are no markets.
        is_treated: the user's arm, exposed or not.
    """

    activity: Floats
    propensity: Floats
    order_scale: Floats
    neediness: Floats
    country: Ints
    platform: Ints
    market: Ints
    is_treated: Flags

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self.activity.size


def draw_population(
    scenario: Scenario, markets: Markets | None, streams: Streams
) -> Population:
    """Draw the users of the product and their arms."""
    n = scenario.n_users
    traits = streams.open("traits")
    platform = _choose(_PLATFORM_SHARES, n, streams.open("platform"))
    market = _draw_market(markets, n, streams.open("market of a user"))
    propensity = _draw_scale(_PROPENSITY_SD, n, traits)
    return Population(
        activity=traits.gamma(_ACTIVITY_SHAPE, 1 / _ACTIVITY_SHAPE, n),
        propensity=propensity * np.asarray(_PLATFORM_PROPENSITY)[platform],
        order_scale=_draw_scale(_ORDER_SCALE_SD, n, traits),
        neediness=_draw_scale(_NEEDINESS_SD, n, traits),
        country=_choose(_COUNTRY_SHARES, n, streams.open("country")),
        platform=platform,
        market=market,
        is_treated=_draw_arms(scenario, markets, market, streams),
    )


def _draw_scale(log_sd: float, n: int, rng: np.random.Generator) -> Floats:
    return np.exp(rng.normal(-(log_sd**2) / 2, log_sd, n))


def _choose(shares: tuple[float, ...], n: int, rng: np.random.Generator) -> Ints:
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")


def _draw_market(markets: Markets | None, n: int, rng: np.random.Generator) -> Ints:
    if markets is None:
        return np.zeros(n, dtype=np.int64)
    return rng.integers(0, markets.level.size, n)


def _draw_arms(
    scenario: Scenario, markets: Markets | None, market: Ints, streams: Streams
) -> Flags:
    if markets is not None:
        return markets.is_treated[market]
    return streams.open("arm").random(market.size) < scenario.treatment_share
