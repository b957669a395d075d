"""Which server a client uses, and which token."""

from pathlib import Path

import pytest

from optunapi import Client
from optunapi.client.profiles import Server, profiles_file, server_of

HERE, THERE = "http://here:8000", "http://there:8000"


def write_profiles(content: str, mode: int = 0o600) -> Path:
    path = profiles_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_url_argument_comes_before_the_environment() -> None:
    environment = {"OPTUNAPI_URL": THERE}
    assert server_of(HERE, None, None, environment) == Server(url=HERE)
    assert server_of(None, None, None, environment) == Server(url=THERE)


def test_the_token_of_the_environment_is_not_sent_to_another_server() -> None:
    environment = {"OPTUNAPI_URL": THERE, "OPTUNAPI_TOKEN": "secret"}
    assert server_of(HERE, None, None, environment).token is None
    assert server_of(f"{THERE}/", None, None, environment).token == "secret"
    assert server_of(None, None, None, environment).token == "secret"
    assert server_of(HERE, "mine", None, environment).token == "mine"


def test_without_a_url_the_given_or_the_default_profile_is_used() -> None:
    write_profiles(f'[default]\nurl = "{HERE}"\n[lab]\nurl = "{THERE}"\ntoken = "secret"\n')
    lab = Server(url=THERE, token="secret")
    assert server_of(None, None, None, {}) == Server(url=HERE)
    assert server_of(None, None, None, {"OPTUNAPI_PROFILE": "lab"}) == lab
    assert server_of(None, None, "lab", {"OPTUNAPI_URL": HERE}) == lab


def test_a_token_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    write_profiles(f'[default]\nurl = "{HERE}"\ntoken_file = "{token}"\n')
    assert server_of(None, None, None, {}).token == "secret"
    token.chmod(0o644)
    with pytest.warns(UserWarning, match="others can read the token"):
        server_of(None, None, None, {})


def test_a_token_that_others_can_read_causes_a_warning() -> None:
    write_profiles(f'[default]\nurl = "{HERE}"\ntoken = "secret"\n', mode=0o644)
    with pytest.warns(UserWarning, match="chmod 600"):
        server_of(None, None, None, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[default", "not a TOML file"),
        ("[default]\ntoken = 'secret'\n", "needs a `url`"),
        ("[default]\nurl = 8000\n", "its values are strings"),
        ("[default]\nurl = 'http://lab'\nport = '1'\n", "port is none of"),
    ],
)
def test_an_invalid_profile_is_refused_with_the_reason(content: str, message: str) -> None:
    write_profiles(content)
    with pytest.raises(ValueError, match=message):
        server_of(None, None, None, {})


def test_a_missing_profile_is_refused_with_the_names_of_the_others() -> None:
    write_profiles(f'[lab]\nurl = "{HERE}"\n')
    with pytest.raises(ValueError, match=r"no profile \[home\]: it has lab"):
        server_of(None, None, "home", {})


def test_a_client_without_a_server_is_for_the_one_on_this_machine() -> None:
    assert Client().url == "http://127.0.0.1:8000"
    write_profiles(f'[lab]\nurl = "{THERE}"\n')  # and none that is called default
    assert server_of(None, None, None, {"OPTUNAPI_TOKEN": "secret"}) == Server(
        url="http://127.0.0.1:8000", token="secret"
    )
