"""Settings that are not understood are refused when they are read, with what to write."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optunapi.settings import OTHERS, Settings, SettingsInvalid, read_settings, unknown_variables
from tests.support import ROOT, scaled

FOLDERS = ("HOME", "CONFIG_DIR", "DB_DIR", "ARTIFACTS", "ARTIFACTS_DIR")
SIZES = ("MAX_BODY", "MAX_ARTIFACT", "MAX_STUDY_ARTIFACTS")
Refused = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, which is the only setting."""
    for name in [name for name in os.environ if name.startswith("OPTUNAPI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPTUNAPI_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:  # noqa: ARG001
    """Returns the one-line refusal of these settings, which names each of them."""

    def read(**variables: str) -> str:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(f"OPTUNAPI_{name}", value)
            with pytest.raises(SettingsInvalid) as caught:
                read_settings()
        message = str(caught.value)
        assert message.isprintable()
        assert all(f"OPTUNAPI_{name}: " in message for name in variables)
        return message

    return read


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(
    "url", ["s3://bucket/x", "gs://bucket", "az://a/b", "file:///tmp", "S3://b", "sqlite:///x.db"]
)
def test_a_url_is_no_folder(refused: Refused, name: str, url: str) -> None:
    assert f"{url!r} is a URL, which is not supported" in refused(**{name: url})
    assert not Path(url.partition(":")[0] + ":").exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_or_a_broken_link_is_no_folder(refused: Refused, home: Path, name: str) -> None:
    (home / "file").touch()
    (home / "link").symlink_to(home / "nowhere")
    assert "is a file" in refused(**{name: f"{home}/file"})
    assert "there is no folder" in refused(**{name: f"{home}/a/b"}) or name == "HOME"
    assert "is a link to a folder that is not there" in refused(**{name: f"{home}/link"})
    assert "a user who is not known" in refused(**{name: "~nobody-of-this-name/x"})


@pytest.mark.parametrize("name", ["HOME", "CONFIG_DIR"])
def test_a_folder_that_is_named_and_not_there_is_refused_and_not_made(
    refused: Refused, home: Path, name: str
) -> None:
    path = home / "optun api"
    assert f"create it with `mkdir -p '{path}'`" in refused(**{name: str(path)})
    assert not path.exists()


@pytest.mark.parametrize("name", ["DB_DIR", "ARTIFACTS"])
def test_a_folder_for_what_the_server_writes_may_be_new_in_a_folder_that_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"OPTUNAPI_{name}", str(home / "new"))
    found = read_settings()
    assert home / "new" in (found.databases, found.artifact_folder)


@pytest.mark.parametrize("name", ["config", "db"])
def test_a_file_in_place_of_a_folder_of_the_home_is_refused(
    refused: Refused, home: Path, name: str
) -> None:
    (home / name).touch()
    assert f"'{home}/{name}' is a file" in refused(HOME=str(home))


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("text", ["1MB", "1 MiB", "1e6", "1.5", "many", "0x10", "-", "1" * 30])
def test_a_size_is_a_number_of_bytes(refused: Refused, name: str, text: str) -> None:
    assert "write digits alone" in refused(**{name: text})


@pytest.mark.parametrize("name", SIZES)
def test_a_size_is_more_than_nothing(refused: Refused, name: str) -> None:
    assert "'0' is not greater than 0" in refused(**{name: "0"})


@pytest.mark.parametrize(
    "url",
    [
        *(
            "all.db",
            "sqlit:///all.db",
            "postgresql://user:secret@host/db",
            "mysql+pymysql://host/db",
        ),
        *("sqlite://", "sqlite://all.db", "sqlite:///:memory:", "'sqlite:///a.db'", "http://host/"),
    ],
)
def test_a_storage_is_a_url_of_a_kind_that_is_served(refused: Refused, url: str) -> None:
    message = refused(STORAGE=url)
    assert "write sqlite:///path/to/file.db" in message
    assert "secret" not in message


def test_a_storage_is_a_file_in_a_folder_that_is_there(refused: Refused, home: Path) -> None:
    assert "x.db does not exist: create it" in refused(STORAGE=f"sqlite:///{home}/no/x.db")
    assert "is not a file" in refused(STORAGE=f"sqlite:///{home}")


def test_all_that_is_wrong_is_said_at_once(refused: Refused) -> None:
    refused(MAX_BODY="1MB", ARTIFACTS="s3://b", LOG_FORMAT="xml", LOG_LEVEL="all", ACCESS_LOG="so")


def test_an_empty_variable_is_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if name != "home":
            monkeypatch.setenv(f"OPTUNAPI_{name.upper()}", "")
    assert read_settings() == Settings(home=home)


@settings(
    max_examples=scaled(60, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from([name.upper() for name in Settings.model_fields]),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
    | st.from_regex(r"[a-z0-9+]{1,8}:/{0,3}[a-z/@:%?]{0,9}", fullmatch=True),
)
def test_whatever_a_variable_holds_is_understood_or_refused_in_a_line(
    home: Path, name: str, text: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"OPTUNAPI_{name}", text)
        patch.chdir(home)
        message = ""
        try:
            read_settings()
        except SettingsInvalid as error:
            message = str(error)
        assert not message or f"OPTUNAPI_{name}: " in message
        assert message.isprintable()
    assert os.listdir(home) == []


def test_a_misspelt_variable_is_named_with_the_one_that_may_be_meant() -> None:
    environment = dict.fromkeys(
        ["OPTUNAPI_HOEM", "OPTUNAPI_DBDIR", "OPTUNAPI_STORGE", "OPTUNAPI_MAXBODY", "OPTUNAPI_XYZ"]
    )
    environment |= dict.fromkeys(
        ["OPTUNAPI_URL", "OPTUNAPI_ARTIFACTS_DIR", "optunapi_home", "HOME"]
    )
    assert unknown_variables(dict.fromkeys(environment, "")) == {
        "OPTUNAPI_DBDIR": "OPTUNAPI_DB_DIR",
        "OPTUNAPI_HOEM": "OPTUNAPI_HOME",
        "OPTUNAPI_MAXBODY": "OPTUNAPI_MAX_BODY",
        "OPTUNAPI_STORGE": "OPTUNAPI_STORAGE",
        "OPTUNAPI_XYZ": None,
    }


def test_every_variable_that_the_project_reads_is_known() -> None:
    files = [ROOT / "tests" / "support.py"]
    for folder, pattern in (("optunapi", "*.py"), ("examples", "*"), ("docs", "*.md")):
        files += [path for path in (ROOT / folder).glob(f"**/{pattern}") if path.is_file()]
    found = {
        name
        for path in files
        if path.suffix in {".py", ".sh", ".md"} and "decisions" not in path.parts
        for name in re.findall(r"\bOPTUNAPI_[A-Z]+(?:_[A-Z]+)*\b", path.read_text("utf-8"))
    }
    assert {f"OPTUNAPI_{name}" for name in OTHERS} <= found
    assert unknown_variables(dict.fromkeys(found, "")) == {}
