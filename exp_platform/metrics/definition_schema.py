"""The JSON Schema of metric definitions, kept beside them for editors: `make compile`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from exp_platform.metrics.definition_text import MetricText

FILE = Path(__file__).parent.parent.parent / "metrics" / "metric.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of one definition, every key with its description."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:exp-platform:metric",
        **MetricText.model_json_schema(),
        "title": "Metric definition",
    }


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(json_schema(), indent=2) + "\n"


def main() -> int:
    """Write the file, or with --check say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        FILE.write_text(schema_text(), "utf-8")
        return 0
    is_stale = FILE.read_text("utf-8") != schema_text()
    if is_stale:
        sys.stderr.write(f"stale, run `make compile`: {FILE.name}\n")
    return int(is_stale)


if __name__ == "__main__":
    raise SystemExit(main())
