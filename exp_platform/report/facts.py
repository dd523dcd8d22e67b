"""What a memo is made from and what it is: one record in, one record out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.records import (
    CheckResult,
    Decision,
    Estimate,
    ExperimentSpec,
    LedgerStage,
    MethodChoice,
    MetricDefinition,
    PretrendDelta,
    PretrendTest,
    Provenance,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class MemoFacts:
    """Everything one run has to say about one experiment.

    Attributes:
        decisions: one per compared arm, and an overall one with treatment ""; at
            least one.
        choices: metric name -> the methods the router chose and refused.
        ledger: units per arm after each stage, in any order.
        quarantine: reason -> rows that were set aside.
        computed_at: instant of the run, UTC; the memo reads no clock.
        commands: shell lines that make this memo again.
    """

    spec: ExperimentSpec
    decisions: tuple[Decision, ...]
    verdict: Verdict
    checks: tuple[CheckResult, ...]
    estimates: tuple[Estimate, ...]
    definitions: Mapping[str, MetricDefinition]
    choices: Mapping[str, tuple[MethodChoice, ...]]
    deltas: tuple[PretrendDelta, ...]
    pretrends: tuple[PretrendTest, ...]
    ledger: tuple[LedgerStage, ...]
    quarantine: Mapping[str, int]
    provenance: Provenance
    computed_at: datetime
    commands: tuple[str, ...]

    @property
    def overall(self) -> Decision:
        """The decision about all arms together, or the only one there is."""
        for decision in self.decisions:
            if not decision.treatment:
                return decision
        if self.decisions:
            return self.decisions[0]
        raise ContractError(
            "a memo without any decision",
            where=self.spec.experiment_id,
            allowed="one decision per arm and an overall one",
            next_step="decide before the memo is written",
        )

    @property
    def arm_decisions(self) -> tuple[Decision, ...]:
        """The decisions about one arm each."""
        return tuple(one for one in self.decisions if one.treatment)


@dataclass(frozen=True, slots=True)
class Memo:
    """The same memo three times.

    Attributes:
        markdown: text that stands alone.
        html: one page without network, script or file beside it.
        document: JSON values only; `json.dumps` needs no help.
    """

    markdown: str
    html: str
    document: dict[str, Any]
