"""How a plan looks before the end, and what that costs its sizes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from exp_platform.errors import UsageError
from exp_platform.records import LookMethod, SequentialDesign, SpendingKind
from exp_platform.stats.design import Design
from exp_platform.stats.sequential_cost import LookRule, find_cost
from exp_platform.stats.spending import Spending

_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class LookRequest:
    """What was said about looking; None = not said.

    Attributes:
        method: group_sequential, confidence_sequence or fixed.
        spending: of a group sequential test.
        n_looks: evenly spaced; None = one every `every_days` days of the run.
    """

    method: LookMethod | None = None
    spending: SpendingKind | None = None
    n_looks: int | None = None
    every_days: int = 1


def read_look_request(
    method: str | None, spending: str | None, n_looks: int | None
) -> LookRequest:
    """The flags `--sequential`, `--spending` and `--looks`.

    Raises:
        UsageError: a value that does not exist, or flags that contradict.
    """
    from exp_platform.pipelines.import_looks import read_looks

    found = read_looks(method, spending, None)
    chosen = LookMethod(found["method"]) if "method" in found else None
    if n_looks is not None and n_looks < 1:
        raise UsageError("--looks counts from 1", found=str(n_looks))
    if chosen is LookMethod.FIXED and ((n_looks or 1) > 1 or spending):
        raise UsageError("--sequential fixed has one look and spends nothing")
    if chosen is None and (n_looks is not None or spending):
        chosen = LookMethod.GROUP_SEQUENTIAL
    return LookRequest(chosen, found.get("spending"), n_looks)


def merge_registered(
    asked: LookRequest, registered: SequentialDesign, *, is_dated: bool
) -> LookRequest:
    """What the flags leave open is as the past experiment registered it.

    Args:
        asked: by flags.
        registered: in the plan of the past experiment.
        is_dated: data without dates have one look.
    """
    if asked.method is not None or not is_dated:
        return asked
    method = registered.method
    if method is None:
        has_size = registered.has_end or registered.planned_units is not None
        method = LookMethod.CONFIDENCE_SEQUENCE
        if has_size:
            method = LookMethod.GROUP_SEQUENTIAL
    n_looks = asked.n_looks
    if n_looks is None and registered.look_days:
        n_looks = len(registered.look_days) + 1
    return LookRequest(method, registered.spending, n_looks, registered.look_every_days)


def settle_looks(
    design: Design, asked: LookRequest, days_of: Callable[[Design], int | None]
) -> tuple[Design, tuple[str, ...]]:
    """The design with the cost of its looks, and what it rests on in words.

    Looks by day depend on the days, the days on the units, and these on the looks: the
    circle is followed until it closes.

    Args:
        design: without looks.
        asked: how to look.
        days_of: days that a design runs; None = traffic is not known.

    Raises:
        UsageError: neither looks nor traffic are known, or a method without a size.
    """
    method = asked.method or LookMethod.FIXED
    if method is LookMethod.FIXED:
        return design, ()
    days = days_of(design) if asked.n_looks is None else None
    if asked.n_looks is None and days is None:
        raise UsageError(
            "it is not known how often the data are looked at",
            allowed="--looks N, or --units-per-day N for a look a day",
        )
    rule = LookRule(method, spending=Spending(asked.spending or "obrien_fleming"))
    settled = design
    for _ in range(_MOST_ROUNDS):
        looks = asked.n_looks or max(1, math.ceil((days or 1) / asked.every_days))
        settled = _charge(design, replace(rule, n_looks=looks))
        now = days_of(settled) if asked.n_looks is None else days
        if now is None or now == days:
            break
        days = max(now, days or 0)
    return settled, (_describe(replace(rule, n_looks=looks), settled),)


def _charge(design: Design, rule: LookRule) -> Design:
    guardrail_power = design.guardrail_power
    return replace(
        design,
        goal_cost=find_cost(rule, design.goal_alpha, design.power),
        guardrail_cost=find_cost(
            rule, design.guardrail_alpha, guardrail_power, sides=1
        ),
    )


def _describe(rule: LookRule, design: Design) -> str:
    words = rule.method.value.replace("_", " ")
    if rule.method is LookMethod.GROUP_SEQUENTIAL:
        words += f", spending {rule.spending.kind}"
    plural = "" if rule.n_looks == 1 else "s"
    cost = design.goal_cost
    return (
        f"{rule.n_looks} look{plural}, {words}: a goal takes "
        f"{100 * (cost.inflation - 1):.1f} % more units at most than with one test, and "
        f"on average {100 * cost.inflation * cost.expected:.0f} % of those when the "
        "target is true"
    )
