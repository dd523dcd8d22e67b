"""The order of the steps: one module per stage, `run_end_to_end` tells the story."""
