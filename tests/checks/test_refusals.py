import doctest

import pytest

from exp_platform.causal.refusal import DesignRefusal
from exp_platform.checks import refusals
from exp_platform.checks.refusals import explain_refusal
from exp_platform.stats.draft import Refusal


def test_examples_in_docstrings():
    assert doctest.testmod(refusals).failed == 0


@pytest.mark.parametrize("reason", [*Refusal, *DesignRefusal])
def test_explain_refusal_has_words_of_its_own_for_every_reason(reason):
    words = explain_refusal(reason)
    assert words != reason.replace("_", " ").lower() or reason == "TOO_FEW_UNITS"
    assert not words.endswith(".")
