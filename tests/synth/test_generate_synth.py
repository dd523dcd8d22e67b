import json

import pyarrow.parquet as pq
import pytest

from exp_platform.config import load_settings
from exp_platform.errors import UsageError
from exp_platform.generate_synth import generate_synth, main

CONFIG = """
environment: test
experiments:
  exp_a_001: {days: 7, n_users: 300, effect_lift_conversion: 0.05}
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "configs" / "test.yaml"
    file.parent.mkdir()
    file.write_text(CONFIG)
    return file


def test_generate_synth_lands_tables_and_truth(config, tmp_path):
    folder = generate_synth(load_settings(config), "exp_a_001")
    assert folder == tmp_path / "data" / "raw" / "exp_platform" / "exp_a_001"
    assert pq.read_table(folder / "exposures.parquet").num_rows == 255
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["expected"]["decisions"] == ["SHIP"]


def test_generate_synth_twice_gives_the_same_bytes(config):
    settings = load_settings(config)
    folder = generate_synth(settings, "exp_a_001")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    generate_synth(settings, "exp_a_001")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("target", ["minio", "s4"])
def test_generate_synth_other_target_is_refused(config, target):
    with pytest.raises(UsageError, match=target):
        generate_synth(load_settings(config), "exp_a_001", target=target)


def test_main_prints_the_folder(config, capsys):
    code = main(["--config", str(config), "--experiment-id", "exp_a_001"])
    assert code == 0
    assert capsys.readouterr().out.strip().endswith("exp_platform/exp_a_001")


def test_main_unknown_experiment_suggests_one(config, capsys):
    code = main(["--config", str(config), "--experiment-id", "exp_a_01"])
    assert code == 2
    message = capsys.readouterr().err
    assert "did you mean 'exp_a_001'?" in message


def test_main_raw_area_that_cannot_be_written_is_a_storage_error(
    config, tmp_path, capsys
):
    (tmp_path / "data").write_text("a file where a folder must be")
    code = main(["--config", str(config), "--experiment-id", "exp_a_001"])
    assert code == 4
    assert str(tmp_path / "data") in capsys.readouterr().err


def test_development_scenarios_all_generate(request):
    from exp_platform.synth import generate_experiment

    settings = load_settings(request.config.rootpath / "configs" / "dev.yaml")
    assert len(settings.experiments) >= 16
    for experiment_id, scenario in settings.experiments.items():
        small = scenario.model_copy(update={"n_users": min(scenario.n_users, 1000)})
        experiment = generate_experiment(experiment_id, small)
        assert experiment.tables["outcomes"].num_rows > 0
