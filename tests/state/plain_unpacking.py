"""Run by a test in a process of its own, without the compiler: prints the columns of the story of seed 1."""

import json

from shop import unpacked

from instanter.state.fold import fold_batch

assert not hasattr(fold_batch, "signatures"), "the compiler is to be off"
print(json.dumps(unpacked(1, 60)))
