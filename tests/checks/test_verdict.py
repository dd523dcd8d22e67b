import pytest

from exp_platform.checks.verdict import assess_verdict
from exp_platform.records import CheckResult, CheckStatus, Verdict


def make(name, status=CheckStatus.PASSED, *, can_fail=False, subject=""):
    return CheckResult("e", name, status, "X", "X.", subject=subject, can_fail=can_fail)


PASSED, WARNED = CheckStatus.PASSED, CheckStatus.WARNED
FAILED, NOT_RUN = CheckStatus.FAILED, CheckStatus.NOT_RUN


@pytest.mark.parametrize(
    ("checks", "required", "verdict", "reasons"),
    [
        ([make("SRM")], ["SRM"], Verdict.TRUSTED, ()),
        ([], [], Verdict.TRUSTED, ()),
        ([], ["SRM"], Verdict.CAUTION, ("SRM_NOT_RUN",)),
        ([make("NOVELTY", NOT_RUN)], [], Verdict.TRUSTED, ()),
        (
            [make("SRM", NOT_RUN, can_fail=True)],
            [],
            Verdict.CAUTION,
            ("SRM_NOT_RUN",),
        ),
        ([make("BOTS", WARNED)], [], Verdict.CAUTION, ("BOTS_WARNED",)),
        (
            [make("SRM", FAILED, can_fail=True)],
            ["SRM"],
            Verdict.DO_NOT_USE,
            ("SRM_FAILED",),
        ),
        # A check that says FAILED is believed, whatever it is allowed to say.
        ([make("BOTS", FAILED)], [], Verdict.DO_NOT_USE, ("BOTS_FAILED",)),
    ],
)
def test_assess_verdict_by_rule(checks, required, verdict, reasons):
    found = assess_verdict("e", checks, required=required)
    assert (found.verdict, found.reasons) == (verdict, reasons)


def test_assess_verdict_tells_the_worst_first():
    checks = [
        make("DUPLICATES", WARNED),
        make("MINE", WARNED),
        make("NOVELTY", WARNED, subject="b"),
        make("NOVELTY", WARNED, subject="a"),
        make("SQL_TWIN", NOT_RUN, can_fail=True),
        make("CROSSOVER", FAILED, can_fail=True),
        make("SRM", FAILED, can_fail=True),
    ]
    found = assess_verdict("e", checks)
    assert found.reasons == (
        "SRM_FAILED",
        "CROSSOVER_FAILED",
        "SQL_TWIN_NOT_RUN",
        "NOVELTY_WARNED",
        "DUPLICATES_WARNED",
        "MINE_WARNED",
    )
    assert [f.subject for f in found.findings if f.check_name == "NOVELTY"] == [
        "a",
        "b",
    ]
