import numpy as np

from exp_platform.synth.randomness import Streams


def test_open_same_purpose_starts_the_same_again():
    streams = Streams("exp_a", 7)
    assert np.array_equal(streams.open("x").random(5), streams.open("x").random(5))


def test_open_differs_by_id_seed_and_purpose():
    first = Streams("exp_a", 7).open("x").random()
    assert first != Streams("exp_b", 7).open("x").random()
    assert first != Streams("exp_a", 8).open("x").random()
    assert first != Streams("exp_a", 7).open("y").random()
