"""A Spark session whose catalog `iceberg` is the lake.

Spark reads and writes the shared lake. The embedded lake, whose catalog is a SQLite file,
it may read only: a second writer would hold the file's lock for as long as the session
lives.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exp_platform.config import DEFAULT_CONFIG, Remote, Settings, load_settings
from exp_platform.errors import StorageError, UsageError
from exp_platform.spark.jars import SPARK_LINE, coordinates

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CATALOG = "iceberg"
_PREFIX = f"spark.sql.catalog.{CATALOG}"
# read before the session is there to be told its level
_QUIET = Path(__file__).with_name("log4j2.properties").absolute().as_uri()


def build_spark_session(
    app_name: str, config: str | Path | None = None
) -> "SparkSession":
    """A local Spark session that sees the lake's tables as `iceberg.exp.<table>`.

    Args:
        app_name: shown in Spark's own pages.
        config: configuration file; None = `$EXP_CONFIG` or `configs/dev.yaml`.

    Raises:
        UsageError: pyspark is not installed, or is not the line the jars were built for.
        StorageError: the lake does not exist yet, or the session cannot start.
    """
    settings = load_settings(config or os.environ.get("EXP_CONFIG") or DEFAULT_CONFIG)
    if settings.remote is None:
        _require_lake(settings)
    return open_session(app_name, settings)


def open_session(app_name: str, settings: Settings) -> "SparkSession":
    """The same for a loaded configuration, whose lake may be made later.

    Raises:
        UsageError: pyspark is not installed, or is not the line the jars were built for.
        StorageError: the session cannot start.
    """
    try:
        import pyspark
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            next_step="pip install 'exp-platform[spark]', and a Java 17",
        ) from error
    if not pyspark.__version__.startswith(f"{SPARK_LINE}."):
        raise UsageError(
            "no Iceberg runtime for this Spark",
            found=f"pyspark {pyspark.__version__}",
            allowed=f"{SPARK_LINE}.x",
        )
    builder = SparkSession.builder.appName(app_name)
    for key, value in spark_properties(settings).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except (PySparkException, Py4JError, OSError) as error:
        raise StorageError(
            "Spark did not start",
            found=" ".join(str(error).split())[:300],
            next_step="check that `java -version` says 17, and that the jars of "
            "exp_platform.spark.jars can be fetched once",
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def spark_properties(settings: Settings) -> dict[str, str]:
    """Everything Spark is told; credentials come from the environment."""
    remote = settings.remote
    own = _local_catalog(settings) if remote is None else _remote_catalog(remote)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return {
        "spark.master": os.environ.get("SPARK_MASTER", "local[*]"),
        "spark.jars.packages": ",".join(coordinates(is_remote=remote is not None)),
        "spark.jars.ivy": str(cache / "exp_platform" / "ivy"),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions."
        "IcebergSparkSessionExtensions",
        "spark.sql.defaultCatalog": CATALOG,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_QUIET}",
        _PREFIX: "org.apache.iceberg.spark.SparkCatalog",
        f"{_PREFIX}.type": "jdbc",
        # without this Spark would not see what others commit
        f"{_PREFIX}.cache-enabled": "false",
        f"{_PREFIX}.jdbc.schema-version": "V1",
        **{f"{_PREFIX}.{key}": value for key, value in own.items()},
    }


def _require_lake(settings: Settings) -> None:
    catalog = settings.paths.catalog.absolute()
    if not catalog.is_file():
        raise StorageError(
            "the embedded lake does not exist yet",
            where=str(catalog),
            next_step="exp run ID --generate-synth",
        )


def _local_catalog(settings: Settings) -> dict[str, str]:
    catalog = settings.paths.catalog.absolute()
    return {
        # read only: SQLite then takes no lock that a run would wait for
        "uri": f"jdbc:sqlite:file:{catalog}?mode=ro",
        "warehouse": f"file://{settings.paths.warehouse.absolute()}",
        "jdbc.init-catalog-tables": "false",
    }


def _remote_catalog(remote: Remote) -> dict[str, str]:
    is_rest = remote.catalog.startswith("http")
    return {
        **(_rest_server(remote) if is_rest else _database(remote)),
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        **({"s3.endpoint": remote.endpoint} if remote.endpoint else {}),
        "s3.path-style-access": "true",
        "s3.access-key-id": _from_environment("AWS_ACCESS_KEY_ID"),
        "s3.secret-access-key": _from_environment("AWS_SECRET_ACCESS_KEY"),
        "client.region": remote.region,
    }


def _rest_server(remote: Remote) -> dict[str, str]:
    token = os.environ.get("EXP_CATALOG_TOKEN", "")
    return {
        "type": "rest",
        "uri": remote.catalog,
        **({"warehouse": remote.rest_warehouse} if remote.rest_warehouse else {}),
        **({"token": token} if token else {}),
    }


def _database(remote: Remote) -> dict[str, str]:
    database = urlsplit(remote.catalog)
    return {
        "uri": f"jdbc:postgresql://{database.hostname}:{database.port or 5432}"
        f"{database.path}",
        "jdbc.user": database.username or "",
        "jdbc.password": database.password or "",
        "warehouse": remote.warehouse.replace("s3a://", "s3://"),
    }


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise UsageError(
            f"the environment variable {name} is not set",
            next_step=f"export {name}=... and start Spark again",
        )
    return os.environ[name]
