"""Files of canonical rows as they were delivered, opened in the engine."""

import pyarrow.parquet as pq

from exp_platform.lake import Engine
from exp_platform.lake.delivered import open_delivered
from exp_platform.lake.settings import LakeSettings


def test_a_folders_name_is_no_column_of_a_delivered_file(tmp_path, delivered):
    path = tmp_path / "user_id=one" / "x[1].parquet"
    path.parent.mkdir()
    pq.write_table(delivered["exposures"], path)
    with Engine(LakeSettings(*[tmp_path] * 4)) as engine:
        file = open_delivered(engine, "exposures", path)
        (found,) = engine.rows(f"select count(distinct user_id) from {file.source}")
    assert found[0] > 1
