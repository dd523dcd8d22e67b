"""Which file is read, whether it is whole, and what its columns are called."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipelines.imported import BASE, GOOD, arm, csv, spend

OTHER = csv("user,grp,spend", spend, 20)
HEADERS = {
    "blanks around a name": "user , grp\u00a0,spend",
    "a line break in a name": '"a\nb, c",user,grp,spend',
}


def landed(project, name):
    return pq.read_table(project.raw / "exp_file" / f"{name}.parquet").to_pylist()


@pytest.mark.parametrize(("name", "other"), [("b[1].csv", "b1"), ("s*.csv", "sx")])
def test_a_name_that_is_a_pattern_is_one_file(project, bring, name, other):
    (project.root / f"{other}.csv").write_text(OTHER)
    assert "240 rows landed" in bring(GOOD, *BASE, name=name).out


def test_the_name_of_a_folder_is_no_column(project, bring):
    (project.root / "spend=7").mkdir()
    assert bring(GOOD, *BASE, name="spend=7/file.csv").code == 0
    assert len({row["value"] for row in landed(project, "outcomes")}) > 100


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_names_of_units_and_arms_are_texts_whatever_the_header(project, bring, header):
    front = "," if header.startswith('"') else ""
    content = csv(
        header, lambda i: f"{front}{'0' * (i % 2)}{i // 2},1.{'0' * (i % 3)},{i}"
    )
    flags = ("--unit", "user", "--variant", "grp", "--control", "1.0")
    answer = bring(content, *flags, "--metric", "spend")
    assert (answer.code, answer.err) == (0, "")
    exposures = landed(project, "exposures")
    assert len({row["user_id"] for row in exposures}) == 240
    assert {row["variant"] for row in exposures} == {"1.", "1.0", "1.00"}


BROKEN = {
    "cut off": gzip.compress(GOOD.encode())[:-9],
    "damaged": gzip.compress(GOOD.encode(), 0).replace(b"u17,", b"u71,"),
    "not compressed": GOOD.encode(),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_compressed_file_that_is_not_whole_is_refused(project, bring, content):
    answer = bring(content, *BASE, name="file.csv.gz")
    assert answer.code == 3
    assert "the file cannot be read" in answer.err
    assert "file.csv.gz" in answer.err
    assert not (project.raw / "exp_file").exists()


def test_one_endless_line_is_refused(bring):
    answer = bring("x" * 200_000, *BASE)
    assert answer.code == 3
    assert answer.err.startswith("error: the file has no rows")


def test_two_parquet_columns_of_one_name_are_refused(project):
    columns = [[f"u{i}" for i in range(9)], ["A", "B", "A"] * 3, [1.0] * 9, [2.0] * 9]
    file = project.root / "file.parquet"
    names = ["user", "grp", "spend", "spend"]
    pq.write_table(pa.table(list(map(pa.array, columns)), names=names), file)
    answer = project.exp("import", file, "--experiment-id", "exp_file", *BASE)
    assert answer.code == 2
    assert "several columns of the file are called 'spend'" in answer.err


def test_a_header_is_read_as_its_file_is_packed(project, bring):
    """The engine unpacked what nobody had read a header of: 0017 was 17."""
    content = csv("user,grp,spend", lambda i: f"00{i},{arm(i)},{i % 7}.5").encode()
    zst = pa.Codec("zstd").compress(content, asbytes=True)
    answer = bring(zst, *BASE, name="file.csv.zst")
    assert answer.code == 3
    assert "the file cannot be read" in answer.err
    assert bring(gzip.compress(content), *BASE, name="file.CSV.GZ").code == 0
    assert {row["user_id"][:2] for row in landed(project, "exposures")} == {"00"}


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("spend,spend,spend_1", "spend_1"),
        ("a,,column3", "column3"),
    ],
)
def test_a_name_that_the_engine_gave_to_another_column_is_refused(
    project, bring, header, named
):
    """The second `spend` was read as `spend_1`, whatever the file calls so."""
    content = csv(f"user,grp,{header}", lambda i: f"{spend(i)},1{i},2{i}")
    answer = bring(content, *BASE[:-1], named)
    assert answer.code == 2, answer
    assert not project.raw.exists()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_empty_lines_before_the_header_are_no_header(project, bring, end):
    """The header became a row, and its `grp` a third arm."""
    content = "\n\n" + csv("user,grp,spend", spend) + "u9999,A,unknown\n"
    answer = bring(content.replace("\n", end).encode(), *BASE)
    assert (answer.code, answer.err) == (0, "")
    assert "241 rows landed" in answer.out
    assert {row["variant"] for row in landed(project, "exposures")} == {"A", "B"}


@pytest.mark.parametrize(
    ("kind", "first"), [(pa.float64(), 2**53), (pa.float32(), 2**24)], ids=["8", "4"]
)
@pytest.mark.parametrize("flags", [(), ("--keep-duplicates",)])
def test_identifiers_that_lost_their_last_digits_are_refused(
    project, kind, first, flags
):
    """Two units were one, and their values were added up."""
    users = pa.array(range(first, first + 240)).cast(kind, safe=False)
    arms = [arm(i // 2) for i in range(240)]
    file = project.root / "file.parquet"
    pq.write_table(pa.table({"user": users, "grp": arms, "spend": range(240)}), file)
    answer = project.exp("import", file, "--experiment-id", "exp_file", *BASE, *flags)
    assert answer.code == 3
    assert "'user' has identifiers that are floats without their last" in answer.err
    assert not project.raw.exists()


def test_an_identifier_that_is_a_float_is_a_name_while_it_is_whole(project):
    users = pa.array([None, *map(float, range(239))])
    spends = pa.array([float("nan"), *map(float, range(239))])
    table = {"user": users, "grp": [arm(i) for i in range(240)], "spend": spends}
    file = project.root / "file.parquet"
    pq.write_table(pa.table(table), file)
    answer = project.exp("import", file, "--experiment-id", "exp_file", *BASE)
    assert (answer.code, answer.err) == (0, "")
    assert "1 row lacks a unit or an arm: it goes to quarantine" in answer.out


def test_rows_without_an_instant_that_can_be_read_are_told(bring):
    dates = ("2026-01-05", "5/1/2026", "")
    content = csv(
        "user,grp,spend,ts", lambda i: f"{spend(i)},{dates[(i % 40 == 0) + (i == 0)]}"
    )
    answer = bring(content, *BASE, "--exposure-ts", "ts")
    assert (answer.code, answer.err) == (0, "")
    assert "6 rows lack an instant that can be read in 'ts': they go to q" in answer.out


def test_a_second_file_of_rows_is_refused(project, bring):
    """Its rows were passed over without a word."""
    rows = "".join(f"u{i},{'AB'[i % 2]},{i % 7}\n" for i in range(40))
    flags = ("--unit", "u", "--variant", "arm", "--control", "A", "--metric", "spend")
    assert bring(f"u,arm,spend\n{rows}", *flags).code == 0
    folder = project.raw / "exp_file"
    pq.write_table(pq.read_table(folder / "outcomes.parquet"), folder / "more.parquet")
    answer = project.exp("run", "exp_file")
    assert answer.code == 3
    assert "none of those that are read" in answer.err
    assert "more.parquet" in answer.err
    assert project.tables() == {}
