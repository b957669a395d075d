"""OSS Vizier's server. Needs google-vizier alone.

    python vizier_server.py DATABASE_URL

Prints its address, and serves until its stdin ends.
"""

import sys

from vizier.service import servers  # type: ignore[import-not-found]

if __name__ == "__main__":
    server = servers.DefaultVizierServer(host="127.0.0.1", database_url=sys.argv[1])
    print(server.endpoint, flush=True)
    sys.stdin.read()
