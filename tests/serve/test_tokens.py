"""Tokens: only hashes are kept, and a broken file lets nobody in."""

import socket
import stat

import pytest

from exp_platform.config import load_settings
from exp_platform.errors import StorageError, UsageError
from exp_platform.serve.server import Address, _choose_tokens, serve
from exp_platform.serve.tokens import add_token, hash_token, read_tokens


def test_add_token_keeps_the_hash_alone(tmp_path):
    file = tmp_path / "tokens"
    token = add_token(file, "dashboard")
    assert token not in file.read_text("utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    tokens = read_tokens(file)
    assert tokens.holder_of(token) == "dashboard"
    assert tokens.holder_of(token + "x") is None
    assert tokens.holder_of("") is None


def test_add_token_makes_the_folder_of_a_new_project(tmp_path):
    file = tmp_path / "data" / "tokens"
    token = add_token(file, "dashboard")
    assert read_tokens(file).holder_of(token) == "dashboard"
    with pytest.raises(StorageError, match="cannot be read or written"):
        add_token(file / "below", "dashboard")


def test_add_token_refuses_a_name_twice(tmp_path):
    add_token(tmp_path / "tokens", "a")
    with pytest.raises(UsageError, match="already"):
        add_token(tmp_path / "tokens", "a")


@pytest.mark.parametrize("text", ["", "# nobody\n", f"old {'0' * 64}"])
def test_add_token_to_what_an_editor_left(tmp_path, text):
    file = tmp_path / "not" / "there yet" / "tokens"
    first = add_token(file, "first")
    assert read_tokens(file).holder_of(first) == "first"
    file.write_text(text, "utf-8")
    token = add_token(file, "new")
    assert read_tokens(file).holder_of(token) == "new"
    assert ("old" in text) == ("old" in read_tokens(file).hashes)


def test_a_token_holds_as_long_as_its_line_stands(tmp_path):
    file = tmp_path / "tokens"
    first = add_token(file, "first")
    tokens = _choose_tokens(Address(), file)
    second = add_token(file, "second")
    assert [tokens.holder_of(t) for t in (first, second)] == ["first", "second"]
    file.write_text("", "utf-8")
    assert [tokens.holder_of(t) for t in (first, second)] == [None, None]


@pytest.mark.parametrize("name", ["", "two words", "#x", "tab\t", "\udcff", "\ufeffa"])
def test_add_token_refuses_a_name_that_is_no_word(tmp_path, name):
    with pytest.raises(UsageError, match="one word"):
        add_token(tmp_path / "tokens", name)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "a b\n", "a\n", f"a {'0' * 63}\n", "a {0} {0}\n"]
)
def test_read_tokens_refuses_what_is_no_token_file(tmp_path, text):
    file = tmp_path / "tokens"
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError):
        read_tokens(file)


def test_read_tokens_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_tokens(tmp_path / "none")


def test_an_address_in_use_is_wrong_usage(ready, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="could not start"):
            serve(load_settings(str(ready.config)), Address(port=port), tmp_path / "t")


def test_without_a_file_only_loopback_gets_a_token(tmp_path, capsys):
    file = tmp_path / "tokens"
    with pytest.raises(UsageError, match="others could reach"):
        _choose_tokens(Address("0.0.0.0"), file)
    tokens = _choose_tokens(Address(), file)
    shown = capsys.readouterr().err.split()[-1]
    assert tokens.holder_of(shown) == "this process"
    file.write_text(f"me {hash_token('secret')}\n", "utf-8")
    assert _choose_tokens(Address("0.0.0.0"), file).holder_of("secret") == "me"
