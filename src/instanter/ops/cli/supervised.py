"""`python -m instanter.ops.cli.supervised COUNT ADDRESS ARGUMENT ...`: what `instanter serve --workers` becomes.

ADDRESS is printed as JSON at the end, unless it is empty.
"""

from __future__ import annotations

import sys

import msgspec

from ..logs import log_as_json
from ..workers.supervisor import supervise


def main() -> int:
    """Supervise until told to stop."""
    count, address, *words = sys.argv[1:]
    log_as_json()
    code = supervise(int(count), words)
    if address and code == 0:
        print(msgspec.json.encode({"stopped": address}).decode())
    return code


if __name__ == "__main__":
    sys.exit(main())
