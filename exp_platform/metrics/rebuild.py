"""Models built in many versions beside each other, each distinct text once."""

import hashlib
from collections.abc import Callable, Collection, Mapping

from exp_platform.lake import Engine
from exp_platform.metrics.models import find_needed, model_order, place_relations


class Rebuilder:
    """Builds models whose texts differ a little from one time to the next.

    A model is named after its text with the names of its parents in it, so what two
    versions share is built once.

    Args:
        engine: holds the sources `exp.*` and the scope `exp_run.run_*`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._built: dict[str, str] = {}
        self._kept: frozenset[str] = frozenset()

    def build(self, texts: Mapping[str, str], goals: Collection[str]) -> dict[str, str]:
        """The relation of each model, parents first.

        Args:
            texts: the SELECT of each model by name.
            goals: models wanted; what they do not need is left out.
        """
        needed = frozenset[str]().union(*(find_needed(goal, texts) for goal in goals))
        relations: dict[str, str] = {}
        for name, materialized in model_order(groups=("metrics",)):
            if name in needed:
                sql = place_relations(texts[name], "duckdb", _place_in(relations))
                relations[name] = self._create(sql, materialized)
        return relations

    def keep(self) -> None:
        """What was built so far stays; `forget` drops only what comes after."""
        self._kept = frozenset(self._built)

    def forget(self) -> None:
        """Drop what was built since `keep`, latest first."""
        for relation in reversed(list(self._built)):
            if relation not in self._kept:
                kind = self._built.pop(relation)
                self._engine.execute(f"drop {kind} {relation}")

    def _create(self, sql: str, materialized: str) -> str:
        key = hashlib.sha256(sql.encode()).hexdigest()[:24]
        relation = f"exp_run.version_{key}"
        if relation not in self._built:
            self._engine.execute(f"create {materialized} {relation} as\n{sql}")
            self._built[relation] = materialized
        return relation


def _place_in(relations: Mapping[str, str]) -> Callable[[str], str]:
    """The version of a model that was built; another relation keeps its name."""

    def place(name: str) -> str:
        """Where a relation stands in the statement."""
        schema, _, model = name.partition(".")
        return relations.get(model, name) if schema == "exp_run" else name

    return place
