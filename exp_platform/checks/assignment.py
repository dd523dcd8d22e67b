"""Was there an experiment at all?"""

from exp_platform.records import Assignment, CheckResult, CheckStatus, ExperimentSpec


def check_assignment(spec: ExperimentSpec) -> CheckResult:
    """Did anybody assign the arms, or did units come to them by themselves?

    Args:
        spec: the experiment's registry row.
    """
    is_chosen = spec.assignment is Assignment.SELF_SELECTED
    named = ", ".join(spec.plan.adjust_by) or "nothing"
    message = f"The arms were assigned: {spec.assignment.value}."
    if is_chosen:
        message = (
            "Units chose their arm. This is no experiment: who chose differs, and the "
            f"arms can be compared after adjustment only (for {named}). Whatever else "
            "drives the choice stays in the number, and no data can show it."
        )
    return CheckResult(
        experiment_id=spec.experiment_id,
        check_name="ASSIGNMENT",
        status=CheckStatus.WARNED if is_chosen else CheckStatus.PASSED,
        reason="UNITS_CHOSE_THEIR_ARM" if is_chosen else "ASSIGNED",
        message=message,
        details={"assignment": spec.assignment.value},
    )
