"""Seeds of resampling: fixed by what is asked, so that a rerun gives the same number."""

import hashlib


def derive_seed(*names: str) -> int:
    """A seed that follows from names alone, between 0 and 2^32.

    Args:
        names: of the experiment, metric, arm ...; another name or order is another
            seed.

    >>> derive_seed("exp_checkout", "revenue")
    3484127467
    """
    text = "\x1f".join(names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
