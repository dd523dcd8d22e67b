"""Tests that share what one of them made run in one process."""

import os

import pytest


@pytest.mark.xdist_group("guard")
@pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests"
)
def test_groups_reach_the_scheduler(request: pytest.FixtureRequest) -> None:
    """A new pytest may stop it without a word; the suites then make everything twice."""
    assert request.node.nodeid.endswith("@guard")
