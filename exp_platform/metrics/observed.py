"""Units of an observational comparison, one metric and one pair of arms at a time.

The adjustment needs every unit's covariates beside its outcome; they leave the engine
only when an estimate asks for them.
"""

from collections.abc import Callable

import numpy as np

from exp_platform.causal.covariates import encode_covariates
from exp_platform.causal.observational import ObservedUnits
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.records import ExperimentSpec

Observe = Callable[[str, str], ObservedUnits]
"""Metric and treatment -> the units of that arm and of control."""


def open_observed(engine: Engine, spec: ExperimentSpec) -> Observe:
    """A reader of units; nothing is read before it is called.

    Args:
        engine: holds `exp_run.metric_calculations` and `exp_run.experiment_assignments`.
        spec: the experiment; its plan names the covariates.
    """

    def observe(metric: str, treatment: str) -> ObservedUnits:
        """Units of control and of one arm, for one metric."""
        return read_observed(engine, spec, metric, treatment=treatment)

    return observe


def read_observed(
    engine: Engine, spec: ExperimentSpec, metric: str, *, treatment: str
) -> ObservedUnits:
    """Outcome, arm and covariates of every unit with a value of the metric.

    Args:
        engine: as `open_observed`.
        spec: the experiment.
        metric: the outcome.
        treatment: the arm compared with control.
    """
    facts = "".join(
        f",\n    a.attributes[{quote(name)}] as x{i}"
        for i, name in enumerate(spec.plan.adjust_by)
    )
    table = engine.arrow(
        "select o.value, o.variant, a.cluster_id" + facts + "\n"
        "from exp_run.metric_calculations as o\n"
        "inner join exp_run.experiment_assignments as a on o.unit_no = a.unit_no\n"
        f"where o.metric_name = {quote(metric)}\n"
        f"    and o.variant in ({quote(spec.control)}, {quote(treatment)})\n"
        "order by o.unit_no"
    )
    columns = {
        name: table.column(f"x{i}").to_pylist()
        for i, name in enumerate(spec.plan.adjust_by)
    }
    is_treated = np.array(table.column("variant").to_pylist()) == treatment
    encoded = encode_covariates(columns, is_treated)
    cluster = None
    if spec.cluster is not None:
        cluster = np.array(table.column("cluster_id").to_pylist(), dtype=object)
    return ObservedUnits(
        spec.experiment_id,
        metric,
        spec.control,
        treatment,
        outcome=table.column("value").to_numpy().astype(float),
        is_treated=is_treated,
        covariates=encoded.values,
        covariate_names=encoded.names,
        cluster=cluster,
        too_rare=encoded.too_rare,
    )
