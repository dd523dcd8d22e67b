"""`python -m exp_platform.pipelines.publish_views`: views for dashboards on Trino."""

import argparse
import sys

from exp_platform.config import load_settings
from exp_platform.errors import UsageError
from exp_platform.pipelines.interrupts import end_command


def main() -> int:
    """Create the documented views on the configuration's Trino server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="configs/<env>.yaml")
    arguments = parser.parse_args()

    def action() -> int:
        """Create them, and name them."""
        from exp_platform.trino.views import create_views

        url = load_settings(arguments.config).engine.trino
        if not url:
            raise UsageError(
                "the configuration names no Trino server",
                next_step="add `trino: http://host:port` under `engine:`",
            )
        for name in create_views(url):
            sys.stdout.write(f"{name}\n")
        return 0

    return end_command(action)


if __name__ == "__main__":
    raise SystemExit(main())
