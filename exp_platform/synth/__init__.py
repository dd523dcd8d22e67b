"""Synthetic experiments with known truth, failure modes included."""

from exp_platform.synth.generator import SyntheticExperiment, generate_experiment

__all__ = ["SyntheticExperiment", "generate_experiment"]
