"""Ways to change a case: each is a function of the case."""

from dataclasses import replace
from datetime import timedelta

from exp_platform.stats.guardrail import GuardrailStatus


def swap(items, position, **changes):
    return tuple(
        replace(x, **changes) if i == position else x for i, x in enumerate(items)
    )


def drop(items, position):
    return tuple(x for i, x in enumerate(items) if i != position)


def running(case):
    early = case.spec.end_ts - timedelta(days=4)
    return replace(case, spec=replace(case.spec, watermark_ts=early))


def goal(position=0, **changes):
    return lambda c: replace(c, estimates=swap(c.estimates, position, **changes))


def guardrail(**changes):
    return lambda c: replace(c, guardrails=swap(c.guardrails, 0, **changes))


def check(position, **changes):
    return lambda c: replace(c, checks=swap(c.checks, position, **changes))


def registry(**changes):
    return lambda c: replace(c, spec=replace(c.spec, **changes))


def chain(*changes):
    def apply(case):
        for change in changes:
            case = change(case)
        return case

    return apply


DEGRADED = guardrail(
    status=GuardrailStatus.NOT_SHOWN, bound=0.09, harm_p_value=1e-4, is_degraded=True
)
HARMED = goal(1, difference=-0.02, statistic=-4.0, p_value=6e-5, p_value_adjusted=6e-5)
