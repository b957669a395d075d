"""The id of a server: made once, and the same from then on."""

from pathlib import Path

import pytest

from optunapi.storage.server_id import server_id_of


def test_the_id_is_made_once_and_another_server_has_another(tmp_path: Path) -> None:
    first, again = (server_id_of(tmp_path / "server") for _ in range(2))
    assert first == again
    assert first is not None
    assert server_id_of(tmp_path / "a.db") not in (None, first)


@pytest.mark.parametrize("content", [b"", b"\xff", b"0123", b"../../../../x", b"0" * 4000])
def test_a_file_without_an_id_gets_a_new_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".server.id").write_bytes(content)
    new = server_id_of(tmp_path / "server")
    assert new is not None
    assert len(new) == 16
    assert server_id_of(tmp_path / "server") == new


def test_where_no_file_can_be_written_a_server_has_no_id(tmp_path: Path) -> None:
    assert server_id_of(tmp_path / "nowhere" / "server") is None
    (tmp_path / ".server.id").mkdir()
    assert server_id_of(tmp_path / "server") is None
