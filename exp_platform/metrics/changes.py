"""What changes between two versions of definitions, in words and in SQL."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from exp_platform.metrics.observations import observation_sql
from exp_platform.metrics.wording import describe
from exp_platform.records import MetricDefinition


@dataclass(frozen=True, slots=True)
class Change:
    """One metric in two versions; None = it is not there.

    Attributes:
        words: topic -> (old sentence, new sentence), where they differ.
        sql: unified diff of the SELECT behind the value; empty = the same.
        is_meaning_changed: results of the two cannot be compared.
        is_unmarked: the meaning changed and the version did not go up.
    """

    name: str
    old: MetricDefinition | None
    new: MetricDefinition | None
    words: Mapping[str, tuple[str, str]]
    sql: str

    @property
    def is_meaning_changed(self) -> bool:
        """The hash is another one."""
        return (
            self.old is not None
            and self.new is not None
            and self.old.definition_hash != self.new.definition_hash
        )

    @property
    def is_unmarked(self) -> bool:
        """The meaning changed, but not the version."""
        if self.old is None or self.new is None or not self.is_meaning_changed:
            return False
        return self.new.version <= self.old.version


def compare_definitions(
    old: Mapping[str, MetricDefinition], new: Mapping[str, MetricDefinition]
) -> list[Change]:
    """Every metric that was added, removed or changed, by name."""
    names = sorted({*old, *new})
    changes = [_compare(name, old.get(name), new.get(name)) for name in names]
    return [change for change in changes if _is_any(change)]


def _is_any(change: Change) -> bool:
    return change.old is None or change.new is None or bool(change.words)


def _compare(
    name: str, old: MetricDefinition | None, new: MetricDefinition | None
) -> Change:
    before = describe(old) if old else {}
    after = describe(new) if new else {}
    words = {
        topic: (before.get(topic, ""), after.get(topic, ""))
        for topic in {**before, **after}
        if before.get(topic) != after.get(topic)
    }
    lines = difflib.unified_diff(
        _sql_lines(old), _sql_lines(new), "old", "new", lineterm="", n=1
    )
    return Change(name, old, new, words, "\n".join(lines))


def _sql_lines(definition: MetricDefinition | None) -> list[str]:
    if definition is None:
        return []
    exact = {definition.numerator, definition.denominator or ""}
    return observation_sql(definition, fixed_point=exact).splitlines()
