"""Run `headway bench` on a private PostgreSQL and Redis, as the tests start them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.servers import postgres, redis  # noqa: E402


def main() -> int:
    """Start the servers, run the command with this process's arguments, stop the servers."""
    headway = Path(sys.executable).with_name("headway")
    with postgres.postgres(durable=True) as database, redis.redis() as broker:
        url = postgres.create_database(database.url)
        env = {
            **os.environ,
            "HEADWAY_BENCH_DATABASE_URL": url,
            "HEADWAY_BENCH_BROKER_URL": broker.url,
        }
        print(f"database: {database.source}; broker: {broker.source}", file=sys.stderr)
        return subprocess.run([headway, "bench", *sys.argv[1:]], env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
