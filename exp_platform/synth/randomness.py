"""Random streams: one per purpose, so that one part changes and the rest stays."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Streams:
    """Where all chance of one experiment comes from.

    Attributes:
        experiment_id, seed: together they fix every number drawn.
    """

    experiment_id: str
    seed: int

    def open(self, purpose: str) -> np.random.Generator:
        """A fresh generator for one purpose; the same purpose starts the same again."""
        text = f"{self.experiment_id}\n{self.seed}\n{purpose}"
        entropy = int.from_bytes(hashlib.sha256(text.encode()).digest())
        return np.random.default_rng(np.random.SeedSequence(entropy))
