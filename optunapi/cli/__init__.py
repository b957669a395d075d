"""The `optunapi` command.

Only click is imported at the top of these modules. A command imports the rest when it runs, so that
a trainer's machine can run its commands without Optuna and a web framework, and `--help` is fast.
A new command is a module here, and is added to the group at the end of this file.

    serve.py         `optunapi serve`: run the server
    check.py         `optunapi check`: find the errors in config files
    demo.py          `optunapi demo`: a server and two trainers on this machine
    studies.py       `optunapi fork`: continue a study under another name
    transfer.py      `optunapi export`, `optunapi import`: trials to a file, and from one
    artifacts.py     `optunapi artifacts`: delete old files
    upgrade.py       `optunapi upgrade`: databases of an older Optuna
    spool.py         `optunapi spool`: results that were kept on disk
    tunnel.py        `optunapi tunnel`: a local port to a server behind an SSH gateway
    reach.py         run a command through a server's URL, or on this machine's own folders
    local_server.py  a server in a process of its own, for one command
    output.py        `--json`, error messages and exit codes
    streams.py       standard streams that are closed, full or of another encoding
"""

import click

from optunapi.cli.artifacts import artifacts
from optunapi.cli.check import check
from optunapi.cli.demo import demo
from optunapi.cli.output import Commands, json_option
from optunapi.cli.reach import server_options
from optunapi.cli.serve import serve
from optunapi.cli.spool import spool
from optunapi.cli.studies import fork
from optunapi.cli.transfer import export_trials, import_trials
from optunapi.cli.tunnel import tunnel
from optunapi.cli.upgrade import upgrade


@click.group("optunapi", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optunapi", message="%(prog)s %(version)s")
@server_options
@json_option
def main() -> None:
    """Distribute hyperparameter optimisation over HTTP.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 server not reached, 4 not permitted.
    """


for command in (
    serve,
    check,
    demo,
    fork,
    export_trials,
    import_trials,
    artifacts,
    upgrade,
    spool,
    tunnel,
):
    main.add_command(command)
