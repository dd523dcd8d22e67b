import pytest

from exp_platform.checks.facts import RestatedFacts
from exp_platform.checks.restated import check_restated
from exp_platform.records import CheckStatus


def test_check_restated_passes_when_nothing_has_moved():
    check = check_restated(RestatedFacts("e"))
    assert (check.status, check.reason) == (CheckStatus.PASSED, "AS_TOLD")
    assert check.details == {"moves": []}


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (
            ("effect", "2026-03-06T00:00:00+00:00", None),
            (
                "The bound of an effect was crossed on 2026-03-06 when first told and is not "
                "crossed now: the data of past looks have changed."
            ),
        ),
        (
            ("noninferiority", None, "2026-03-06T00:00:00+00:00"),
            (
                "Its margin was not crossed when first told and is crossed on 2026-03-06 "
                "now: the data of past looks have changed."
            ),
        ),
        (
            ("part", "a guardrail (margin 2 %)", None),
            (
                "It was a guardrail (margin 2 %) when first told and is no part of the "
                "decision now: the data of past looks have changed."
            ),
        ),
        (
            ("looks", "end 2026-03-15 00:00 UTC", "end 2026-03-29 00:00 UTC"),
            (
                'The plan said "end 2026-03-15 00:00 UTC" when first told and says "end '
                '2026-03-29 00:00 UTC" now: the data of past looks have changed.'
            ),
        ),
        (
            ("rules", "", "orders picks among several arms"),
            (
                "The plan said nothing of it when first told and says "
                '"orders picks among several arms" now: the data of past looks have '
                "changed."
            ),
        ),
    ],
)
def test_check_restated_warns_of_a_moved_crossing(move, message):
    facts = RestatedFacts("e", "orders:B", (move,), "LATE_DATA")
    check = check_restated(facts)
    assert (check.status, check.reason) == (CheckStatus.WARNED, "LATE_DATA")
    assert (check.subject, check.value) == ("orders:B", 1.0)
    assert check.message == message


def test_check_restated_says_that_data_reach_further():
    move = ("effect", None, "2026-03-11T00:00:00+00:00")
    facts = RestatedFacts("e", "orders:B", (move,), "LATER_WATERMARK")
    assert check_restated(facts).message == (
        "The bound of an effect was not crossed when first told and is crossed on "
        "2026-03-11 now: the one look at it reads all data so far, and they reach "
        "further now; the error rate is that of the first one."
    )


AT, LATER = "2026-03-11T00:00:00+00:00", "2026-03-15T00:00:00+00:00"


@pytest.mark.parametrize(
    ("moves", "cause", "status"),
    [
        ([("effect", None, AT)], "LATER_WATERMARK", CheckStatus.FAILED),
        ([("noninferiority", None, AT)], "LATER_WATERMARK", CheckStatus.FAILED),
        ([("effect", AT, None)], "LATER_WATERMARK", CheckStatus.WARNED),
        ([("effect", AT, LATER)], "LATER_WATERMARK", CheckStatus.WARNED),
        ([("harm", None, AT)], "LATER_WATERMARK", CheckStatus.WARNED),
        (
            [("effect", None, AT), ("harm", None, AT)],
            "LATER_WATERMARK",
            CheckStatus.WARNED,
        ),
        ([("effect", None, AT)], "LATE_DATA", CheckStatus.WARNED),
    ],
)
def test_check_restated_fails_where_one_look_is_taken_until_it_proves_something(
    moves, cause, status
):
    check = check_restated(RestatedFacts("e", "orders:B", tuple(moves), cause))
    assert check.status is status
    assert check.can_fail
