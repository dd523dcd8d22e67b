"""`exp metrics`: the definitions of a project, checked, listed, shown and compared."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.metrics.caps import lacks_cap
from exp_platform.metrics.changes import Change, compare_definitions
from exp_platform.metrics.definitions import (
    DefinitionFile,
    load_definitions,
    read_file,
    read_folder,
    require_definitions,
)
from exp_platform.metrics.generated import EMPTY, generate_selects
from exp_platform.metrics.observations import transpile
from exp_platform.metrics.wording import describe
from exp_platform.records import MetricDefinition

DIALECTS = ("duckdb", "spark", "trino")


@dataclass(frozen=True, slots=True)
class Lint:
    """What checking definition files found.

    Attributes:
        errors: files that are no definition; `advice`: what a reader will miss.
        n_files: files read.
    """

    errors: tuple[str, ...]
    advice: tuple[str, ...]
    n_files: int


def lint_metrics(paths: Sequence[Path]) -> Lint:
    """Check definition files; every problem is told, none is raised.

    Args:
        paths: files or folders.

    Raises:
        UsageError: a path that does not exist, or holds no definition.
    """
    files = [file for path in paths for file in _read(path)]
    names: dict[str, Path] = {}
    errors = [str(finding) for file in files for finding in file.findings]
    for file in files:
        if file.definition is None:
            continue
        first = names.setdefault(file.definition.name, file.path)
        if first != file.path:
            name = file.definition.name
            errors.append(f"{file.path}: metric {name!r} is defined twice; {first}")
    advice = [line for file in files for line in _advise(file)]
    return Lint(tuple(errors), tuple(advice), len(files))


def list_metrics(folder: Path, *, tag: str | None = None) -> list[dict[str, Any]]:
    """One row for each definition of a folder, by name.

    Args:
        folder: of the definitions.
        tag: only those that have it.
    """
    return [
        {
            "metric": name,
            "type": definition.type.value,
            "version": definition.metric_version,
            "default role": definition.defaults.role.value,
            "owner": definition.owner,
            "tags": ", ".join(definition.tags),
            "description": definition.description,
        }
        for name, definition in sorted(load_definitions(folder).items())
        if tag is None or tag in definition.tags
    ]


def show_metric(folder: Path, name: str, *, dialect: str = "duckdb") -> str:
    """A definition in words, and the SQL it compiles to.

    Args:
        folder: of the definitions.
        name: the metric.
        dialect: duckdb, spark or trino.

    Raises:
        UsageError: no such metric or dialect.
    """
    definition = find_metric(load_definitions(folder), name)
    words = "\n".join(
        f"  {topic + ':':<15}{text}" for topic, text in describe(definition).items()
    )
    blocks = [f"{name}\n{words}"]
    if lacks_cap(definition):
        blocks.append(_UNCAPPED)
    for relation, sql in metric_selects(definition, dialect=dialect).items():
        blocks.append(f"-- {relation}\n{sql}")
    return "\n\n".join(blocks)


_UNCAPPED = "-- without the percentile cap: `exp run` freezes its number, `exp sql` then shows it"


def metric_selects(
    definition: MetricDefinition,
    *,
    dialect: str = "duckdb",
    fixed_point: Collection[str] | None = None,
) -> dict[str, str]:
    """The SELECTs that one definition needs, by relation.

    Args:
        definition: the metric.
        dialect: duckdb, spark or trino.
        fixed_point: outcomes with exact sums; None = all of them.

    Raises:
        UsageError: no such dialect.
    """
    if dialect not in DIALECTS:
        raise UsageError(f"no dialect {dialect!r}", allowed=", ".join(DIALECTS))
    exact = fixed_point
    if exact is None:
        exact = [definition.numerator, definition.denominator or ""]
        exact += [covariate.metric_name for covariate in definition.covariates]
    selects = generate_selects([definition], (), fixed_point=exact)
    return {
        name: sql if dialect == "duckdb" else transpile(sql, dialect)
        for name, sql in selects.items()
        if name in EMPTY and sql != EMPTY[name]
    }


def find_metric(
    definitions: Mapping[str, MetricDefinition], name: str
) -> MetricDefinition:
    """The definition of that name.

    Raises:
        UsageError: there is none.
    """
    if name in definitions:
        return definitions[name]
    raise UsageError(
        f"metric {name!r} is not defined",
        allowed=did_you_mean(name, definitions),
        next_step="`exp metrics list` names them all",
    )


def diff_metrics(old: Path, new: Path) -> list[Change]:
    """What changes between two files or two folders of definitions.

    Raises:
        UsageError: a path that does not exist, or something that is no definition.
    """
    before, after = (require_definitions(_read(path)) for path in (old, new))
    return compare_definitions(before, after)


def tell_change(change: Change, *, has_sql: bool = True) -> str:
    """A change as text.

    Args:
        change: of one metric.
        has_sql: with the difference of the SQL.
    """
    if change.old is None or change.new is None:
        word = "added" if change.old is None else "removed"
        return f"{change.name}: {word}"
    lines = [f"{change.name}: {_tell_meaning(change)}"]
    for topic, (before, after) in change.words.items():
        lines += [f"  {topic}:", f"    - {before}", f"    + {after}"]
    if has_sql and change.sql:
        lines += ["  sql:", *(f"    {line}" for line in change.sql.splitlines())]
    return "\n".join(lines)


def _tell_meaning(change: Change) -> str:
    if change.is_unmarked:
        return "THE MEANING CHANGED AND THE VERSION DID NOT GO UP"
    if change.is_meaning_changed:
        return "the meaning changed, the version went up"
    return "the meaning is the same"


def _read(path: Path) -> list[DefinitionFile]:
    if path.is_file():
        return [read_file(path)]
    files = read_folder(path) if path.is_dir() else []
    if not files:
        raise UsageError(
            "no metric definition there",
            where=str(path),
            allowed="a YAML file, or a folder of them",
        )
    return files


def _advise(file: DefinitionFile) -> list[str]:
    definition = file.definition
    if definition is None:
        return []
    missing = [key for key in ("owner", "description") if not getattr(definition, key)]
    advice = [f"{file.path}: nobody reads this metric without {k}" for k in missing]
    if file.path.stem != definition.name:
        advice.append(f"{file.path}: the file is not named after {definition.name!r}")
    return advice
