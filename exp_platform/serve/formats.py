"""An answer as JSON, CSV or an Arrow stream; the state it was read from goes along."""

import io
import json
from enum import StrEnum
from typing import Any

from fastapi import Response

from exp_platform.pipelines.ask import Answer
from exp_platform.serve.bodies import AnswerBody, AsOfBody


class Format(StrEnum):
    """How an answer is written."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


def write_answer(answer: Answer, output: Format, *, etag: str) -> Response:
    """The response with an answer's rows.

    Args:
        answer: rows and their origin.
        output: JSON, CSV or Arrow.
        etag: what identifies the answer, quotes included.
    """
    content = {
        Format.JSON: _as_json,
        Format.CSV: _as_csv,
        Format.ARROW: _as_arrow,
    }[output](answer)
    return Response(
        content,
        media_type=MEDIA_TYPES[output],
        headers={"ETag": etag, "X-Exp-As-Of": _as_of_text(answer), "Vary": "Accept"},
    )


def _as_json(answer: Answer) -> bytes:
    columns = [column.to_pylist() for column in answer.table.columns]
    body = AnswerBody(
        columns=answer.table.column_names,
        rows=[list(row) for row in zip(*columns, strict=True)],
        sql=answer.sql,
        as_of=AsOfBody.of(answer.as_of),
    )
    return body.model_dump_json().encode()


def _as_csv(answer: Answer) -> bytes:
    import pyarrow.csv as pa_csv

    out = io.BytesIO()
    pa_csv.write_csv(answer.table, out)
    return out.getvalue()


def _as_arrow(answer: Answer) -> bytes:
    import pyarrow as pa

    table = answer.table.replace_schema_metadata({"exp.as_of": _as_of_text(answer)})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _as_of_text(answer: Answer) -> str:
    """On one line of ASCII, as a header must be."""
    document: dict[str, Any] = AsOfBody.of(answer.as_of).model_dump(mode="json")
    return json.dumps(document, sort_keys=True)
