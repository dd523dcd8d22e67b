"""Metric definitions: one small YAML file each, validated strictly.

A definition says what one unit's value is; nothing about an experiment stands in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake.files import disk_errors
from exp_platform.metrics.definition_record import make_definition
from exp_platform.metrics.definition_rules import Problem, find_problems
from exp_platform.metrics.definition_text import MetricText
from exp_platform.metrics.positions import Document, UnreadableError, read_document
from exp_platform.records import MetricDefinition

_NEXT = "correct the metric's definition"
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with the place where it stands.

    Attributes:
        where: file:line:column, or the table it came from.
    """

    where: str
    problem: Problem

    def __str__(self) -> str:
        parts = [self.problem.what]
        if self.problem.found:
            parts.append(f"found {self.problem.found}")
        if self.problem.allowed:
            is_hint = self.problem.allowed.startswith(("did you mean", "known:"))
            parts.append(("" if is_hint else "allowed: ") + self.problem.allowed)
        return f"{self.where}: {'; '.join(parts)}"


@dataclass(frozen=True, slots=True)
class DefinitionFile:
    """One file, with its definition or with what is wrong with it."""

    path: Path
    definition: MetricDefinition | None
    findings: tuple[Finding, ...] = ()


def parse_definition(document: Any, where: str) -> MetricDefinition:
    """Validate one definition.

    Args:
        document: the mapping as read from YAML or JSON.
        where: file or table it came from, for the error.

    Raises:
        UsageError: an unknown key, a missing part, a value out of bounds.
    """
    definition, problems = _read(document)
    if definition is None:
        raise tell_findings([Finding(where, problem) for problem in problems])
    return definition


def read_file(path: Path) -> DefinitionFile:
    """One definition file; what is wrong is handed back, not raised."""
    try:
        document = read_document(path.read_text("utf-8"))
    except UnreadableError as error:
        problem = Problem((), "not valid YAML", error.what)
        return _refused(path, [Finding(f"{path}:{error.position}", problem)])
    except UnicodeDecodeError as error:
        return _refused(
            path, [Finding(str(path), Problem((), "not valid YAML", error.reason))]
        )
    except OSError as error:
        reason = error.strerror or str(error)
        return _refused(
            path, [Finding(str(path), Problem((), "not a readable file", reason))]
        )
    definition, problems = _read(document.content)
    repeated = [
        Problem(key, f"the key {key[-1]!r} stands twice", is_key=True)
        for key in document.repeated
    ]
    if repeated or definition is None:
        found = [_place(path, document, p) for p in (*repeated, *problems)]
        return _refused(path, found)
    return DefinitionFile(path, definition)


def read_folder(folder: Path) -> list[DefinitionFile]:
    """Every `*.yml` of a folder, in order of their names; hidden files are none.

    An editor's lock or backup of a definition is hidden beside it.

    Raises:
        StorageError: the folder may not be read.
    """
    files: list[DefinitionFile] = []
    names: dict[str, Path] = {}
    for path in _list_files(folder):
        file = read_file(path)
        if file.definition is not None:
            name = file.definition.name
            first = names.setdefault(name, path)
            if first != path:
                what = f"metric {name!r} is defined twice"
                problem = Problem(("name",), what, f"also in {first.name}")
                file = _refused(path, [Finding(str(path), problem)])
        files.append(file)
    return files


def _list_files(folder: Path) -> list[Path]:
    """Not by `glob`, to which a folder that it may not read is an empty one."""
    with disk_errors(folder):
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path for path in paths if path.match("*.y*ml") and not path.name.startswith(".")
    ]


def load_definitions(folder: Path) -> dict[str, MetricDefinition]:
    """Read every `*.yml` of a folder.

    Returns:
        Definitions by metric name.

    Raises:
        UsageError: files that are no definition, or a name defined twice; all of them
            are told at once.
    """
    return require_definitions(read_folder(folder))


