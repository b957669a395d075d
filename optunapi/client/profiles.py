"""Which server a client is for: the argument, else the environment, else a profile, else this machine.

A profile is a table in `$XDG_CONFIG_HOME/optunapi/profiles.toml` (by default in ~/.config):

    [default]
    url = "http://head:8000"
    token_file = "~/.config/optunapi/head.token"    # or: token = "…"
"""

import os
import stat
import sys
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOCAL = "http://127.0.0.1:8000"  # where `optunapi serve` listens
KEYS = frozenset({"url", "token", "token_file"})


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server's URL, and the token to use."""

    url: str
    token: str | None = field(default=None, repr=False)


def profiles_file() -> Path:
    """Return the file of the user's profiles."""
    if sys.platform == "win32":
        folder = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    else:
        folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "optunapi" / "profiles.toml"


def server_of(
    url: str | None, token: str | None, profile: str | None, env: Mapping[str, str] = os.environ
) -> Server:
    """Return the server that a client is for.

    `OPTUNAPI_TOKEN` is sent to the server of `OPTUNAPI_URL`, or if that is not set, to a URL given as
    an argument. A profile is read if there is no URL, or if the profile itself is given. If there is no
    profile either, it is the server at `LOCAL`.

    Raises:
        ValueError: the profile is missing or not valid.
        OSError: the profile's token file cannot be read.
    """
    return named_server(url, token, profile, env) or Server(
        url=LOCAL, token=token or env.get("OPTUNAPI_TOKEN")
    )


def named_server(
    url: str | None, token: str | None, profile: str | None, env: Mapping[str, str] = os.environ
) -> Server | None:
    """Return what `server_of` returns, but None where nothing names a server."""
    env_url, env_token = env.get("OPTUNAPI_URL"), env.get("OPTUNAPI_TOKEN")
    if url is not None:
        may_have_token = env_url is None or env_url.rstrip("/") == url.rstrip("/")
        return Server(url=url, token=token or (env_token if may_have_token else None))
    if profile is None and env_url:
        return Server(url=env_url, token=token or env_token)
    return _read_profile(profile or env.get("OPTUNAPI_PROFILE"), token)


def _read_profile(name: str | None, token: str | None) -> Server | None:
    """Return a profile by name, or the one called `default` if there is one.

    A token that is given replaces its own.
    """
    path = profiles_file()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        profiles = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from None
    found: Any = profiles.get(name or "default")
    if found is None and name is None:
        return None
    if not isinstance(found, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise ValueError(f"{path} has no profile [{name or 'default'}]: it has {known}")
    where = f"{path}, [{name or 'default'}]"
    if unknown := sorted(set(found) - KEYS):
        raise ValueError(f"{where}: {', '.join(unknown)} is none of {', '.join(sorted(KEYS))}")
    if not all(isinstance(value, str) for value in found.values()) or "url" not in found:
        raise ValueError(f"{where} needs a `url`, and its values are strings")
    own = found.get("token")
    if own is not None:
        _warn_if_readable(path)
    elif "token_file" in found:
        token_file = Path(found["token_file"]).expanduser()
        _warn_if_readable(token_file)
        own = token_in(token_file)
    return Server(url=found["url"], token=token or own)


def token_in(path: Path) -> str:
    """Return the token that a file contains.

    Raises:
        ValueError: it contains none.
        OSError: it cannot be read.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text: it should contain a token") from None
    if not token:
        raise ValueError(f"{path} is empty: it should contain a token")
    return token


def _warn_if_readable(path: Path) -> None:
    if sys.platform != "win32" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(f"others can read the token in {path}: chmod 600 {path}", stacklevel=2)
