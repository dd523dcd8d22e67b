"""The experiments of `experiments`, one fixture each."""

import pytest

from tests.report.experiments import (
    make_insufficient,
    make_shippable,
    make_three_arms,
    make_untrusted,
)


@pytest.fixture
def shippable():
    return make_shippable()


@pytest.fixture
def untrusted():
    return make_untrusted()


@pytest.fixture
def insufficient():
    return make_insufficient()


@pytest.fixture
def three_arms():
    return make_three_arms()
