"""Read and validate `configs/<env>.yaml`: the only reader of the folder `configs/`.

Unknown keys are errors with a suggestion; a secret never stands in a file, it comes
from the environment as `${NAME}`.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from exp_platform.errors import UsageError, did_you_mean, mask_passwords

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]

DEFAULT_CONFIG = "configs/dev.yaml"
_SECRET = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FailureModes(_Strict):
    """What goes wrong in a synthetic experiment; everything off by default."""

    sample_ratio_mismatch: Share = Field(
        0.0, description="share of treatment exposures lost, not at random"
    )
    trend_drift: float = Field(
        0.0,
        description="drift of the treated group's purchases per day, before and "
        "after, relative to the day of the start or the policy",
    )
    guardrail_degradation: float = Field(
        0.0, ge=0, description="relative rise of support contacts in treatment"
    )
    duplicate_share: Share = Field(0.0, description="share of rows delivered twice")
    late_share: Share = Field(0.0, description="share of outcomes collected days late")
    crossover_share: Share = Field(0.0, description="share of units that met both arms")
    bot_share: Share = Field(0.0, description="share of units that are bots")
    missing_pre_period: bool = Field(
        default=False, description="nothing from before the experiment is delivered"
    )
    novelty_half_life_days: Positive | None = Field(
        None, description="days after exposure until the effect has halved"
    )
    outlier_value: Positive | None = Field(
        None, description="value of one single order in the treatment arm"
    )
    missing_day: int | None = Field(
        None, ge=1, description="day of the experiment whose outcomes were lost"
    )
    spike_day: int | None = Field(
        None, ge=1, description="day on which every session was logged three times"
    )


class Scenario(_Strict):
    """One synthetic experiment: `experiments.<id>` of a config."""

    days: int = Field(ge=1, le=365, description="length of the experiment in days")
    observed_days: int | None = Field(
        None, ge=1, description="days whose data are in; none = all of them"
    )
    n_users: int = Field(ge=2, le=50_000_000, description="users of the product")
    exposure_rate: Share = Field(0.85, description="share of users exposed at all")
    treatment_share: float = Field(
        0.5, gt=0, lt=1, description="planned share of treatment"
    )
    base_conversion: Share = Field(0.10, description="P(conversion) in control")
    effect_lift_conversion: float = Field(
        0.0, ge=-1, le=1, description="added to P(conversion), absolute"
    )
    revenue_mean: Positive = Field(12.5, description="mean value of an order")
    revenue_sd: Positive = Field(
        3.0, description="standard deviation of a user's orders; users differ on top"
    )
    pre_period_days: int = Field(14, ge=0, le=365, description="days before the start")
    seed: int = Field(
        7, ge=0, lt=2**63, description="seed; the data follow from id and seed"
    )
    start_date: date = Field(date(2026, 1, 5), description="first day, UTC")
    assignment: Literal["randomised", "policy"] = "randomised"
    policy_day: int | None = Field(
        None, ge=1, description="day of the experiment a roll-out took effect"
    )
    n_clusters: int = Field(60, ge=2, description="markets of a policy roll-out")
    effect_sessions: float = Field(0.0, description="relative effect on sessions")
    new_user_share: Share = Field(0.05, description="users first seen in the look-back")
    events: bool = Field(
        default=False, description="also make raw events and raw assignments"
    )
    hypothesis: str = ""
    owner: str = "growth"
    plan: dict[str, Any] = Field(
        default_factory=dict, description="keys of the analysis plan to override"
    )
    failure_modes: FailureModes = FailureModes()

    @model_validator(mode="after")
    def _policy_has_a_day(self) -> Self:
        if self.assignment == "policy" and self.policy_day is None:
            raise ValueError("assignment 'policy' needs policy_day")
        if self.policy_day is not None and self.policy_day >= self.days:
            raise ValueError("policy_day must lie before the last day")
        if self.observed_days is not None and self.observed_days > self.days:
            raise ValueError("observed_days must not be more than days")
        modes = self.failure_modes
        if max(modes.missing_day or 0, modes.spike_day or 0) > self.days:
            raise ValueError("missing_day and spike_day must not be more than days")
        return self


class Paths(_Strict):
    """Where things are kept; relative paths start at the project's folder, `~` at home."""

    warehouse: Path = Path("data/warehouse")
    catalog: Path = Path("data/warehouse/catalog.db")
    raw: Path = Path("data/raw")
    memos: Path = Path("data/memos")
    metrics: Path = Path("metrics")
    temp: Path = Path("data/tmp")
    tokens: Path = Path("data/api_tokens")

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_empty(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("a path is not empty; `.` is the project's folder")
        return value


_DATABASE = "postgresql+pg8000://"
_DATABASE_URL = re.compile(
    re.escape(_DATABASE) + r"([^:/@\s]*(:[^@]*)?@)?(\[[\da-fA-F:.]+\]|[^@/:?#\s]*)"
    r"(:\d{1,5})?/[^@/?#\s]+(\?(application_name|unix_sock)=[^\s&]*)?"
)
_REST_URL = re.compile(r"https?://\S+")
S3Location = Annotated[str, Field(pattern=r"^s3a?://[a-z0-9][a-z0-9.-]+(/[^?#]*)?$")]


class Remote(_Strict):
    """A lake that several people and engines share; `paths` are then local copies."""

    catalog: str = Field(
        description="SQLAlchemy URL of the PostgreSQL database with the catalog, or "
        "URL of an Iceberg REST server",
    )
    rest_warehouse: str = Field(
        "", description="what a REST server calls the warehouse; empty = its default"
    )
    warehouse: S3Location = Field(description="Iceberg tables")
    raw: S3Location = Field(description="delivered files")
    endpoint: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="URL of the store; empty = AWS"
    )
    region: str = "us-east-1"

    @field_validator("catalog")
    @classmethod
    def _catalog_is_a_url(cls, value: str) -> str:
        if _REST_URL.fullmatch(value) or _DATABASE_URL.fullmatch(value):
            return value
        if value.startswith(_DATABASE):
            raise ValueError(
                f"after {_DATABASE} goes USER:PASSWORD@HOST:PORT/NAME, with @ and % of "
                "a password as %40 and %25"
            )
        raise ValueError(f"begin with {_DATABASE}, or with http:// or https://")


