"""`python -m optunapi`: the command line, also where the `optunapi` command is not on the path."""

from optunapi.cli import main

main(prog_name="optunapi")
