"""Run by a test in a process of its own, without the compiler: prints the hashes of the story of seed argv[1]."""

import json
import sys

from shop import told, told_often

from instanter.state.fold import fold_batch

assert not hasattr(fold_batch, "signatures"), "the compiler is to be off"
seed, count = map(int, sys.argv[1:])
print(json.dumps([*told(seed, count), *told_often(seed, 5 * count)]))
