"""Values of a delivered file that are no numbers: refused, or said and left missing.

A number in another notation would become a missing value, and usually because of its
size: only what is 1,000 or more has thousands marks. Such a file is refused; any other
text is a missing value, and its import says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp_platform.checks.wording import format_count
from exp_platform.errors import ContractError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.delivered_file import ROW_NUMBER
from exp_platform.pipelines.import_request import ImportRequest, LongColumns
from exp_platform.pipelines.panel_request import PanelRequest

_MOST_NAMED = 5
_FINITE = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL"}
    | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM"}
)
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_SPACE = r"[\s\p{Zs}]*"
_PARTS = {
    "thousands": r"\d{1,3}(?:[,.'\x{2019}_\s\p{Zs}]\d{3})+(?:[.,]\d*)?",
    "lakhs": r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d*)?",
    "decimal comma": r"\d*,\d+|\d+,",
    "plain": r"\d+(?:\.\d*)?|\.\d+",
}
_MARKS = rf"(?:[\p{{Sc}}%\x{{2030}}+\x{{2212}}\x{{2013}}(-]{_SPACE})*"
_ENDS = rf"(?:{_SPACE}[\p{{Sc}}%\x{{2030}}\x{{2212}}\x{{2013}})-])*"
_NOTATION = (
    rf"{_SPACE}{_MARKS}(?:{'|'.join(_PARTS.values())})"
    rf"(?:[eE][+-]?\d+|{_SPACE}[kKmMbB])?{_ENDS}{_SPACE}"
)
"""A number as people write it. Matched only where the engine reads no number."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Values of one column that are no numbers.

    Attributes:
        name: of the metric, or of the column.
        values: that are not null, blank or NULL.
        texts: of them, those that are no number, as `nan` and `1e400` are none.
        first, row: the first such text, and its row in the file, counted from 1
            without the header.
        foreign: of the texts, those that are numbers in another notation.
        first_foreign, foreign_row: the first of these.
        words: that mean yes or no, and are no texts.
        first_word, word_row: the first of these.
        amounts: numbers other than 0 and 1.
    """

    name: str
    values: int
    texts: int = 0
    first: str = ""
    row: int = 0
    foreign: int = 0
    first_foreign: str = ""
    foreign_row: int = 0
    words: int = 0
    first_word: str = ""
    word_row: int = 0
    amounts: int = 0


def check_values(
    engine: Engine, request: ImportRequest, columns: Mapping[str, str], file: Path
) -> tuple[frozenset[str], list[str]]:
    """What of the metrics and covariates is no number.

    Args:
        engine: holds the delivered rows.
        request: the mapping of columns.
        columns: column -> type of the file.
        file: for the error.

    Returns:
        Metrics and covariates with values that are no number, and a sentence for each.

    Raises:
        ContractError: values are numbers in another notation, or words for yes and no
            among amounts.
    """
    past = [name for name in request.past if name not in request.metrics]
    names = (*request.metrics, *past)
    if request.long is not None:
        found = _read_long(engine, columns, request.long, names)
    else:
        own = {name: name for name in names}
        found = _read_wide(engine, columns, own, has_flags=True)
    _refuse_notations(found, file)
    _refuse_words(found, file)
    bad = [one for one in found if one.texts]
    outcomes = frozenset(request.metrics)
    said = [_say(one, outcomes) for one in bad]
    said += _check_facts(engine, request, columns, file)
    return frozenset(one.name for one in bad), said


def _check_facts(
    engine: Engine, request: ImportRequest, columns: Mapping[str, str], file: Path
) -> list[str]:
    """Facts to adjust by are numbers or names; one name makes all numbers names."""
    names = [n for n in request.adjust_by if columns[n] not in _FLOATS]
    own = {name: name for name in names}
    found = _read_wide(engine, columns, own, has_flags=True, endless="null")
    mixed = [one for one in found if 0 < one.texts < one.values - one.words]
    _refuse_notations([one for one in mixed if one.foreign == one.texts], file)
    return [
        f"{_count_texts(one)}; each of its values is a category, no number"
        for one in mixed
    ]


def check_panel_values(
    engine: Engine, request: PanelRequest, columns: Mapping[str, str], file: Path
) -> list[str]:
    """What of a panel's outcomes, covariates and weights is no number, in sentences.

    Args:
        engine: holds the delivered rows, numbered.
        request: the mapping of columns.
        columns: column -> type of the file.
        file: for the error.

    Raises:
        ContractError: values are numbers in another notation.
    """
    facts = [*request.covariates, *([request.weight] if request.weight else [])]
    named = {name: name for name in facts} | dict(request.outcomes)
    found = _read_wide(engine, columns, named, has_flags=False)
    _refuse_notations(found, file)
    return [_say(one, frozenset(request.outcomes)) for one in found if one.texts]


def readable(column: str) -> str:
    """SQL of a column's value as a number; flags are 0 and 1, other texts null.

    Args:
        column: quoted.
    """
    flag = f"try_cast(cast({column} as varchar) as boolean)"
    number = f"try_cast({column} as double)"
    return f"coalesce({number}, cast({flag} as integer))"


def _read_wide(
    engine: Engine,
    kinds: Mapping[str, str],
    named: Mapping[str, str],
    *,
    has_flags: bool,
    endless: str = "1",
) -> list[Unreadable]:
    """All columns that may hold what is no number, in one scan."""
    texts = {n: c for n, c in named.items() if _may_be_text(kinds[c])}
    if not texts:
        return []
    marked, sums = [ROW_NUMBER], []
    for i, name in enumerate(texts.values()):
        column = identifier(name)
        value, mark = f"cast({column} as varchar)", _mark(column, endless, has_flags)
        if kinds[name] in _FLOATS:
            value, mark = _read_float(column)
        marked.append(f"{value} as v{i}, {mark} as m{i}")
        sums.append(_sums(f"v{i}", f"m{i}"))
    row = engine.rows(
        f"select {', '.join(sums)}\n"
        f"from (select {', '.join(marked)} from exp_run.delivered)"
    )[0]
    width = len(row) // len(texts)
    return [
        _unreadable(name, row[i * width : (i + 1) * width])
        for i, name in enumerate(texts)
    ]


def _read_long(
    engine: Engine, kinds: Mapping[str, str], long: LongColumns, names: Sequence[str]
) -> list[Unreadable]:
    """The column of values, by outcome, in one scan."""
    if not _may_be_text(kinds[long.value]):
        return []
    column = identifier(long.value)
    value, mark = f"cast({column} as varchar)", _mark(column)
    if kinds[long.value] in _FLOATS:
        value, mark = _read_float(column)
    label = f"cast({identifier(long.metric_name)} as varchar)"
    wanted = ", ".join(map(text, names))
    rows = engine.rows(
        f"select label, {_sums('v', 'm')}\n"
        f"from (select {ROW_NUMBER}, {label} as label, {value} as v,\n"
        f"        {mark} as m\n"
        f"    from exp_run.delivered where {label} in ({wanted}))\n"
        "group by label"
    )
    found = {str(row[0]): _unreadable(str(row[0]), row[1:]) for row in rows}
    return [found[name] for name in names if name in found]


def _may_be_text(kind: str) -> bool:
    """A flag is 0 or 1, whatever it stands for."""
    return kind.partition("(")[0] not in _FINITE | {"BOOLEAN"}


def _read_float(column: str) -> tuple[str, str]:
    """Value and mark where only NaN and infinity are no number; no other is a text."""
    is_endless = f"not isfinite({column})"
    value = f"case when {is_endless} then cast({column} as varchar) end"
    return value, f"cast({is_endless} as integer)"


def _mark(column: str, endless: str = "1", has_flags: bool = True) -> str:
    """0 = a number, 1 = a text, 2 = a number in another notation, 3 = yes or no in words.

    Null = missing; `endless` is the mark of NaN and infinity.
    """
    value, number = f"cast({column} as varchar)", f"try_cast({column} as double)"
    word = f"when try_cast({value} as boolean) is not null then 3\n        "
    return (
        f"case when {column} is null or upper(trim({value})) in ('', 'NULL') then null\n"
        f"        when isfinite({number}) then 0\n"
        f"        when {number} is not null then {endless}\n"
        f"        {word if has_flags else ''}"
        f"        when regexp_full_match({value}, {text(_NOTATION)}) then 2 else 1 end"
    )


def _sums(value: str, mark: str) -> str:
    """Values and amounts; number, first and its row of texts, foreign numbers, words."""
    number = f"try_cast({value} as double)"
    amounts = f"{mark} = 0 and isfinite({number}) and {number} not in (0, 1)"
    parts = [f"count({mark})", f"count(*) filter ({amounts})"]
    for which in (f"{mark} in (1, 2)", f"{mark} = 2", f"{mark} = 3"):
        parts += [
            f"count(*) filter ({which})",
            f"arg_min({value}, {ROW_NUMBER}) filter ({which})",
            f"min({ROW_NUMBER}) filter ({which})",
        ]
    return ",\n    ".join(parts)


def _unreadable(name: str, row: Sequence[Any]) -> Unreadable:
    """What a row of `_sums` says; where nothing was found, there is no first."""
    values, amounts, texts, first, at = row[:5]
    foreign, first_foreign, foreign_at, words, first_word, word_at = row[5:]
    return Unreadable(
        name,
        values,
        texts,
        first or "",
        at or 0,
        foreign,
        first_foreign or "",
        foreign_at or 0,
        words,
        first_word or "",
        word_at or 0,
        amounts,
    )


def _refuse_notations(found: Sequence[Unreadable], file: Path) -> None:
    foreign = [one for one in found if one.foreign]
    if not foreign:
        return
    said = [
        f"{one.name}: {one.foreign:,} of {format_count(one.values, 'value')}, "
        f"e.g. {_shorten(one.first_foreign)} in row {one.foreign_row:,} of the data"
        for one in foreign[:_MOST_NAMED]
    ]
    if len(foreign) > _MOST_NAMED:
        said.append(f"{len(foreign) - _MOST_NAMED} more")
    raise ContractError(
        f"values of {foreign[0].name!r} look like numbers in another notation",
        where=str(file),
        found="; ".join(said),
        allowed="plain numbers with a decimal point, e.g. 4136.58: no thousands marks, "
        "no decimal comma, no sign of a currency or of percent",
        next_step="write them as plain numbers, or drop these rows if they are none, and "
        "import again; nothing was written",
    )


def _refuse_words(found: Sequence[Unreadable], file: Path) -> None:
    """`N` among amounts is no 0: it may as well say that nothing is known."""
    for one in found:
        if one.words and one.amounts:
            raise ContractError(
                f"values of {one.name!r} are amounts and words that mean yes or no",
                where=str(file),
                found=f"{one.words:,} of {format_count(one.values, 'value')}, e.g. "
                f"{_shorten(one.first_word)} in row {one.word_row:,} of the data",
                allowed="numbers, or yes and no, in one column",
                next_step="write 0 or 1 where that is meant, leave the value empty where "
                "it is not known, and import again; nothing was written",
            )


def _say(one: Unreadable, outcomes: frozenset[str]) -> str:
    missing = "they count as missing"
    if one.name in outcomes:
        missing = "their units are left out as missing"
    return f"{_count_texts(one)}; {missing}"


def _count_texts(one: Unreadable) -> str:
    are = "is" if one.texts == 1 else "are"
    return (
        f"{one.name}: {one.texts:,} of {format_count(one.values, 'value')} {are} no "
        f"number (first: {_shorten(one.first)}, in row {one.row:,} of the data)"
    )


def _shorten(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")
