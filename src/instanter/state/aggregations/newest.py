"""The newest step of a person in the ring of a feature that keeps steps: [number]. Made by the layout, never declared.

>>> NEWEST.beside, NEWEST.is_declared
('profile', False)
"""

from __future__ import annotations

from .base import Aggregation, Trait

NEWEST = Aggregation(
    name="newest", number=16, words=lambda spec: 1, traits=Trait.COMPANION, beside="profile", inexact=lambda spec: [0]
)
