"""Experimentation and causal inference: events in, a decision you can trust out.

The public functions live in `exp_platform.api` and are handed on lazily, so that
importing the package costs nothing.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "check_results",
    "compare",
    "decisions",
    "did",
    "interactions",
    "results",
    "run",
]


def __getattr__(name: str) -> Any:
    """Hand on a public function of `exp_platform.api` on first use (PEP 562)."""
    if name in __all__:
        from exp_platform import api

        return getattr(api, name)
    raise AttributeError(f"module 'exp_platform' has no attribute {name!r}")