def require_definitions(files: Iterable[DefinitionFile]) -> dict[str, MetricDefinition]:
    """The definitions of files that all have one, by metric name.

    Raises:
        UsageError: files that are no definition; all of them are told at once.
    """
    read = list(files)
    findings = [finding for file in read for finding in file.findings]
    if findings:
        raise tell_findings(findings)
    return {f.definition.name: f.definition for f in read if f.definition is not None}


def choose_definitions(
    names: Iterable[str],
    project: Mapping[str, MetricDefinition],
    own: Mapping[str, Any],
    *,
    experiment_id: str,
) -> dict[str, MetricDefinition]:
    """Pick the definitions an experiment's plan names.

    Args:
        names: metric names of the plan, in order.
        project: definitions of the project's folder.
        own: definitions that belong to this experiment alone; they win.
        experiment_id: for the error.

    Raises:
        UsageError: the plan names a metric that nobody defined.
    """
    chosen: dict[str, MetricDefinition] = {}
    for name in names:
        if name in own:
            where = f"experiment_registry.definitions of {experiment_id}"
            chosen[name] = parse_definition(own[name], where)
        elif name in project:
            chosen[name] = project[name]
        else:
            raise UsageError(
                f"metric {name!r} is not defined",
                where=f"plan of experiment {experiment_id}",
                allowed=did_you_mean(name, [*project, *own]),
                next_step="add a YAML file for it or correct the plan",
            )
    return chosen


def tell_findings(findings: Sequence[Finding]) -> UsageError:
    """One error that tells all findings."""
    if len(findings) == 1:
        one = findings[0]
        return UsageError(
            one.problem.what,
            where=one.where,
            found=one.problem.found,
            allowed=one.problem.allowed,
            next_step=_NEXT,
        )
    lines = [f"\n    {finding}" for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"\n    and {len(findings) - _SHOWN} more")
    return UsageError(
        f"{len(findings)} problems in metric definitions",
        where=findings[0].where,
        found="".join(lines),
        next_step="correct them; `exp metrics lint` lists them all",
    )


def _read(document: Any) -> tuple[MetricDefinition | None, list[Problem]]:
    try:
        text = MetricText.model_validate(document)
    except ValidationError as error:
        return None, [_problem_of(found) for found in error.errors()]
    problems = find_problems(text)
    if problems:
        return None, problems
    definition = make_definition(text)
    labels = [covariate.label for covariate in definition.covariates]
    for label in sorted(labels):
        if labels.count(label) > 1:
            key = "covariates" if text.covariates else "covariate"
            what = "two covariates of one name"
            return None, [Problem((key,), what, label, "give one a name")]
    return definition, []


def _problem_of(error: Any) -> Problem:
    path = tuple(error["loc"])
    key = ".".join(str(part) for part in path)
    if error["type"] == "extra_forbidden":
        known = did_you_mean(str(path[-1]), _known_keys(path[:-1]))
        return Problem(path, f"unknown key {key!r}", allowed=known, is_key=True)
    name = key or "metric"
    if error["type"] == "missing":
        return Problem(path, f"{name}: missing")
    given = error.get("input")
    found = "nothing" if given is None else repr(given)[:200]
    if error["type"] == "string_pattern_mismatch":
        what = "a name neither begins nor ends with a line break"
        return Problem(path, f"{name}: {what}", found)
    if error["type"] in _NO_MAPPING:
        return Problem(path, f"{name}: keys with values are needed", found)
    return Problem(path, f"{name}: {error['msg']}", found)


_NO_MAPPING = {"model_type", "dict_type", "model_attributes_type"}


def _known_keys(path: tuple[Any, ...]) -> Iterable[str]:
    """Keys of the model at a path."""
    model: Any = MetricText
    for key in path:
        if isinstance(key, str) and key in model.model_fields:
            model = _model_of(model.model_fields[key].annotation) or model
    return tuple(model.model_fields)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_of(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def _place(path: Path, document: Document, problem: Problem) -> Finding:
    position = document.locate(problem.path, is_key=problem.is_key)
    return Finding(f"{path}:{position}", problem)


def _refused(path: Path, findings: Sequence[Finding]) -> DefinitionFile:
    return DefinitionFile(path, None, tuple(findings))
