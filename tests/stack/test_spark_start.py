"""A session starts without the warnings that mean nothing."""

import os
import subprocess
import sys
from typing import Any

SCRIPT = """
import sys
from exp_platform.spark.session import build_spark_session
spark = build_spark_session("quiet", sys.argv[1])
print(spark.range(3).count())
spark.stop()
"""


def test_session_starts_without_warnings(shared: Any) -> None:
    config = shared.root / "configs" / "stack.yaml"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(config)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stdout.split() == ["3"]
    assert " WARN " not in done.stderr
    assert "log level" not in done.stderr
