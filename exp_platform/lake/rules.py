"""What makes a delivered row bad: one list of rules, for every engine that ingests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exp_platform.lake.types import quote_text
from exp_platform.schemas import TableSchema

REASONS = {
    "MISSING_KEY": "an identifier is null or blank",
    "WRONG_EXPERIMENT": "the row names another experiment",
    "BAD_TIMESTAMP": "an instant is missing or cannot be read",
    "TIMESTAMP_OUT_OF_RANGE": "an instant lies before 1970 or after 2199",
    "UNKNOWN_VARIANT": "the variant is not in the registry",
    "MISSING_VALUE": "the value is null",
    "NOT_A_NUMBER": "the value cannot be read as a number",
    "NOT_FINITE": "the value is NaN or infinite",
    "VALUE_OUT_OF_RANGE": "the value is so large that its square has no number",
    "DUPLICATE_ROW": "the same row was delivered before",
}
# What DuckDB's trim takes for blank: every character of Unicode's category Zs.
BLANKS = (
    "\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u202f\u205f\u3000"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the rows of a file are held against.

    Attributes:
        experiment_id: rows that name another experiment are rejected.
        variants: registered arms; none = the file has no variants.
        keep_duplicates: rows equal in every column are separate facts.
    """

    experiment_id: str
    variants: tuple[str, ...] = ()
    keep_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """What two engines say differently in the same rule.

    Attributes:
        types: SQL type of each neutral type.
        blank: condition of a text without a visible character.
        endless: condition of a double that is NaN or infinite. Not a comparison, which
            a file's statistics may answer, and those leave NaN out.
        quote: a text as a literal.
    """

    types: Mapping[str, str]
    blank: str
    endless: str
    quote: Callable[[str], str]


def _quote_for_spark(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


DUCKDB = Words(
    types={
        "string": "varchar",
        "json": "varchar",
        "double": "double",
        "long": "bigint",
        "boolean": "boolean",
        "timestamptz": "timestamptz",
        "date": "date",
        "map": "map(varchar, varchar)",
    },
    blank="trim({0}) = ''",
    endless="not isfinite({0})",
    quote=quote_text,
)
SPARK = Words(
    types={
        "string": "string",
        "double": "double",
        "timestamptz": "timestamp",
        "map": "map<string, string>",
    },
    blank=f"btrim({{0}}, '{BLANKS}') = ''",
    endless="isnan({0}) or abs({0}) = double('infinity')",
    quote=_quote_for_spark,
)


def write_reason(
    schema: TableSchema, present: Mapping[str, str], rules: Rules, words: Words
) -> str:
    """A CASE over the row's columns: the first thing that is wrong, or null.

    Args:
        schema: of the table.
        present: columns that the file has.
        rules: what is allowed.
        words: of the engine that judges.
    """
    keys = [f.name for f in schema.fields if f.type == "string" and f.required]
    empty = (f"{name} is null or {words.blank.format(name)}" for name in keys)
    found = [(" or ".join(empty), "MISSING_KEY")]
    own = words.quote(rules.experiment_id)
    found.append((f"experiment_id <> {own}", "WRONG_EXPERIMENT"))
    found += _about_instants(schema, present, words)
    if "value" in schema.names:
        found += [
            ("raw_value is null", "MISSING_VALUE"),
            ("value is null", "NOT_A_NUMBER"),
            (words.endless.format("value"), "NOT_FINITE"),
            ("abs(value) >= 1e100", "VALUE_OUT_OF_RANGE"),
        ]
    if rules.variants:
        known = ", ".join(words.quote(name) for name in rules.variants)
        found.append((f"variant not in ({known})", "UNKNOWN_VARIANT"))
    cases = " ".join(f"when {rule} then '{name}'" for rule, name in found)
    return f"case {cases} end"


def _about_instants(
    schema: TableSchema, present: Mapping[str, str], words: Words
) -> list[tuple[str, str]]:
    instants = [f for f in schema.fields if f.type == "timestamptz"]
    missing = " or ".join(f"{f.name} is null" for f in instants if f.required)
    kind = words.types["timestamptz"]
    outside = " or ".join(
        f"{f.name} < {kind} '1970-01-01 00:00:00+00:00'"
        f" or {f.name} >= {kind} '2200-01-01 00:00:00+00:00'"
        for f in instants
        if f.name in present
    )
    return [(missing, "BAD_TIMESTAMP"), (outside, "TIMESTAMP_OUT_OF_RANGE")]


def key_of(schema: TableSchema) -> tuple[str, ...]:
    """Columns in which a repeated row equals an earlier one."""
    return tuple(name for name in schema.names if name != "received_ts")
