"""Funnels: each step must come later than the step before, inside one span of time."""

from collections.abc import Sequence

from exp_platform.metrics.unit_values import Part, happened_sql


def reached_sql(parts: Sequence[Part]) -> str:
    """Units that reached the last step, one row each.

    A unit reaches a step at the first of its rows after it reached the step before; a
    later row could only make the following steps harder to reach, so no choice of rows
    gets further than this one.

    Args:
        parts: the rows of each step, in order, at least one.

    Returns:
        A SELECT with experiment_id, unit_no and number, which is 1.
    """
    names = [f"step_{number}" for number in range(1, len(parts) + 1)]
    bodies = [_first_step(parts[0])]
    bodies += [
        _later_step(part, before)
        for part, before in zip(parts[1:], names, strict=False)
    ]
    tables = ",\n".join(
        f"{name} as (\n{_indent(body)}\n)"
        for name, body in zip(names, bodies, strict=True)
    )
    return (
        f"with {tables}\n"
        f"select experiment_id, unit_no, cast(1 as double) as number\nfrom {names[-1]}"
    )


def _first_step(part: Part) -> str:
    return (
        "select experiment_id, unit_no, min(offset_us) as reached_us\n"
        f"from {part.relation.table}\n"
        f"where {happened_sql(part)}\n"
        "group by experiment_id, unit_no"
    )


def _later_step(part: Part, before: str) -> str:
    return (
        "select later.experiment_id, later.unit_no, min(later.offset_us) as reached_us\n"
        f"from {part.relation.table} as later\n"
        f"inner join {before}\n"
        f"    on later.experiment_id = {before}.experiment_id\n"
        f"    and later.unit_no = {before}.unit_no\n"
        f"where {happened_sql(part)}\n"
        f"    and later.offset_us > {before}.reached_us\n"
        "group by later.experiment_id, later.unit_no"
    )


def _indent(sql: str, blanks: int = 4) -> str:
    return "\n".join(" " * blanks + line for line in sql.splitlines())
