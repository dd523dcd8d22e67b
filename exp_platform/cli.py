"""`exp`: the command line. Thin: every subcommand calls one function.

Exit codes: 0 done (a negative outcome is done), 2 wrong usage or configuration,
3 broken data contract, 4 storage or engine failure, 130 interrupted.
"""

from pathlib import Path
from typing import Annotated

import typer

from exp_platform import cli_import, cli_metrics, cli_reconcile
from exp_platform.pipelines.interrupts import end_command

app = typer.Typer(
    name="exp",
    help="Experiments in, decisions you can trust out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command("import")(cli_import.import_experiment)
app.command("reconcile")(cli_reconcile.reconcile_number)
app.add_typer(cli_metrics.app)

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Configuration file.", show_default=False),
]
TokensOption = Annotated[
    Path | None,
    typer.Option(help="File with token hashes; default: data/api_tokens."),
]
ExperimentArgument = Annotated[str, typer.Argument(help="The experiment's id.")]


@app.command("init")
def init_project(
    folder: Annotated[
        Path, typer.Argument(help="Where to lay the files out.")
    ] = Path(),
) -> None:
    """Lay out configs, metrics and the dbt project in a folder."""
    from exp_platform.pipelines.project import lay_out_project

    for path in lay_out_project(folder):
        typer.echo(f"wrote {path}")


@app.command("run")
def run_experiment(
    experiment_id: ExperimentArgument,
    config: ConfigOption = None,
    generate_synth: Annotated[
        bool, typer.Option("--generate-synth", help="Make the raw data first.")
    ] = False,
    skip: Annotated[
        list[str] | None, typer.Option(help="A stage to leave out; repeatable.")
    ] = None,
    output: Annotated[str, typer.Option("--format", help="memo or json.")] = "memo",
) -> None:
    """Raw data to a decision memo."""
    from exp_platform import api
    from exp_platform.pipelines.run_end_to_end import describe_outcome
    from exp_platform.pipelines.shown import as_json, check_format, outcome_document

    check_format(output, ("memo", "json"))
    outcome = api.run(
        experiment_id,
        config=config,
        generate_synth=generate_synth,
        skip=tuple(skip or ()),
    )
    shown = describe_outcome(outcome)
    typer.echo(as_json(outcome_document(outcome)) if output == "json" else shown)


@app.command("refresh")
def refresh_totals(  # noqa: PLR0917 - a flag is an argument here
    experiment_id: ExperimentArgument,
    watermark: Annotated[
        str | None,
        typer.Option(help="Event time the lake is complete to; default: registry's."),
    ] = None,
    takes_in: Annotated[
        bool, typer.Option("--ingest", help="Take in what was delivered first.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, not only what is new.")
    ] = False,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    config: ConfigOption = None,
) -> None:
    """Bring an experiment's totals up to date from what is new."""
    from exp_platform import api
    from exp_platform.pipelines import refresh_words, shown

    shown.check_format(output, ("table", "json"))
    outcome = api.refresh(
        experiment_id, config=config, watermark=watermark, full=full, ingest=takes_in
    )
    if output == "json":
        typer.echo(shown.as_json(refresh_words.as_document(outcome)))
        return
    table = refresh_words.as_table(outcome)
    shown.print_table(table, empty="no totals: no metric has a unit")
    for line in refresh_words.as_lines(outcome):
        typer.echo(line)


@app.command("list")
def list_experiments(config: ConfigOption = None) -> None:
    """Experiments with their last decision."""
    from exp_platform import api
    from exp_platform.pipelines.shown import list_runs, print_table

    empty = "nothing yet: `exp run ID --generate-synth` makes a first one"
    print_table(list_runs(api.settings_of(config)), empty=empty)


@app.command("results")
def show_results(
    experiment_id: ExperimentArgument,
    output: Annotated[
        str, typer.Option("--format", help="table, json or csv.")
    ] = "table",
    config: ConfigOption = None,
) -> None:
    """The estimates of an experiment."""
    from exp_platform import api
    from exp_platform.pipelines import shown

    shown.check_format(output, ("table", "json", "csv"))
    found = api.results(experiment_id, config=config)
    if output == "json":
        typer.echo(shown.as_json([shown.record_document(e) for e in found]))
    elif output == "csv":
        typer.echo(shown.as_csv([shown.record_document(e) for e in found]), nl=False)
    else:
        shown.print_results(found)


@app.command("memo")
def show_memo(experiment_id: ExperimentArgument, config: ConfigOption = None) -> None:
    """The memo of an experiment, as Markdown."""
    from exp_platform import api
    from exp_platform.pipelines.shown import read_memo

    typer.echo(read_memo(api.settings_of(config), experiment_id))


