"""Sizes where whole clusters are assigned: a cluster is the unit that is counted."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from exp_platform.errors import UsageError
from exp_platform.records import Estimate
from exp_platform.stats.cluster import BOOTSTRAP_BELOW, FEWEST_CLUSTERS, METHOD
from exp_platform.stats.design import Design, Noise

_COUNTS = ("n_control", "n_treatment", "n_total", "n_expected", "n_expected_null")


@dataclass(frozen=True, slots=True)
class Clusters:
    """What one cluster holds.

    Attributes:
        size: units; 1 = units are assigned one by one.
        icc: correlation of two units of a cluster, 0 to 1.
    """

    size: float = 1.0
    icc: float = 0.0

    @property
    def is_single(self) -> bool:
        """Units are assigned one by one."""
        return self.size == 1

    def noise_of(self, noise: Noise) -> Noise:
        """From the noise of a unit to that of a cluster's mean.

        References:
            Donner and Klar (2000), design effect 1 + (m - 1) rho of equal clusters.
        """
        if self.is_single:
            return noise
        effect = 1 + (self.size - 1) * self.icc
        return replace(noise, variance=noise.variance * effect / self.size, test="t")

    def design_of(self, design: Design) -> Design:
        """Traffic in clusters a day."""
        traffic = design.units_per_day
        if traffic is None or self.is_single:
            return design
        return replace(design, units_per_day=traffic / self.size)

    def units_of(self, units: int | None) -> int | None:
        """How many are counted when there are so many units, None as it is."""
        return None if units is None else round(units / self.size)

    def count(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row that counts clusters, in units."""
        found = dict(row)
        if self.is_single:
            return found
        found["n_clusters"] = found["n_total"]
        for name in _COUNTS:
            if found[name] is not None:
                found[name] = math.ceil(found[name] * self.size - 1e-6)
        return found

    def describe(self, rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """What a size by clusters rests on, and where it is too few of them."""
        if self.is_single:
            return ()
        notes = [f"clusters of {self.size:.4g} units, each counted once"]
        counts = [
            count / self.size
            for row in rows
            for count in (row["n_control"], row["n_treatment"])
            if count is not None
        ]
        if min(counts, default=math.inf) < BOOTSTRAP_BELOW:
            notes.append(
                f"below {BOOTSTRAP_BELOW} clusters in an arm a bootstrap decides, whose "
                "power is lower than told here; below "
                f"{FEWEST_CLUSTERS} there is no test at all"
            )
        return tuple(notes)


def read_clusters(size: float | None, icc: float | None) -> Clusters:
    """The flags `--cluster-size` and `--icc`.

    Raises:
        UsageError: one without the other, or numbers out of range.
    """
    if size is None and icc is None:
        return Clusters()
    if size is None or icc is None or not (size > 1 and 0 <= icc <= 1):
        raise UsageError(
            "--cluster-size and --icc belong together",
            found=f"size {size}, icc {icc}",
            allowed="more than 1 unit, and a correlation of 0 to 1",
        )
    return Clusters(size, icc)


def find_cluster_row(estimates: Iterable[Estimate], metric: str) -> Estimate | None:
    """The past comparison of a metric by clusters, None where there is no number."""
    found = [
        one
        for one in estimates
        if one.method == METHOD
        and one.metric_name == metric
        and one.segment == "all"
        and one.is_ok
        and one.look is None
    ]
    return found[0] if found else None


def noise_of_clusters(estimate: Estimate) -> Noise | None:
    """Noise of one cluster, as a past comparison by clusters shows it.

    Args:
        estimate: `cluster_delta` on all units.
    """
    counts = _counts(estimate)
    if estimate.standard_error is None or estimate.control_mean is None:
        return None
    spread = sum(1 / count for count in counts)
    return Noise(estimate.control_mean, estimate.standard_error**2 / spread)


def size_of_clusters(rows: Sequence[Estimate | None]) -> Clusters:
    """Units of a cluster in past data; those of one row stand for all."""
    for row in rows:
        if row is not None:
            units = (row.n_control or 0) + (row.n_treatment or 0)
            return Clusters(units / sum(_counts(row)))
    return Clusters()


def _counts(estimate: Estimate) -> tuple[int, int]:
    details = estimate.details
    return details["n_clusters_control"], details["n_clusters_treatment"]
