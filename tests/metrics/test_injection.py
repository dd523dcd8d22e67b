"""SQL in any text of a definition, or in a segment, stays a text.

What is an expression is refused (`test_expressions.py`); a name is a name, whatever is
in it. Here every SELECT that is generated from a hostile text is read back: one statement,
over the relations that it is meant to read, with the hostile text as a literal.
"""

from collections.abc import Callable
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from exp_platform.errors import UsageError
from exp_platform.metrics.definitions import parse_definition
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.models import ROWS
from exp_platform.metrics.observations import transpile

ATTACKS = [
    "x'; drop table exp.outcomes; --",
    "x') union all select * from exp.outcomes --",
    "x' or '1' = '1",
    "x''; attach '/tmp/other.db' as other; --",
    "x\\'; drop table exp.outcomes; --",
    "x */ ; drop table exp.outcomes; /*",
    "-- x",
    '"; drop table exp.outcomes; --',
    "'",
    "''",
    "\\",
    "exp_run.int_unit_outcomes",
    "{{ env_var('HOME') }}",
    "$$x$$",
    "x\n; drop table exp.outcomes",
]

# what another engine's way to write a text could let through
HARDEST = [ATTACKS[0], ATTACKS[4], ATTACKS[5], ATTACKS[10], ATTACKS[14]]

PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "name": lambda text: {"name": text, "source": {"outcome": "m"}},
    "outcome": lambda text: {"source": {"outcome": text}},
    "event": lambda text: {"source": {"event": text}},
    "covariate": lambda text: {
        "source": {"outcome": "m"},
        "covariate": {"outcome": text},
    },
    "covariate name": lambda text: {
        "source": {"outcome": "m"},
        "covariates": [{"name": text}, {"outcome": "k"}],
    },
    "denominator": lambda text: {
        "type": "ratio",
        "numerator": {"outcome": "m"},
        "denominator": {"event": text, "aggregation": "count"},
    },
    "step": lambda text: {
        "type": "funnel",
        "steps": [{"outcome": "m"}, {"event": text}],
        "covariate": {},
    },
    "text in a filter": lambda text: {
        "source": {
            "event": "m",
            "filter": f"properties.a = '{text.replace(chr(39), chr(39) * 2)}'",
        }
    },
    "text everywhere": lambda text: {
        "source": {"outcome": "m"},
        "owner": text,
        "description": text,
        "tags": [text],
        "unit_label": text,
    },
}
ALLOWED = {f"exp_run.{name}" for name in ROWS}


def _check(sql: str, dialect: str, text: str, *, is_used: bool) -> None:
    statements = sqlglot.parse(sql, read=dialect)
    assert len(statements) == 1
    (tree,) = statements
    assert isinstance(tree, exp.Query)
    named = {table.sql() for table in tree.find_all(exp.Table)}
    own = {table.alias for table in tree.find_all(exp.CTE)}
    assert {name.split(" ")[0] for name in named} <= ALLOWED | own
    texts = {node.this for node in tree.find_all(exp.Literal) if node.is_string}
    if is_used:
        assert any(text in found for found in texts), texts


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
@pytest.mark.parametrize("place", PLACES)
def test_text_of_a_definition_stays_a_text(place: str, dialect: str) -> None:
    for attack in ATTACKS if dialect == "duckdb" else HARDEST:
        document = {"name": "m", "type": "mean", **PLACES[place](attack)}
        try:
            definition = parse_definition(document, "m.yml")
        except UsageError as error:
            assert error.what  # noqa: PT017 - refusing is as good
            continue
        selects = generate_selects([definition], (), fixed_point=())
        for name, sql in selects.items():
            written = sql if dialect == "duckdb" else transpile(sql, dialect)
            is_used = name == "metric_observations" and place in {"name", "outcome"}
            _check(written, dialect, attack, is_used=is_used)


@pytest.mark.parametrize("attack", ATTACKS)
def test_segment_stays_a_text(attack: str, build: Any, spec: Any) -> None:
    selects = generate_selects([], (attack,), fixed_point=())
    for dialect in ("duckdb", "spark", "trino"):
        sql = selects["unit_segments"]
        written = sql if dialect == "duckdb" else transpile(sql, dialect)
        _check(written, dialect, attack, is_used=True)
    plan = spec().plan
    engine = build(
        [{"user": "a", "variant": "control", "at": spec().start_ts}],
        [],
        [],
        spec(plan=type(plan)(metrics=(), segments=(attack,))),
    )
    found = engine.rows("select distinct segment from exp_run.unit_segments order by 1")
    assert sorted(found) == sorted([("all",), (f"{attack}=(unknown)",)])
