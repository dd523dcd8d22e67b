"""Bearer tokens: only their hashes are kept, and without a token nobody gets in."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from exp_platform.errors import UsageError
from exp_platform.lake.files import storage_error

_HEX = 64


@dataclass(frozen=True, slots=True)
class Tokens:
    """Who may ask.

    Attributes:
        hashes: SHA-256 of each token, by the holder's name.
    """

    hashes: dict[str, str]

    def holder_of(self, token: str) -> str | None:
        """Whose token this is; None for nobody's."""
        digest = hash_token(token)
        found = None
        for name, known in self.hashes.items():
            # no early exit: the time taken must not tell how far a guess came
            if hmac.compare_digest(digest, known):
                found = name
        return found


def new_token() -> str:
    """A random token of 256 bits."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What is kept of a token; it is random, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenFile:
    """Tokens as their file has them at each question: one that was removed is void."""

    path: Path

    def holder_of(self, token: str) -> str | None:
        """Whose token this is now; None for nobody's.

        Raises:
            UsageError: the file is not there, or a line is no token.
        """
        return Tokens(_read_hashes(self.path)).holder_of(token)


def read_tokens(file: Path) -> Tokens:
    """Tokens from a file with one `name sha256` on each line.

    Raises:
        UsageError: the file is not there, is empty, or a line is something else.
    """
    hashes = _read_hashes(file)
    if not hashes:
        raise UsageError(
            "the token file has no token",
            where=str(file),
            next_step="make one with `exp token NAME`",
        )
    return Tokens(hashes)


def _read_hashes(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the token file cannot be read", where=str(file), found=str(error)
        ) from error
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, digest = line.strip().partition(" ")
        digest = digest.strip().lower()
        is_hash = len(digest) == _HEX and set(digest) <= set("0123456789abcdef")
        if not is_hash or name in hashes:
            raise UsageError(
                "a line of the token file is not `name sha256`, or its name comes twice",
                where=f"{file}, line {number}",
                next_step="make a line with `exp token NAME`",
            )
        hashes[name] = digest
    return hashes


def add_token(file: Path, name: str) -> str:
    """Make a token, append its hash to a file that only its owner can read.

    Returns:
        The token; it is shown once and kept nowhere.

    Raises:
        UsageError: the name is not one word, or has a token already.
        StorageError: the file cannot be written.
    """
    is_word = name.isprintable() and not any(letter.isspace() for letter in name)
    if not name or not is_word or name.startswith("#"):
        raise UsageError("a token's name is one word", found=repr(name))
    if file.exists() and name in _read_hashes(file):
        raise UsageError(
            f"{name!r} has a token already",
            where=str(file),
            next_step="remove its line to revoke it",
        )
    token = new_token()
    try:
        _append_line(file, f"{name} {hash_token(token)}\n")
    except OSError as error:
        raise storage_error(error, file) from error
    return token


def _append_line(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600, exist_ok=True)
    # an editor may have left the last line without its end
    before = file.read_text("utf-8")
    begin = "\n" if before and not before.endswith("\n") else ""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(begin + line)
