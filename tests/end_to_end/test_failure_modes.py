"""Every failure mode, with its effect and without, ends in its named outcome."""

from pathlib import Path

import pytest

from exp_platform.config import load_settings
from exp_platform.pipelines.failure_modes import describe, run_failure_modes

ROOT = Path(__file__).parents[2]
SETTINGS = load_settings(ROOT / "configs" / "dev.yaml")
MODES = [n for n in SETTINGS.experiments if n.rsplit("_", 1)[-1] >= "101"]


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", MODES)
def test_failure_mode_ends_in_its_named_outcome(name):
    results = list(run_failure_modes(SETTINGS, [name]))
    assert results
    for result in results:
        assert result.is_right, describe(result)


def test_page_of_failure_modes_names_every_one():
    page = (ROOT / "docs" / "failure-modes.md").read_text("utf-8")
    assert all(f"`{name}`" in page for name in MODES)
    assert "| NO |" not in page
