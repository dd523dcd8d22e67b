"""What goes over the wire, checked on the way in and documented on the way out."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from exp_platform.metrics.query import Clock, Filter, Grain, MetricQuery
from exp_platform.pipelines.ask import AsOf

# A control character has no place in a name.
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]

# A segment's value may be any text, also an empty one; SQL's texts have no NUL.
Value = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FilterBody(_Body):
    """Keep units whose dimension has one of these values, or leave them out."""

    dimension: Name
    values: list[Value] = Field(min_length=1, max_length=1000)
    negated: bool = Field(default=False, strict=True)


class QueryBody(_Body):
    """A question: metrics x dimensions x time grain x filters."""

    metrics: list[Name] = Field(min_length=1, max_length=100)
    dimensions: list[Name] = Field(default=["variant"], max_length=10)
    grain: Literal["day", "week", "month"] | None = None
    clock: Literal["exposure", "outcome", "age"] = "exposure"
    cumulative: bool = Field(
        default=False,
        strict=True,
        description="on the age clock: through an age, not on it",
    )
    filters: list[FilterBody] = Field(default=[], max_length=20)

    def query(self) -> MetricQuery:
        """The question as the metrics layer knows it."""
        return MetricQuery(
            metrics=tuple(self.metrics),
            dimensions=tuple(self.dimensions),
            grain=Grain(self.grain) if self.grain else None,
            clock=Clock(self.clock),
            is_cumulative=self.cumulative,
            filters=tuple(
                Filter(f.dimension, tuple(f.values), is_negated=f.negated)
                for f in self.filters
            ),
        )


class AsOfBody(BaseModel):
    """Which state of the tables a number was read from."""

    experiment_id: str
    definitions: dict[str, str] = Field(description="metric -> version:hash")
    snapshots: dict[str, str] = Field(description="table -> Iceberg snapshot id")
    watermark: datetime | None = Field(
        description="the data are complete up to here; null: they have no dates"
    )
    computed_at: datetime
    run_id: str

    @classmethod
    def of(cls, as_of: AsOf) -> "AsOfBody":
        """Snapshot ids as text: they do not fit into a JavaScript number."""
        return cls(
            experiment_id=as_of.experiment_id,
            definitions=dict(as_of.definitions),
            snapshots={name: str(s) for name, s in as_of.snapshots.items()},
            watermark=as_of.watermark,
            computed_at=as_of.computed_at,
            run_id=as_of.run_id,
        )


class AnswerBody(BaseModel):
    """Rows of an answer, with the SQL that made them."""

    columns: list[str]
    rows: list[list[Any]]
    sql: str
    as_of: AsOfBody


class SqlBody(BaseModel):
    """The SQL of a question."""

    sql: str
    dialect: str
    as_of: AsOfBody


class JobBody(BaseModel):
    """A question under way."""

    job_id: str
    status: Literal["running", "done", "failed"]
    result: str = Field(description="where the answer will be")


class SubjectBody(BaseModel):
    """What may be asked about an experiment."""

    experiment_id: str
    owner: str
    hypothesis: str
    start: datetime | None = Field(description="null: the data have no dates")
    end: datetime | None
    variants: dict[str, float] = Field(description="arm -> planned share")
    control: str
    metrics: dict[str, str] = Field(description="metric -> type")
    roles: dict[str, str] = Field(description="metric -> goal, guardrail or monitor")
    dimensions: list[str]
    as_of: AsOfBody


class ExperimentBody(BaseModel):
    """One line of the list of experiments."""

    experiment_id: str
    verdict: str | None
    decision: str | None
    computed_at: datetime
    run_id: str


class MetricBody(BaseModel):
    """A metric definition of the project, as it is now."""

    name: str
    version: str = Field(description="version:hash")
    type: str
    direction: str
    owner: str
    description: str
    definition: dict[str, Any]


class ErrorBody(BaseModel):
    """What is wrong, and what to do."""

    error: str
    where: str | None = None
    found: str | None = None
    allowed: str | None = None
    next_step: str | None = None
