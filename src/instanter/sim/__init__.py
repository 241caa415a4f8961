"""A shop that does not exist and the people who visit it: seeded, so that one seed replays one run.

The simulator knows what its people truly want, which no engine does; that is what makes it a place to measure one.
It speaks the wire shapes of the API and imports neither features nor models.
"""
