"""`exp reconcile`: why somebody else has another number for the same metric."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Configuration file.", show_default=False),
]


def reconcile_number(  # noqa: PLR0917 - a flag is an argument here
    experiment_id: Annotated[str, typer.Argument(help="The experiment's id.")],
    metric: Annotated[str, typer.Argument(help="The metric.")],
    value: Annotated[
        str | None, typer.Option(help="The other number, with the digits it has.")
    ] = None,
    sql: Annotated[
        Path | None, typer.Option(help="File with the SELECT that gives it.")
    ] = None,
    statistic: Annotated[
        str | None,
        typer.Option(
            help="units, total, denominator, mean, difference or lift; none = any."
        ),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="The arm it is of, or all; none = any.")
    ] = None,
    timezone: Annotated[
        list[str] | None,
        typer.Option(help="Zone to try with everything else; repeatable."),
    ] = None,
    depth: Annotated[int, typer.Option(help="Rules left out at once, 1 to 4.")] = 3,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    is_json: Annotated[bool, typer.Option("--json", help="--format json.")] = False,
    config: ConfigOption = None,
) -> None:
    """Explain another number for a metric, cause by cause."""
    from exp_platform import api
    from exp_platform.pipelines import reconcile_shown, shown
    from exp_platform.pipelines.reconcile import ReconcileRequest, reconcile

    shown.check_format(output, ("table", "json"))
    request = ReconcileRequest(
        value=value,
        sql=sql,
        statistic=statistic,
        variant=variant,
        timezones=tuple(timezone or ()),
        depth=depth,
    )
    found = reconcile(api.settings_of(config), experiment_id, metric, request)
    if is_json or output == "json":
        typer.echo(shown.as_json(reconcile_shown.as_document(found)))
    else:
        reconcile_shown.print_reconciliation(found)
