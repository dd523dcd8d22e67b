"""Covariates whose values lie far from 0, brought near to it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from exp_platform.pipelines.frames import ArmUnits
from exp_platform.stats.inference import Array

FAR = 100.0
"""Widths of a covariate's range between its middle and 0 from which it is centred."""


def centre_covariates(
    units: Sequence[ArmUnits], names: Sequence[str]
) -> tuple[ArmUnits, ...]:
    """The units with covariates near 0: an origin far away would leave no digits.

    The same number comes off in every arm, so no difference between arms moves. One
    that is near enough stays as it is, and so does the slope of its indicator.

    Args:
        units: of all arms.
        names: of the covariates; each has a value in every arm.
    """
    origins = {
        name: _origin(np.concatenate([arm.numbers[name] for arm in units]))
        for name in names
    }
    return tuple(
        replace(
            arm,
            numbers={
                name: values - origins.get(name, 0.0)
                for name, values in arm.numbers.items()
            },
        )
        for arm in units
    )


def _origin(values: Array) -> float:
    """The middle of the range where 0 is far from it; halves of the ends never overflow."""
    low, high = float(np.nanmin(values)) / 2, float(np.nanmax(values)) / 2
    middle = low + high
    return middle if abs(middle) / 2 > FAR * (high - low) else 0.0
