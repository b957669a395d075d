"""A trainer for a server behind an SSH gateway: it opens the tunnel itself, and survives its loss.

The gateway has to show the host key that is in known_hosts; an unknown one is refused, with the line to add.
When the SSH connection is lost, the tunnel reconnects on the same local port, and the client repeats the
requests that were lost meanwhile: no trial is lost or told twice.
Needs paramiko too: `pip install requests click rich paramiko && pip install --no-deps .` in a checkout.

    python examples/ssh_gateway.py user@gateway:22 private-host:8000 [--key ~/.ssh/id_ed25519]
"""

import argparse
import sys

from optunapi import Client, open_tunnel
from optunapi.errors import TunnelFailed


def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    y = trial.suggest_float("y", -10, 10)
    return (x - 3) ** 2 + (y + 1) ** 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "gateway", help="user@host[:port] of the SSH server, or a name in ~/.ssh/config"
    )
    parser.add_argument("server", help="host[:port] of OptunAPI as the gateway sees it")
    parser.add_argument("--key", help="the only private key to log in with")
    parser.add_argument("--known-hosts", help="the only file of host keys to trust")
    parser.add_argument("--study", default="behind-a-gateway")
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()

    files = {"key": options.key, "known_hosts": options.known_hosts}
    try:
        with open_tunnel(options.gateway, options.server, **files) as url:
            study = Client(url).create_study(options.study, direction="minimize")
            study.optimize(objective, n_trials=options.trials)
            best = study.best_trial
    except TunnelFailed as error:
        sys.exit(f"No tunnel ({error.code}): {error.detail}")
    print(f"best: trial {best.number}, value {best.value:.4g}, {best.params}")


if __name__ == "__main__":
    main()