EngineKind = Literal["duckdb", "spark", "trino"]
PORTABLE_STAGES: Mapping[str, tuple[EngineKind, ...]] = {
    "ingest": ("duckdb", "spark"),
    "metrics": ("duckdb", "spark", "trino"),
}
"""Stages that another engine than DuckDB can compute, and which."""


class StageEngines(_Strict):
    """Engines by stage; of the stages that can move."""

    ingest: EngineKind | None = Field(
        None, description="checks the delivered files; Trino cannot read them"
    )
    metrics: EngineKind | None = None

    @model_validator(mode="after")
    def _engine_can(self) -> Self:
        for stage, kinds in PORTABLE_STAGES.items():
            own = getattr(self, stage)
            if own and own not in kinds:
                raise ValueError(
                    f"{own} cannot compute {stage}: choose {' or '.join(kinds)}"
                )
        return self


class EngineSettings(_Strict):
    """Which engine computes what, and its limits."""

    kind: EngineKind = Field(
        "duckdb", description="computes every stage that can run on it"
    )
    stages: StageEngines = StageEngines()
    memory_limit: str = Field("4GB", pattern=r"^\d+(\.\d+)?\s?(KB|MB|GB|TB)$")
    threads: int | None = Field(None, ge=1, le=1024)
    trino: str = Field(
        "",
        description="URL of the Trino server, http://host:port",
        pattern="^(https?://.+)?$",
    )

    @field_validator("trino")
    @classmethod
    def _port_is_a_number(cls, value: str) -> str:
        _ = urlsplit(value).port  # raises; Trino's client would, in the middle of a run
        return value

    def of(self, stage: str) -> EngineKind:
        """The engine of a stage; what `kind` cannot compute is DuckDB's."""
        kinds = PORTABLE_STAGES.get(stage, ())
        own: EngineKind | None = getattr(self.stages, stage) if kinds else None
        return own or (self.kind if self.kind in kinds else "duckdb")

    @property
    def kinds(self) -> set[str]:
        """Every engine that some stage needs."""
        return {"duckdb", *(self.of(stage) for stage in PORTABLE_STAGES)}


class Settings(_Strict):
    """A whole configuration file."""

    environment: str
    paths: Paths = Paths()
    engine: EngineSettings = EngineSettings()
    remote: Remote | None = None
    experiments: dict[str, Scenario] = Field(default_factory=dict)
    root: Path = Field(Path(), exclude=True)
    config_hash: str = Field("", exclude=True)

    @model_validator(mode="after")
    def _engines_have_a_place(self) -> Self:
        if "trino" in self.engine.kinds:
            if self.remote is None:
                raise ValueError("engine trino needs a shared lake: add `remote:`")
            if not urlsplit(self.engine.trino).hostname:
                raise ValueError("engine trino needs its address: add `trino: URL`")
        return self

    def scenario(self, experiment_id: str) -> Scenario:
        """The synthetic scenario of an experiment.

        Raises:
            UsageError: the configuration has no such scenario.
        """
        if experiment_id not in self.experiments:
            raise UsageError(
                f"no scenario named {experiment_id!r}",
                where=f"experiments of the {self.environment} configuration",
                allowed=did_you_mean(experiment_id, self.experiments),
                next_step="add a block under `experiments:` or choose another id",
            )
        return self.experiments[experiment_id]


