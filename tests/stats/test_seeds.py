from itertools import combinations

from exp_platform.stats.seeds import derive_seed


def test_derive_seed_is_the_same_in_every_process():
    # SHA-256 of "exp_a\x1frevenue": a constant of the contract, not of this machine.
    assert derive_seed("exp_a", "revenue") == 3498284335


def test_derive_seed_tells_names_and_their_order_apart():
    names = [("a",), ("a", "b"), ("b", "a"), ("ab",), ("a", "", "b"), ()]
    for one, other in combinations(names, 2):
        assert derive_seed(*one) != derive_seed(*other)
    assert all(0 <= derive_seed(*name) < 2**32 for name in names)
