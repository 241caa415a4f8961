"""A small world in one thread: some people, a shop, an engine, a disk that fails and a clock that is wrong.

One seed is one run. The engine is the real one, made by a factory that is handed in; what is around it is simulated.
The accounts stand beside it: what was sent, what was acknowledged, and in plain Python what that has to come to.
"""