def load_settings(path: str | Path) -> Settings:
    """Read a configuration file and resolve its paths.

    Args:
        path: the YAML file; its project folder is the parent of `configs/`.

    Raises:
        UsageError: no such file, not YAML, an unknown key, a value out of bounds, or
            an environment variable that is not set.
    """
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the configuration {str(path)!r}",
            found=str(error),
            next_step="run `exp init` in an empty folder, or pass --config FILE",
        ) from error
    settings = _validate(_parse(text, file), file)
    folder = file.resolve().parent
    root = folder.parent if folder.name == "configs" else folder
    paths = {
        name: root / _expand_home(value, name, file)
        for name, value in settings.paths.model_dump().items()
    }
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
    return settings.model_copy(
        update={"root": root, "paths": Paths(**paths), "config_hash": digest[:16]}
    )


def _expand_home(path: Path, name: str, file: Path) -> Path:
    """`~` and `~user` as a shell reads them."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"paths.{name}: no such user's home folder",
            where=str(file),
            found=repr(str(path)),
            next_step="write the whole path; nothing was run",
        ) from error


def _parse(text: str, file: Path) -> Any:
    try:
        _refuse_double_keys(yaml.compose(text, Loader=_loader()), file)
        document = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # a date like 2026-02-30, a number of 5000 digits; a list that holds itself
        raise UsageError("not valid YAML", where=str(file), found=str(error)) from error
    return _fill_secrets(document, file)


def _refuse_double_keys(node: yaml.Node | None, file: Path) -> None:
    """YAML lets the last of two equal keys win; here it would hide a mistake."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_double_keys(item, file)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if str(key.value) in seen:
            raise UsageError(
                f"the key {key.value!r} stands twice",
                where=f"{file}, line {key.start_mark.line + 1}",
                next_step="keep one of them; nothing was run",
            )
        seen.add(str(key.value))
        _refuse_double_keys(value, file)


def _loader() -> type[yaml.SafeLoader]:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _fill_secrets(node: Any, file: Path) -> Any:
    if isinstance(node, dict):
        return {key: _fill_secrets(value, file) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill_secrets(value, file) for value in node]
    if isinstance(node, str):
        return _SECRET.sub(lambda match: _secret(match[1], file), node)
    return node


def _secret(name: str, file: Path) -> str:
    if name not in os.environ:
        raise UsageError(
            f"the environment variable {name} is not set",
            where=str(file),
            next_step=f"export {name}=... and run again",
        )
    value = os.environ[name]
    if not value.isprintable():
        raise UsageError(
            f"the environment variable {name} holds a line break or another sign that "
            "cannot be printed",
            where=str(file),
            next_step=f"export {name} without it and run again",
        )
    return value


def _validate(document: Any, file: Path) -> Settings:
    own = {name for name, field in Settings.model_fields.items() if field.exclude}
    for name in sorted(
        own.intersection(document if isinstance(document, dict) else ())
    ):
        raise UsageError(f"unknown key {name!r}", where=str(file))
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        # a mistyped key is why another one is missing, so it is told first
        first = max(error.errors(), key=lambda e: e["type"] == "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        unknown = first["type"] == "extra_forbidden"
        message = first["msg"].partition(" or instance of ")[0]
        raise UsageError(
            f"unknown key {where!r}" if unknown else f"{where}: {message}",
            where=str(file),
            found=mask_passwords(repr(first.get("input")))[:200],
            allowed=_suggest(first["loc"]) if unknown else "",
            next_step="correct the file; nothing was run",
        ) from error


def _suggest(location: tuple[int | str, ...]) -> str:
    """Name the keys that the mistyped one may stand for."""
    parents: dict[str, type[_Strict]] = {
        "paths": Paths,
        "engine": EngineSettings,
        "stages": StageEngines,
        "remote": Remote,
        "failure_modes": FailureModes,
    }
    model: type[_Strict] = Settings
    if len(location) > 1 and location[0] == "experiments":
        model = Scenario
    for part in location[:-1]:
        model = parents.get(str(part), model)
    return did_you_mean(str(location[-1]), model.model_fields)
