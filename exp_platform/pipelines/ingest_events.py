"""Stage ingest, events: new raw event files into the days they touch."""

from exp_platform.lake.events import list_event_files, open_raw_events
from exp_platform.lake.reading import open_empty
from exp_platform.pipelines.run import Run


def open_everything_raw(run: Run, namespace: str) -> None:
    """Open all raw files of a namespace as if none had been ingested before."""
    files = list_event_files(run.settings.paths.raw, namespace) if namespace else []
    open_raw_events(run.engine, namespace, files)
    open_empty(run.engine, "fact_event", "exp_run.run_published_events")
    open_empty(run.engine, "event_quarantine", "exp_run.run_published_event_quarantine")
    open_empty(run.engine, "fact_event")
