"""Runs a command with a PostgreSQL server of its own: `python scripts/with_postgres.py COMMAND...`.

The server lies in a temporary folder and is ended afterwards; the command finds its address in the variable
TRAINGUARD_TEST_POSTGRES. Where no server is installed, root installs the one of the distribution by apt-get; anybody
else is told how. An address that the variable holds already is left as it is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.queue.postgres import ADDRESS, Server, programs

HELP = f"""PostgreSQL is not installed. Install it (Debian: sudo apt-get install postgresql; macOS: brew install
postgresql), or name a server whose user may create databases:
{ADDRESS}=postgresql://user@host/postgres make test-postgres"""


def install() -> bool:
    """Installs the distribution's server where this user may. Whether there is one now."""
    if programs() is not None:
        return True
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print("installing postgresql by apt-get", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "postgresql"]):
        # It starts no server of its own where policy-rc.d or a container forbids it; ours does not need it.
        done = subprocess.run(["apt-get", *command], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return False
    return programs() is not None


def main() -> int:
    command = sys.argv[1:]
    if not command:
        print(__doc__)
        return 2
    if os.environ.get(ADDRESS):
        return subprocess.run(command, check=False).returncode
    if not install():
        print(HELP, file=sys.stderr)
        return 2
    # As Ctrl-C: the command is told, and the server ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    server = Server()
    try:
        with subprocess.Popen(command, env={**os.environ, ADDRESS: server.address}) as process:
            try:
                return process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