@app.command("interactions")
def show_interactions(
    first: ExperimentArgument,
    second: Annotated[str, typer.Argument(help="The other experiment's id.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="One of them; repeatable. None = all.")
    ] = None,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    config: ConfigOption = None,
) -> None:
    """Do two experiments on the same units disturb each other?"""
    from exp_platform import api
    from exp_platform.pipelines import interactions, shown

    shown.check_format(output, ("table", "json"))
    found = api.interactions(first, second, metrics=tuple(metric or ()), config=config)
    if output == "json":
        typer.echo(shown.as_json(interactions.as_document(found)))
        return
    counts, lines = interactions.as_tables(found)
    shown.print_table(counts)
    if lines:
        shown.print_table(lines)
    for note in interactions.as_notes(found):
        typer.echo(note)


@app.command("sql")
def show_sql(
    experiment_id: ExperimentArgument,
    metric: Annotated[
        str | None,
        typer.Argument(help="The metric; without one, one SELECT for all totals."),
    ] = None,
    dialect: Annotated[str, typer.Option(help="duckdb, spark or trino.")] = "duckdb",
    full: Annotated[
        bool, typer.Option("--full", help="Every step, from the rows to the moments.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """The SQL behind a number."""
    from exp_platform import api
    from exp_platform.errors import UsageError
    from exp_platform.pipelines.explain import explain_sql, explain_totals
    from exp_platform.pipelines.metric_files import DIALECTS
    from exp_platform.pipelines.shown import check_format

    check_format(dialect, DIALECTS, what="dialect")
    settings = api.settings_of(config)
    if metric is None:
        if full or dialect != "duckdb":
            raise UsageError(
                "one SELECT for all totals exists for DuckDB alone, and has no steps",
                next_step=f"name a metric: `exp sql {experiment_id} METRIC`",
            )
        typer.echo(explain_totals(settings, experiment_id))
        return
    typer.echo(
        explain_sql(settings, experiment_id, metric, dialect=dialect, is_full=full)
    )


@app.command("power")
def plan_power(  # noqa: PLR0917 - a flag is an argument here
    baseline: Annotated[
        float | None, typer.Option(help="Control mean, rate or ratio.")
    ] = None,
    mde: Annotated[
        float | None, typer.Option(help="Effect to find, relative, e.g. 0.02.")
    ] = None,
    difference: Annotated[
        float | None, typer.Option(help="Effect to find, absolute.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Guardrail: relative margin, e.g. 0.02.")
    ] = None,
    sd: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of a unit's value; of a quantile: its error times "
            "the root of its units."
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            help="mean, count, proportion, ratio, quantile, retention or funnel.",
        ),
    ] = "mean",
    units: Annotated[
        int | None, typer.Option(help="Units of all arms: what do they find?")
    ] = None,
    from_experiment: Annotated[
        str | None, typer.Option(help="Take the noise from its control arm.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="One metric; none = the whole plan.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Two-sided, all goals.")] = 0.05,
    power: Annotated[float, typer.Option(help="Chance to find the target.")] = 0.8,
    goals: Annotated[int, typer.Option(help="Goals in the plan.")] = 1,
    guardrails: Annotated[int, typer.Option(help="Guardrails in the plan.")] = 0,
    treatments: Annotated[int, typer.Option(help="Arms beside control.")] = 1,
    control_share: Annotated[
        float | None, typer.Option(help="Control's share; none = equal arms.")
    ] = None,
    variance_ratio: Annotated[
        float, typer.Option(help="What CUPED leaves of the variance.")
    ] = 1.0,
    inflation: Annotated[
        float, typer.Option(help="Units with looks over units with one test.")
    ] = 1.0,
    sequential: Annotated[
        str | None,
        typer.Option(help="group_sequential, confidence_sequence or fixed."),
    ] = None,
    spending: Annotated[
        str | None, typer.Option(help="obrien_fleming, pocock or power.")
    ] = None,
    looks: Annotated[
        int | None, typer.Option(help="Looks in all; none = one a day.")
    ] = None,
    cluster_size: Annotated[
        float | None, typer.Option(help="Units of a cluster, where these are assigned.")
    ] = None,
    icc: Annotated[
        float | None, typer.Option(help="Correlation of two units of a cluster.")
    ] = None,
    units_per_day: Annotated[
        float | None, typer.Option(help="Exposed units a day, all arms.")
    ] = None,
    window_days: Annotated[
        float, typer.Option(help="Days until a unit's value is complete.")
    ] = 0.0,
    decrease: Annotated[bool, typer.Option("--decrease", help="Less is better.")] = (
        False
    ),
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    config: ConfigOption = None,
) -> None:
    """How many units and days an experiment takes, or what so many units find."""
    from exp_platform.pipelines import plan_power as power_plan
    from exp_platform.pipelines import shown
    from exp_platform.pipelines.plan_looks import read_look_request
    from exp_platform.pipelines.plan_request import PowerRequest
    from exp_platform.stats.design import Design

    shown.check_format(output, ("table", "json"))
    design = Design(
        alpha=alpha,
        power=power,
        n_goals=goals,
        n_guardrails=guardrails,
        n_treatments=treatments,
        control_share=control_share,
        inflation=inflation,
        units_per_day=units_per_day,
        window_days=window_days,
    )
    request = PowerRequest(
        design=design,
        kind=kind,
        baseline=baseline,
        sd=sd,
        variance_ratio=variance_ratio,
        mde=mde,
        difference=difference,
        margin=margin,
        is_decrease=decrease,
        units=units,
        experiment_id=from_experiment,
        metric=metric,
        looks=read_look_request(sequential, spending, looks),
        cluster_size=cluster_size,
        cluster_icc=icc,
    )
    settings = None
    if from_experiment is not None:
        from exp_platform import api

        settings = api.settings_of(config)
    answer = power_plan.plan_power(settings, request)
    if output == "json":
        typer.echo(shown.as_json(answer.document))
        return
    shown.print_table(power_plan.as_table(answer))
    for note in answer.notes:
        typer.echo(note)


@app.command("serve")
def serve_api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")
    ] = 8000,
    tokens: TokensOption = None,
    config: ConfigOption = None,
) -> None:
    """Serve the metrics API over HTTP; /docs describes it."""
    from exp_platform import api
    from exp_platform.serve.server import Address, serve

    settings = api.settings_of(config)
    serve(settings, Address(host, port), tokens or settings.paths.tokens)


@app.command("token")
def make_token(
    name: Annotated[str, typer.Argument(help="Whose it is, one word.")],
    tokens: TokensOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a token for the metrics API; it is shown once."""
    from exp_platform import api
    from exp_platform.serve.tokens import add_token

    file = tokens or api.settings_of(config).paths.tokens
    typer.echo(add_token(file, name))
    typer.echo(f"its hash was added to {file}", err=True)


@app.command("calibrate")
def calibrate_methods(
    only: Annotated[
        list[str] | None, typer.Option(help="A simulation; repeatable.")
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Fewer experiments, wider tolerances.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Draw other experiments than the published table.")
    ] = 0,
) -> None:
    """Measure error rates, coverage and power of every method."""
    from exp_platform.pipelines.calibrate import calibrate, describe_rows

    rows = calibrate(only=only or (), short=short, seed=seed)
    typer.echo(describe_rows(rows), nl=False)
    if not all(row.is_passed for row in rows):
        raise typer.Exit(1)


@app.command("maintain")
def maintain_lake(  # noqa: PLR0917 - a flag is an argument here
    keep_runs: Annotated[
        int | None,
        typer.Option(
            help="Runs of each experiment that stay replayable; all by default.",
            show_default=False,
        ),
    ] = None,
    keep_snapshots: Annotated[
        int, typer.Option(help="Of each table, newest first.")
    ] = 10,
    min_files: Annotated[
        int, typer.Option(help="Partitions with fewer files are left alone.")
    ] = 8,
    min_age_hours: Annotated[
        float, typer.Option(help="Younger files are never removed.")
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell.")] = False,
    config: ConfigOption = None,
) -> None:
    """Rewrite small files, expire snapshots, remove files nobody reaches."""
    from exp_platform import api
    from exp_platform.pipelines.maintain import MaintenanceRequest, maintain

    request = MaintenanceRequest(
        min_files=min_files,
        keep_snapshots=keep_snapshots,
        keep_runs=keep_runs,
        min_age_hours=min_age_hours,
        is_rehearsal=dry_run,
    )
    for line in maintain(api.settings_of(config), request).lines():
        typer.echo(line)


@app.command("doctor")
def examine(config: ConfigOption = None) -> None:
    """Is everything in place? Versions, folders, tables."""
    from exp_platform import api
    from exp_platform.pipelines.doctor import examine_project
    from exp_platform.pipelines.shown import print_table

    findings = examine_project(api.settings_of(config))
    print_table([finding.as_row() for finding in findings])
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(4)


def main() -> None:
    """Run the command line; a broken contract or an interrupt is one message."""
    code = end_command(app)
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
