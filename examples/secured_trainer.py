"""The trainer of simple_trainer.py, through an SSH tunnel to a server that only a gateway can reach.

The gateway's host key is checked: without `ssh_host_key`, sshtunnel would trust any server.
Needs `pip install requests sshtunnel`.

    python examples/secured_trainer.py user@gateway:22 private-host:8000 --key ~/.ssh/id_ed25519
"""

import os
import sys

import paramiko
from simple_trainer import arguments, train
from sshtunnel import BaseSSHTunnelForwarderError, open_tunnel


def address(text, port):
    """Split `host` or `host:port`."""
    host, _, given = text.partition(":")
    return host, int(given or port)


def known_host_key(host, port, known_hosts):
    """Return the gateway's host key from known_hosts, the file of OpenSSH and ssh-keyscan."""
    name = host if port == 22 else "[{}]:{}".format(host, port)
    keys = paramiko.HostKeys(os.path.expanduser(known_hosts)).lookup(name)
    if not keys:
        sys.exit(
            "The host key of {0} is not in {1}. Compare it with the one that the gateway's "
            "administrator publishes, then: ssh-keyscan -p {2} {3} >> {1}".format(
                name, known_hosts, port, host
            )
        )
    return keys.get("ssh-ed25519") or next(iter(keys.values()))


def main():
    parser = arguments()
    parser.add_argument("gateway", help="user@host[:port] of the SSH server")
    parser.add_argument("server", help="host[:port] of OptunAPI as the gateway sees it")
    parser.add_argument("--key", default="~/.ssh/id_ed25519", help="private key to log in with")
    parser.add_argument("--known-hosts", default="~/.ssh/known_hosts")
    options = parser.parse_args()

    user, _, host = options.gateway.rpartition("@")
    gateway = address(host, 22)
    try:
        with open_tunnel(
            gateway,
            ssh_username=user or None,
            ssh_pkey=os.path.expanduser(options.key),
            ssh_host_key=known_host_key(*gateway, options.known_hosts),
            ssh_config_file=None,
            host_pkey_directories=[],
            allow_agent=False,
            remote_bind_address=address(options.server, 8000),
            local_bind_address=("127.0.0.1", 0),
        ) as tunnel:
            url = "http://127.0.0.1:{}".format(tunnel.local_bind_port)
            train(url, options.study, options.trials)
    except BaseSSHTunnelForwarderError as error:
        sys.exit("No tunnel: {} (did the host key change, is the key accepted?)".format(error))


if __name__ == "__main__":
    main()
