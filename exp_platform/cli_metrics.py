"""`exp metrics`: definitions checked, listed, shown, compared, traced to results, exported."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="metrics",
    help="Metric definitions: lint, list, show, diff, impact, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Configuration file.", show_default=False),
]
DialectOption = Annotated[str, typer.Option(help="duckdb, spark or trino.")]


@app.command("lint")
def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files or folders; none = the project's."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Advice counts as an error.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Check definition files; exit code 2 when one is wrong."""
    from exp_platform.checks.wording import format_count
    from exp_platform.pipelines.metric_files import lint_metrics

    found = lint_metrics(paths or [_folder(config)])
    for line in found.errors:
        typer.echo(f"error: {line}")
    for line in found.advice:
        typer.echo(f"advice: {line}")
    typer.echo(
        f"{format_count(found.n_files, 'file')}, "
        f"{format_count(len(found.errors), 'error')}, {len(found.advice)} advice"
    )
    if found.errors or (strict and found.advice):
        raise typer.Exit(2)


@app.command("list")
def list_definitions(
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    config: ConfigOption = None,
) -> None:
    """All definitions of the project."""
    from exp_platform.pipelines import shown
    from exp_platform.pipelines.metric_files import list_metrics

    shown.check_format(output, ("table", "json"))
    rows = list_metrics(_folder(config), tag=tag)
    if output == "json":
        typer.echo(shown.as_json(rows))
    else:
        whose = f" with the tag {tag!r}" if tag else ""
        shown.print_table(rows, empty=f"no metric{whose}")


@app.command("show")
def show(
    metric: Annotated[str, typer.Argument(help="The metric.")],
    dialect: DialectOption = "duckdb",
    config: ConfigOption = None,
) -> None:
    """One definition in words, and the SQL it compiles to."""
    from exp_platform.pipelines.metric_files import show_metric

    typer.echo(show_metric(_folder(config), metric, dialect=dialect))


@app.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(help="File or folder as it was.")],
    new: Annotated[Path, typer.Argument(help="File or folder as it is now.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit code 3 if a meaning has its old version."),
    ] = False,
) -> None:
    """What changes in words and in SQL, and whether the version went up."""
    from exp_platform.checks.wording import format_count
    from exp_platform.pipelines.metric_files import diff_metrics, tell_change

    changes = diff_metrics(old, new)
    for change in changes:
        typer.echo(tell_change(change))
    unmarked = sum(change.is_unmarked for change in changes)
    told = format_count(len(changes), "change")
    typer.echo(f"{told}, {unmarked} without a new version")
    if check and unmarked:
        raise typer.Exit(3)


@app.command("impact")
def impact(
    metrics: Annotated[
        list[str] | None, typer.Argument(help="Metrics; none = all.")
    ] = None,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    config: ConfigOption = None,
) -> None:
    """Past results that used another definition than the project's is now."""
    from exp_platform import api
    from exp_platform.checks.wording import format_count
    from exp_platform.pipelines import shown
    from exp_platform.pipelines.metric_files import tell_change
    from exp_platform.pipelines.metric_impact import find_impact

    shown.check_format(output, ("table", "json"))
    found = find_impact(api.settings_of(config), metrics or ())
    if output == "json":
        typer.echo(shown.as_json([dict(row) for row in found.rows]))
        return
    if found.rows:
        shown.print_table(found.rows)
    for change in found.changes:
        typer.echo(tell_change(change, has_sql=False))
    typer.echo(
        f"{format_count(len(found.rows), 'result')} used another definition, "
        f"{found.n_same} the one there is now, {found.n_own} one of their own"
    )


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="Folder among a dbt project's models.")],
    output: Annotated[
        str, typer.Option("--format", help="dbt (for our package) or metricflow.")
    ] = "dbt",
    segment: Annotated[
        list[str] | None,
        typer.Option(help="Attribute to drill down by; repeatable (dbt)."),
    ] = None,
    dialect: DialectOption = "duckdb",
    config: ConfigOption = None,
) -> None:
    """Write the definitions as models or as a semantic model for dbt."""
    from exp_platform.pipelines.metric_export import export_metrics

    exported = export_metrics(
        _folder(config), out, output=output, segments=segment or (), dialect=dialect
    )
    for path in exported.paths:
        typer.echo(f"wrote {path}")
    for metric, reason in exported.left_out.items():
        typer.echo(f"left out {metric}: {reason}")


def _folder(config: str | None) -> Path:
    from exp_platform import api

    return api.settings_of(config).paths.metrics
