"""A scenario into the three delivered tables and the truth behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exp_platform.config import Scenario
from exp_platform.synth.behaviour import Scene, play_scene
from exp_platform.synth.effect import fit_hazards
from exp_platform.synth.event_files import build_event_files, draw_sender
from exp_platform.synth.exposure import expose_users, list_assigned
from exp_platform.synth.failures import (
    deliver_exposures,
    deliver_outcomes,
    list_exposures,
)
from exp_platform.synth.happening import list_events
from exp_platform.synth.market import draw_markets
from exp_platform.synth.population import draw_population
from exp_platform.synth.randomness import Streams
from exp_platform.synth.registry import build_registry, find_watermark
from exp_platform.synth.rhythm import read_rhythm
from exp_platform.synth.tables import (
    build_assignments,
    build_exposures,
    build_outcomes,
)
from exp_platform.synth.truth import build_truth
from exp_platform.synth.visit import draw_marks, draw_visits


@dataclass(frozen=True, slots=True)
class SyntheticExperiment:
    """What a generator gives out.

    Attributes:
        tables: exposures, outcomes, experiment_registry; with events also
            experiment_assignments.
        truth: the true effects, the failure modes, the outcome expected.
        events: raw event files by their path inside the experiment's namespace.
    """

    tables: Mapping[str, pa.Table]
    truth: Mapping[str, Any]
    events: Mapping[str, pa.Table] = field(default_factory=dict)


def generate_experiment(experiment_id: str, scenario: Scenario) -> SyntheticExperiment:
    """Generate one experiment; the same id and scenario give the same tables.

    Raises:
        UsageError: the scenario asks for what cannot be.
    """
    streams = Streams(experiment_id, scenario.seed)
    scene = _set_scene(scenario, streams)
    modes, rhythm, population = scenario.failure_modes, scene.rhythm, scene.population
    exposed = list_exposures(population, scene.exposures)
    outcomes = deliver_outcomes(
        play_scene(scene, streams), modes, exposed, rhythm, streams
    )
    exposures = deliver_exposures(exposed, modes, population, rhythm, streams)
    tables = {
        "exposures": build_exposures(
            exposures,
            population,
            scene.exposures.first_seen_ms,
            rhythm=rhythm,
            experiment_id=experiment_id,
            has_markets=scenario.assignment == "policy",
        ),
        "outcomes": build_outcomes(outcomes, population.n_users, rhythm, experiment_id),
        "experiment_registry": build_registry(experiment_id, scenario, rhythm),
    }
    if scenario.observed_days is not None:
        watermark = find_watermark(scenario, rhythm)
        tables["exposures"] = _cut(tables["exposures"], "exposure_ts", watermark)
        happened = _cut(tables["outcomes"], "outcome_ts", watermark)
        tables["outcomes"] = _cut(happened, "received_ts", watermark)
    truth = build_truth(experiment_id, scene)
    if not scenario.events:
        return SyntheticExperiment(tables, truth)
    user, at_ms = list_assigned(scene.exposures, scene.visits, rhythm)
    tables["experiment_assignments"] = build_assignments(
        user, at_ms, population, rhythm=rhythm, experiment_id=experiment_id
    )
    events = list_events(scene, exposures, outcomes, streams)
    sender = draw_sender(experiment_id, scene, streams)
    return SyntheticExperiment(tables, truth, build_event_files(events, sender))


def _cut(table: pa.Table, column: str, watermark: datetime) -> pa.Table:
    """The rows from before the watermark: what would have been delivered by then."""
    limit = pa.scalar(watermark, table.schema.field(column).type)
    is_before = pc.less(table.column(column), limit)
    return table.filter(pc.fill_null(is_before, fill_value=True))


def _set_scene(scenario: Scenario, streams: Streams) -> Scene:
    rhythm = read_rhythm(scenario)
    is_policy = scenario.assignment == "policy"
    markets = draw_markets(scenario, rhythm.n_days, streams) if is_policy else None
    population = draw_population(scenario, markets, streams)
    visits = draw_visits(population, rhythm, streams)
    visits, exposures = expose_users(scenario, visits, rhythm, streams)
    hazards = fit_hazards(
        scenario, population, visits, exposures, rhythm=rhythm, markets=markets
    )
    marks = draw_marks(scenario, visits.user.size, streams)
    return Scene(scenario, rhythm, population, visits, marks, exposures, hazards)
