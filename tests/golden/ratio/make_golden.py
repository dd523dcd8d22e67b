"""Ratio of means by tea-tasting: its t statistic is our difference over our error."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import tea_tasting

random = np.random.default_rng(7)


def draw(n: int, rate: float) -> pd.DataFrame:
    denominator = random.poisson(3, n)
    return pd.DataFrame(
        {"numerator": random.binomial(denominator, rate), "denominator": denominator}
    )


if __name__ == "__main__":
    control, treatment = draw(300, 0.3), draw(200, 0.36)
    frame = pd.concat([control.assign(variant=0), treatment.assign(variant=1)])
    experiment = tea_tasting.Experiment(
        ratio=tea_tasting.RatioOfMeans("numerator", "denominator")
    )
    found = experiment.analyze(frame)["ratio"]
    answer = {
        "made_with": f"tea-tasting {tea_tasting.__version__}",
        "control": control.to_dict("list"),
        "treatment": treatment.to_dict("list"),
        "control_mean": found.control,
        "treatment_mean": found.treatment,
        "difference": found.effect_size,
        "statistic": found.statistic,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
