"""How looks read in a decision: which one this is, and what is not looked at yet."""

from exp_platform.checks.wording import join_words
from exp_platform.decision.evidence import Evidence
from exp_platform.records import Estimate

_WHY = {
    "NO_WINDOW": "without a window the values still grow",
    "NO_MOMENTS": "it cannot be followed day by day",
    "FIXED": "the plan has one look",
}


def find_look(evidence: Evidence) -> Estimate | None:
    """The row of the latest look at any goal or guardrail, None before the first.

    Args:
        evidence: one arm.
    """
    looks = [row for row in evidence.rows if row.look is not None and row.is_ok]
    return max(looks, key=lambda row: row.look or 0, default=None)


def name_look(row: Estimate) -> str:
    """A look by its number and instant.

    Args:
        row: of a look.
    """
    planned = row.details.get("sequential", {}).get("looks_planned")
    number = f"look {row.look}" + (f" of {planned}" if planned else "")
    if row.look_ts is None:
        return number
    return f"{number} ({row.look_ts:%Y-%m-%d %H:%M} UTC)"


def find_crossing(row: Estimate, *, is_harm: bool = False) -> int | None:
    """The earlier look that proved what is said of this one; None = this one, or none.

    Args:
        row: of a look.
        is_harm: of the test for harm, not of the effect.
    """
    place = row.details.get("sequential", {})
    crossing = place.get("harm_crossing" if is_harm else "first_crossing")
    if crossing is None or crossing == row.look:
        return None
    sides = [place.get("p_greater"), place.get("p_less")]
    is_both = all(p is not None and p <= row.alpha for p in sides)
    # one number stands for both directions: which of them it was is not known
    return None if is_both and not is_harm else int(crossing)


def list_shares(row: Estimate) -> list[tuple[float, str]]:
    """How far a look has come, each share with what it is a share of.

    The spending clock tells the schedule only while it follows it: it may follow the
    units, and stands at 1 once the planned ones are in.

    Args:
        row: of a look.
    """
    place = row.details.get("sequential", {})
    time, share = place.get("spending_time"), place.get("information_share")
    planned = place.get("looks_planned")
    is_by_units = share is not None and time == min(share, 1.0)
    has_schedule = planned is not None and (row.look == planned or not is_by_units)
    told = [
        (time if has_schedule else None, "of the schedule"),
        (share, "of the planned information"),
    ]
    return [(share, words) for share, words in told if share is not None]


def say_when(evidence: Evidence, finding: str) -> str:
    """The start of a finding: the look it rests on, while the plan goes on.

    Args:
        evidence: one arm.
        finding: one word, such as "better".
    """
    look = find_look(evidence)
    if evidence.is_complete or look is None:
        return finding.capitalize()
    return f"At {name_look(look)}, {finding}"


def say_looks(evidence: Evidence) -> str:
    """Which look this is, and what is tested at the end alone.

    Args:
        evidence: one arm whose plan is not complete.
    """
    look = find_look(evidence)
    sentences = [] if look is None else [f"This is {name_look(look)}."]
    waiting = {
        reason: [row.metric_name for row in evidence.rows if _why_once(row) == reason]
        for reason in _WHY
    }
    for reason, names in waiting.items():
        if names:
            verb = "is" if len(names) == 1 else "are"
            sentences.append(
                f"{join_words(names)} {verb} tested at the end alone: {_WHY[reason]}."
            )
    if look is None and not any(waiting.values()):
        sentences.append("Neither harm nor success is judged yet.")
    return " ".join(sentences)


def _why_once(row: Estimate) -> str:
    return str(row.details.get("sequential", {}).get("why_one_look", ""))


def say_reach(evidence: Evidence) -> str:
    """How far the data reach, and how far they are to reach.

    Args:
        evidence: one arm.
    """
    spec = evidence.spec
    reach = f"The data reach {spec.watermark_ts:%Y-%m-%d %H:%M} UTC"
    if spec.plan.sequential.has_end:
        end = f"{spec.last_look_ts:%Y-%m-%d %H:%M} UTC"
        return f"{reach}, the registered end is {end}."
    return f"{reach}; {spec.plan.sequential.planned_units or 0:,} units are planned."


def say_end(evidence: Evidence) -> str:
    """What completes the plan.

    Args:
        evidence: one arm.
    """
    spec = evidence.spec
    if spec.plan.sequential.has_end:
        end = f"{spec.last_look_ts:%Y-%m-%d %H:%M} UTC"
        return f"Data up to the registered end, {end}"
    return f"Data of the {spec.plan.sequential.planned_units or 0:,} planned units"
