"""Days of an experiment's panel."""

from dataclasses import dataclass

from exp_platform.records import Assignment, ExperimentSpec


@dataclass(frozen=True, slots=True)
class PanelWindow:
    """Days of a panel around its event: -pre_days .. post_days - 1."""

    pre_days: int
    post_days: int
    is_calendar: bool

    @property
    def days(self) -> tuple[int, ...]:
        """Day numbers in order; 0 begins with the event."""
        return tuple(range(-self.pre_days, self.post_days))


def choose_window(spec: ExperimentSpec) -> PanelWindow | None:
    """Days of an experiment's panel, or None when there are no days to compare.

    A policy or roll-out runs in calendar time, needs a pre-period and uses every whole
    day to the watermark; a randomised test runs in days since exposure and follows each
    unit for a week (less in a shorter experiment).
    """
    has_before = spec.pre_period_days >= 1
    if not spec.is_dated or not (has_before or _is_randomised(spec)):
        return None
    if spec.policy_ts is not None:
        post = int((spec.watermark_ts - spec.policy_ts).total_seconds() // 86_400)
        calendar = True
    else:
        length = int((spec.end_ts - spec.start_ts).total_seconds() // 86_400)
        post, calendar = min(7, length // 2), False
    return PanelWindow(spec.pre_period_days, post, calendar) if post >= 1 else None


def _is_randomised(spec: ExperimentSpec) -> bool:
    return spec.assignment is Assignment.RANDOMISED and spec.policy_ts is None
