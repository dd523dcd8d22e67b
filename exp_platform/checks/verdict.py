"""Can we trust this result? One word over all checks, the worst reason first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from exp_platform.checks.catalogue import CATALOGUE, checks_not_run
from exp_platform.records import CheckResult, CheckStatus, Verdict

_GRAVITY = tuple(CATALOGUE)


@dataclass(frozen=True, slots=True)
class TrustVerdict:
    """The verdict and what led to it.

    Attributes:
        findings: checks that keep the verdict from TRUSTED, the worst first.
    """

    verdict: Verdict
    findings: tuple[CheckResult, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Coded reasons, e.g. SRM_FAILED, the worst first, each once."""
        codes = [f"{c.check_name}_{c.status.value}" for c in self.findings]
        return tuple(dict.fromkeys(codes))


def assess_verdict(
    experiment_id: str,
    checks: Sequence[CheckResult],
    *,
    required: Collection[str] = (),
) -> TrustVerdict:
    """Weigh the checks of one run.

    DO_NOT_USE when any check failed; CAUTION when any warned, or one that can fail
    was not run; TRUSTED otherwise. A required check that is not in the list counts
    as not run.

    Args:
        experiment_id: experiment concerned.
        checks: results of the run, after `apply_budget`.
        required: names that this design requires (`required_checks`).
    """
    told = {check.check_name for check in checks}
    absent = [name for name in CATALOGUE if name in required and name not in told]
    every = (*checks, *checks_not_run(absent, experiment_id, required=required))
    findings = sorted((c for c in every if _counts(c, required)), key=_rank)
    if any(check.status is CheckStatus.FAILED for check in findings):
        return TrustVerdict(Verdict.DO_NOT_USE, tuple(findings))
    verdict = Verdict.CAUTION if findings else Verdict.TRUSTED
    return TrustVerdict(verdict, tuple(findings))


def _counts(check: CheckResult, required: Collection[str]) -> bool:
    if check.status is CheckStatus.NOT_RUN:
        return check.can_fail or check.check_name in required
    return check.status is not CheckStatus.PASSED


def _rank(check: CheckResult) -> tuple[int, int, str]:
    severity = (CheckStatus.FAILED, CheckStatus.NOT_RUN, CheckStatus.WARNED)
    known = check.check_name in CATALOGUE
    gravity = _GRAVITY.index(check.check_name) if known else len(_GRAVITY)
    return severity.index(check.status), gravity, check.subject
