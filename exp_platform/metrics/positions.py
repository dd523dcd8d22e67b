"""Where things stand in a YAML file, so that an error can name line and column."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
MAX_NODES = 5_000


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML document with the positions of its keys and values.

    Attributes:
        content: as plain Python values.
        values, keys: position of the value and of the key at a path.
        repeated: paths of keys that stand twice in their mapping.
    """

    content: Any
    values: Mapping[Path, Position]
    keys: Mapping[Path, Position]
    repeated: tuple[Path, ...] = ()

    def locate(self, path: Path, *, is_key: bool = False) -> Position:
        """The position at a path, or at the nearest part of it that is there."""
        where = self.keys if is_key else self.values
        for end in range(len(path), -1, -1):
            found = where.get(path[:end]) or self.values.get(path[:end])
            if found is not None:
                return found
        return Position(1, 1)


class UnreadableError(Exception):
    """The text is no YAML document.

    Args:
        what: one clause.
        position: where the reader gave up.
    """

    def __init__(self, what: str, position: Position) -> None:
        self.what = what
        self.position = position
        super().__init__(what)


def read_document(text: str) -> Document:
    """Parse one YAML document.

    Raises:
        UnreadableError: not YAML, several documents, one that is too large, or a text
            that is none.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(error.problem or "not YAML", _position(mark)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = (str(error).splitlines() or ["not YAML"])[0]
        raise UnreadableError(first, Position(1, 1)) from error
    try:
        return _place(root, content)
    except RecursionError as error:
        raise UnreadableError("nested too deeply", Position(1, 1)) from error


def _place(root: yaml.Node | None, content: Any) -> Document:
    values: dict[Path, Position] = {}
    keys: dict[Path, Position] = {}
    repeated: list[Path] = []
    for number, (path, key, value) in enumerate(_walk(root, ())):
        if number > MAX_NODES:
            raise UnreadableError("the document is too large", Position(1, 1))
        _require_text(key)
        _require_text(value)
        if key is not None:
            if path in keys:
                repeated.append(path)
            keys[path] = _position(key.start_mark)
        values[path] = _position(value.start_mark)
    return Document(content, values, keys, tuple(repeated))


def _require_text(node: yaml.Node | None) -> None:
    """A lone surrogate, as an escape can write it, is half a character."""
    if not isinstance(node, yaml.ScalarNode):
        return
    try:
        node.value.encode()
    except UnicodeEncodeError as error:
        where = _position(node.start_mark)
        raise UnreadableError("a text holds half a character", where) from error


def _walk(
    node: yaml.Node | None, path: Path
) -> Iterator[tuple[Path, yaml.Node | None, yaml.Node]]:
    if node is None:
        return
    if not path:
        yield path, None, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key, value
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            inner = (*path, number)
            yield inner, None, value
            yield from _walk(value, inner)


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
