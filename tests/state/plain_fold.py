"""Run by a test in a process of its own, without the compiler: prints the hashes of the story of seed argv[1]."""

import json
import sys

from shop import told

from instanter.state.fold import fold_batch

assert not hasattr(fold_batch, "signatures"), "the compiler is to be off"
print(json.dumps(told(int(sys.argv[1]), int(sys.argv[2]))))
