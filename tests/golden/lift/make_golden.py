"""Log-ratio interval of the relative lift by tea-tasting (normal quantiles)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import tea_tasting

if __name__ == "__main__":
    random = np.random.default_rng(71)
    control = random.gamma(1, 3, 200).round(6)
    treatment = random.gamma(1, 3.6, 150).round(6)
    frame = pd.concat(
        [
            pd.DataFrame({"y": control, "variant": 0}),
            pd.DataFrame({"y": treatment, "variant": 1}),
        ]
    )
    metric = tea_tasting.Mean("y", use_t=False)
    found = tea_tasting.Experiment(y=metric).analyze(frame)["y"]
    answer = {
        "made_with": f"tea-tasting {tea_tasting.__version__}",
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "relative_lift": found.rel_effect_size,
        "relative_ci_lower": found.rel_effect_size_ci_lower,
        "relative_ci_upper": found.rel_effect_size_ci_upper,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
