"""Experiments generated once per test run, and their rows as arrays."""

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from exp_platform.config import Scenario
from exp_platform.synth import generate_experiment

EXPERIMENT_ID = "exp_under_test"
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Delivered:
    """Tables, truth, and per unit the first exposure in days since the start."""

    scenario: Scenario
    exposures: pa.Table
    outcomes: pa.Table
    registry: dict
    truth: dict

    @property
    def start_us(self):
        return int(self.registry["start_ts"].timestamp()) * 1_000_000

    def days(self, instants):
        """Instants as days since the start."""
        return (instants.cast("int64").to_numpy() - self.start_us) / DAY_US

    def users(self, table):
        """User of each row, as a number."""
        digits = pc.utf8_slice_codeunits(table["user_id"], 1)
        return pc.cast(digits, pa.int64()).to_numpy()

    @property
    def first_exposure(self):
        """Day of the first exposure by user; infinite when there is none."""
        day = np.full(self.scenario.n_users, np.inf)
        exposed = self.days(self.exposures["exposure_ts"])
        np.minimum.at(day, self.users(self.exposures), exposed)
        return day

    @property
    def is_treated(self):
        """Arm of the first exposure; False for a user that is not exposed."""
        treated = np.zeros(self.scenario.n_users, dtype=bool)
        user = self.users(self.exposures)
        day = self.days(self.exposures["exposure_ts"])
        arm = pc.equal(self.exposures["variant"], "treatment").to_numpy()
        latest_first = np.argsort(-day, kind="stable")
        treated[user[latest_first]] = arm[latest_first]
        return treated

    def rows(self, metric):
        """User, day and value of a metric's rows."""
        found = self.outcomes.filter(pc.equal(self.outcomes["metric_name"], metric))
        return (
            self.users(found),
            self.days(found["outcome_ts"]),
            found["value"].to_numpy(),
        )

    def user_values(self, metric):
        """User and value of a metric's rows."""
        user, _, value = self.rows(metric)
        return user, value

    def sums(self, metric, *, since=None, until=None):
        """Sum per exposed user from exposure on, or in days before it."""
        user, day, value = self.rows(metric)
        exposure = self.first_exposure
        relative = day - exposure[user]
        low = 0 if since is None else since
        high = np.inf if until is None else until
        counts = (relative >= low) & (relative < high)
        sums = np.bincount(user[counts], value[counts], self.scenario.n_users)
        return sums[np.isfinite(exposure)]

    @property
    def arms(self):
        """Arm of each exposed user, in the order of `sums`."""
        return self.is_treated[np.isfinite(self.first_exposure)]


@cache
def _generate(changes):
    scenario = Scenario(**json.loads(changes))
    experiment = generate_experiment(EXPERIMENT_ID, scenario)
    return Delivered(
        scenario,
        experiment.tables["exposures"],
        experiment.tables["outcomes"],
        experiment.tables["experiment_registry"].to_pylist()[0],
        experiment.truth,
    )


@pytest.fixture(scope="session")
def deliver():
    """Generate a scenario, by default a small clean one with an effect."""

    def generate(**changes):
        base = {
            "days": 14,
            "n_users": 6000,
            "base_conversion": 0.2,
            "effect_lift_conversion": 0.05,
        }
        return _generate(json.dumps({**base, **changes}, sort_keys=True))

    return generate


@pytest.fixture(scope="session")
def clean(deliver):
    return deliver()
