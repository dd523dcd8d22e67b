"""The jars Spark needs, by Maven coordinates; Ivy fetches them once and keeps them."""

ICEBERG = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0"
ICEBERG_AWS = "org.apache.iceberg:iceberg-aws-bundle:1.11.0"
POSTGRESQL = "org.postgresql:postgresql:42.7.8"
SQLITE = "org.xerial:sqlite-jdbc:3.50.3.0"

SPARK_LINE = "4.1"
"""The Spark that this Iceberg runtime was built for; another one fails inside a query."""


def coordinates(*, is_remote: bool) -> tuple[str, ...]:
    """The jars of a shared lake, or of one on the local disk."""
    return (ICEBERG, ICEBERG_AWS, POSTGRESQL) if is_remote else (ICEBERG, SQLITE)
