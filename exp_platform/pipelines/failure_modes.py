"""Run every failure mode with its effect and without, and say what came of it.

`make failure-modes` writes the table of docs/failure-modes.md; a test runs the same.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp_platform.config import FailureModes, Paths, Scenario, Settings, load_settings
from exp_platform.lake import raw_folder
from exp_platform.pipelines.interrupts import end_command
from exp_platform.pipelines.run_end_to_end import (
    RunOptions,
    RunOutcome,
    run_end_to_end,
)
from exp_platform.records import CheckStatus, Estimate

REPAIRED = ("duplicate_share", "late_share")
HEAD = """\
# Failure modes

What goes wrong on purpose, who notices, and what the platform then decides. Made by
`make failure-modes`; each scenario runs with its effect and with none. "Allowed" are the
decisions that would be right. For a mode that ingest repairs, the last column is the
largest gap to the estimates of the same data without the fault, in standard errors.

"""


@dataclass(frozen=True, slots=True)
class ModeResult:
    """One scenario as it ended.

    Attributes:
        found: checks that did not pass, with their status.
        allowed: decisions that would be right.
        gap: largest gap to the clean data's estimates in standard errors; None = the
            mode is not one that ingest repairs.
    """

    experiment_id: str
    effect: str
    verdict: str
    found: tuple[str, ...]
    expected_check: str
    allowed: tuple[str, ...]
    allowed_verdicts: tuple[str, ...]
    decision: str
    reasons: tuple[str, ...]
    gap: float | None = None

    @property
    def is_right(self) -> bool:
        """The named outcome was reached, by the check that had to see it."""
        seen = not self.expected_check or any(
            found.startswith(self.expected_check) for found in self.found
        )
        repaired = self.gap is None or self.gap <= 1e-9
        right = self.decision in self.allowed and self.verdict in self.allowed_verdicts
        return right and seen and repaired


def run_failure_modes(
    settings: Settings, names: Sequence[str] = ()
) -> Iterator[ModeResult]:
    """Run the failure scenarios of a configuration, each in a warehouse of its own.

    In one warehouse the second run of an experiment would be told apart from the first
    as a restatement, and the failure that was meant would not stand alone.

    Args:
        settings: a loaded configuration; its folders are not touched.
        names: scenarios; empty = every one whose id ends in a number above 100.
    """
    chosen = names or [name for name in settings.experiments if _is_failure(name)]
    for name in chosen:
        scenario = settings.experiments[name]
        effects = {"real": scenario}
        if scenario.effect_lift_conversion:
            effects["none"] = scenario.model_copy(
                update={"effect_lift_conversion": 0.0}
            )
        for effect, variant in effects.items():
            label = "none" if not scenario.effect_lift_conversion else effect
            yield _run_one(settings, name, (label, variant))


def _is_failure(name: str) -> bool:
    number = name.rsplit("_", 1)[-1]
    return number.isdigit() and int(number) > 100


def _paths_in(folder: Path, settings: Settings) -> Paths:
    return Paths(
        warehouse=folder / "warehouse",
        catalog=folder / "warehouse" / "catalog.db",
        raw=folder / "raw",
        memos=folder / "memos",
        metrics=settings.paths.metrics,
        temp=folder / "tmp",
    )


def _run_one(settings: Settings, name: str, case: tuple[str, Scenario]) -> ModeResult:
    effect, scenario = case
    outcome, truth = _run(settings, name, scenario)
    gap = None
    if any(getattr(scenario.failure_modes, mode) for mode in REPAIRED):
        clean = scenario.model_copy(update={"failure_modes": FailureModes()})
        reference, _ = _run(settings, name, clean)
        gap = largest_gap(reference.judgement.estimates, outcome.judgement.estimates)
    overall = outcome.judgement.overall
    bad = [c for c in outcome.judgement.checks if c.status is not CheckStatus.PASSED]
    labels = dict.fromkeys(f"{c.check_name} {c.status.value}" for c in bad)
    return ModeResult(
        experiment_id=name,
        effect=effect,
        verdict=outcome.judgement.verdict.value,
        found=tuple(labels),
        expected_check=truth["check"],
        allowed=tuple(truth["decisions"]),
        allowed_verdicts=tuple(truth["verdicts"]),
        decision=overall.outcome.value,
        reasons=overall.reasons,
        gap=gap,
    )


def _run(
    settings: Settings, name: str, scenario: Scenario
) -> tuple[RunOutcome, dict[str, Any]]:
    """One scenario in an empty warehouse: how it ended, and what was to be expected."""
    experiments = {**settings.experiments, name: scenario}
    with tempfile.TemporaryDirectory() as folder:
        paths = _paths_in(Path(folder), settings)
        changed = settings.model_copy(
            update={"experiments": experiments, "paths": paths}
        )
        outcome = run_end_to_end(changed, name, RunOptions(generate_synth=True))
        return outcome, _read_truth(paths, name)


def _read_truth(paths: Paths, name: str) -> dict[str, Any]:
    text = (raw_folder(paths.raw, name) / "truth.json").read_text("utf-8")
    expected: dict[str, Any] = json.loads(text)["expected"]
    return expected


def largest_gap(clean: Sequence[Estimate], other: Sequence[Estimate]) -> float:
    """Largest difference between two sets of estimates, in standard errors."""
    rows = {(e.metric_name, e.method, e.treatment, e.segment): e for e in other}
    worst = 0.0
    for estimate in clean:
        key = (
            estimate.metric_name,
            estimate.method,
            estimate.treatment,
            estimate.segment,
        )
        twin = rows.get(key)
        if twin is None or twin.status is not estimate.status:
            return float("inf")
        if estimate.difference is None or twin.difference is None:
            continue
        scale = estimate.standard_error or 1.0
        worst = max(worst, abs(estimate.difference - twin.difference) / scale)
    return worst


def describe(result: ModeResult) -> str:
    """One line of the table."""
    gap = "" if result.gap is None else f"{result.gap:.1g}"
    cells = [
        f"`{result.experiment_id}`",
        result.effect,
        ", ".join(result.found) or "all passed",
        result.verdict,
        " or ".join(result.allowed),
        f"**{result.decision}** ({', '.join(result.reasons)})",
        gap,
        "yes" if result.is_right else "NO",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Write the table; exit code 1 when a mode did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--output", type=Path, help="Markdown file; default stdout")
    arguments = parser.parse_args()

    def action() -> int:
        """Run the scenarios and write the table."""
        results = list(run_failure_modes(load_settings(arguments.config)))
        titles = "scenario | effect | checks that spoke | verdict | allowed | decision"
        table = [f"| {titles} | gap to clean | as it must |", "|---" * 8 + "|"]
        text = HEAD + "\n".join([*table, *map(describe, results)]) + "\n"
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(text, "utf-8")
        else:
            sys.stdout.write(text)
        return 0 if all(result.is_right for result in results) else 1

    return end_command(action)


if __name__ == "__main__":
    raise SystemExit(main())
