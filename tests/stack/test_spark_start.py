"""A session starts without the warnings that mean nothing, and its end is told."""

import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from py4j.protocol import Py4JError

from exp_platform.errors import StorageError
from exp_platform.spark.engine import our_errors, settings_for

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


@pytest.mark.parametrize(
    ("message", "told"),
    [
        # Py4J's words where nobody answered, where Java did, and where it was not asked
        ("An error occurred while calling o88.set", "Spark's Java has ended"),
        (
            "An error occurred while calling o88.set. Trace:\njava.lang.X",
            "Spark refused a query",
        ),
        ("org.x does not exist in the JVM", "Spark refused a query"),
    ],
)
def test_a_lost_connection_is_told_apart_from_a_refusal(
    message: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    def ask() -> None:
        with our_errors("exp.outcomes"):
            record = logging.LogRecord(
                "root", logging.ERROR, "java_gateway.py", 1, "traces", None, None
            )
            logging.getLogger().handle(record)
            raise Py4JError(message)

    with pytest.raises(StorageError, match=told):
        ask()
    assert "traces" not in caplog.text


def test_few_rows_have_one_task_and_many_the_settings_of_the_session() -> None:
    assert settings_for(250_000)["spark.sql.shuffle.partitions"] == "1"
    assert settings_for(250_001) == {}
