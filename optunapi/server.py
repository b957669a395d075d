"""`optunapi`, the ASGI application: `uvicorn optunapi.server:optunapi`, or `server:optunapi` in here."""

import sys
from pathlib import Path

if __name__ == "server":
    # Run inside the package's folder: this very package is to be served, not one installed elsewhere.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from optunapi.app import create_app
from optunapi.settings import SettingsInvalid, read_settings
from optunapi.telemetry.setup import set_up

try:
    _settings = read_settings()
except SettingsInvalid as error:
    sys.exit(f"OptunAPI cannot start: {error}")
set_up(form=_settings.log_format, level=_settings.log_level, access_lines=_settings.access_log)
optunapi = create_app(_settings)
