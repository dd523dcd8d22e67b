import doctest

import pytest

import exp_platform.checks.wording
import exp_platform.decision.phrases


@pytest.mark.parametrize(
    "module", [exp_platform.checks.wording, exp_platform.decision.phrases]
)
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0
