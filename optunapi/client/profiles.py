"""Which server a client is for: the argument, else the environment, else a profile of the user.

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
    url: str | None,
    token: str | None,
    profile: str | None,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Return the server that a client is for.

    `OPTUNAPI_TOKEN` is sent to the server of `OPTUNAPI_URL`, or if that is not set, to a URL given as
    an argument. A profile is read if there is no URL, or if the profile itself is given.

    Raises:
        ValueError: no server is given, or the profiles cannot be read.
    """
    env = os.environ if environment is None else environment
    env_url, env_token = env.get("OPTUNAPI_URL"), env.get("OPTUNAPI_TOKEN")
    if url is not None:
        may_have_token = env_url is None or env_url.rstrip("/") == url.rstrip("/")
        return Server(url=url, token=token or (env_token if may_have_token else None))
    if profile is None and env_url:
        return Server(url=env_url, token=token or env_token)
    found = read_profile(profile or env.get("OPTUNAPI_PROFILE"))
    return Server(url=found.url, token=token or found.token)


def read_profile(name: str | None) -> Server:
    """Return a profile by name, or the one called `default`.

    Raises:
        ValueError: there is no such profile, or it is not valid.
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
        raise ValueError(
            f"which server? Give Client a URL, set OPTUNAPI_URL, or write a [default] into {path}"
        )
    if not isinstance(found, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise ValueError(f"{path} has no profile [{name or 'default'}]: it has {known}")
    where = f"{path}, [{name or 'default'}]"
    if unknown := sorted(set(found) - KEYS):
        raise ValueError(f"{where}: {', '.join(unknown)} is none of {', '.join(sorted(KEYS))}")
    if not all(isinstance(value, str) for value in found.values()) or "url" not in found:
        raise ValueError(f"{where} needs a `url`, and its values are strings")
    if "token" in found:
        _warn_if_readable(path)
        return Server(url=found["url"], token=found["token"])
    if "token_file" in found:
        return Server(url=found["url"], token=token_in(Path(found["token_file"])))
    return Server(url=found["url"])


def token_in(path: Path) -> str:
    """Return the token in a file.

    Raises:
        ValueError: the file is empty.
        OSError: the file cannot be read.
    """
    path = path.expanduser()
    _warn_if_readable(path)
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise ValueError(f"{path} is empty: it should hold a token")
    return token


def _warn_if_readable(path: Path) -> None:
    if sys.platform != "win32" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(
            f"others can read the token in {path}: chmod 600 {path}", UserWarning, stacklevel=2
        )
