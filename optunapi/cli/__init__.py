"""The `optunapi` command: one module per group of commands.

Only click is imported here. Whatever else a command needs is imported when it runs, so that those
for a trainer's machine work where there is neither Optuna nor a web framework, and help is quick.
"""

import click

from optunapi.cli.artifacts import artifacts
from optunapi.cli.check import check
from optunapi.cli.demo import demo
from optunapi.cli.output import json_option
from optunapi.cli.serve import serve
from optunapi.cli.studies import fork
from optunapi.cli.tunnel import tunnel


@click.group("optunapi", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optunapi", message="%(prog)s %(version)s")
@json_option
def main() -> None:
    """Distribute hyperparameter optimisation over HTTP.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 server not reached, 4 not permitted.
    """


for command in (serve, check, demo, fork, artifacts, tunnel):
    main.add_command(command)
