"""Known models are put to work; the smallest ones warm everything up."""

from __future__ import annotations

from instanter.models.trained import warm_up


def test_warming_up_gives_the_known_scores() -> None:
    warm_up()
