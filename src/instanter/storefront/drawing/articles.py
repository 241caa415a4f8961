"""Illustrations of articles: a scene for each subject, in a light that differs from one article to the next."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Final

from ...foundation.limits import STOREFRONT_PICTURES_MAX
from .palette import mixed
from .shapes import SIDE, framed, line, oval, path, rect

_LIGHTS: Final = (
    ("#f6d6a8", "#e89f71", "#8a4f4d"), ("#cfe3ea", "#7fb0c4", "#2f5a74"), ("#e7dff0", "#a895c9", "#54447a"),
    ("#dcead3", "#8db487", "#38614a"), ("#f7dcd6", "#d98c85", "#7c3f55"), ("#e9e4d6", "#b9ab85", "#5d5339"),
)  # fmt: skip
"""Sky, middle, foreground."""
_Light = tuple[str, str, str]


@lru_cache(maxsize=STOREFRONT_PICTURES_MAX)
def illustration(subject: str, article_id: str) -> str:
    """An SVG for an article of a subject.

    >>> illustration("Science", "n-1").startswith("<svg")
    True
    """
    turn = zlib.crc32(article_id.encode())
    light = _LIGHTS[turn % len(_LIGHTS)]
    scene = _SCENES.get(subject, _hills)
    inside = rect(0, 0, SIDE, SIDE, light[0]) + scene(light, turn // 7)
    return framed(inside)


def _hills(light: _Light, turn: int) -> str:
    _, middle, near = light
    sun = oval(90 + turn % 220, 110 + turn % 50, 44, 44, "#fff6e2")
    far = path(
        f"M0 250L{70 + turn % 40} 150L{160 + turn % 30} 240L250 {130 + turn % 50}L400 260V400H0Z",
        mixed(middle, "#ffffff", 0.3),
    )
    return (
        sun
        + far
        + path(f"M0 300Q100 {230 + turn % 40} 210 290T400 270V400H0Z", middle)
        + path("M0 350Q140 300 260 345T400 330V400H0Z", near)
    )


def _city(light: _Light, turn: int) -> str:
    _, middle, near = light
    drawn = oval(300 - turn % 200, 100, 40, 40, "#fff6e2")
    for row, (base, fill) in enumerate(((170, mixed(middle, "#ffffff", 0.25)), (230, middle), (280, near))):
        x = -10 - row * 13
        while x < SIDE:
            wide, high = 40 + (turn * (x + 31) // 5) % 36, 60 + (turn // 3 * (x + 47)) % 90
            drawn += rect(x, base - high / 2, wide, SIDE, fill)
            if row == 2:
                drawn += "".join(
                    rect(x + 8 + k * 13, base - high / 2 + 14 + j * 22, 6, 10, "#ffe3a6", 1)
                    for k in range(max(1, (wide - 12) // 13))
                    for j in range(4)
                    if (turn + k * 7 + j * 5 + x) % 3
                )
            x += wide + 3
    return drawn


def _science(light: _Light, turn: int) -> str:
    _, middle, near = light
    stars = "".join(
        oval((turn * k * 37) % 400, (turn * k * 53) % 260, 1.5 + k % 3, 1.5 + k % 3, "#fff6e2") for k in range(1, 40)
    )
    x, y, r = 150 + turn % 160, 120 + turn // 5 % 80, 50 + turn // 11 % 44
    band = path(f"M{x - r * 0.9:g} {y}Q{x} {y + r * 0.4:g} {x + r * 0.9:g} {y}", stroke=middle, width=9)
    planet = oval(x, y, r, r, mixed(middle, "#ffffff", 0.2)) + band
    ring = path(f"M{x - r * 1.4:g} {y + r * 0.5:g}Q{x} {y + r:g} {x + r * 1.4:g} "
                f"{y - r * 0.6:g}", stroke="#fff6e2", width=6)
    dish = (
        path("M60 330Q70 240 150 250Q136 330 60 330Z", "#f4efe4")
        + line(104, 290, 150, 240, "#f4efe4", 5)
        + rect(96, 326, 12, 74, mixed(near, "#ffffff", 0.3))
    )
    return (
        rect(0, 0, SIDE, SIDE, near)
        + stars
        + planet
        + ring
        + path("M0 370Q200 330 400 372V400H0Z", mixed(near, "#000000", 0.35))
        + dish
    )


def _sport(light: _Light, turn: int) -> str:
    _, middle, near = light
    lanes = "".join(path(f"M{-120 + k * 95} 400L{170 + k * 14} 210", stroke="#fff6e2", width=5) for k in range(7))
    x, y = 110 + turn % 180, 110 + turn % 50
    seam = path(f"M{x - 40} {y}Q{x} {y - 20} {x + 40} {y}", stroke=near, width=4)
    ball = oval(x, y, 42, 42, "#fff6e2") + seam
    return path("M0 210H400V400H0Z", middle) + lanes + rect(0, 200, SIDE, 12, near) + ball


def _culture(light: _Light, turn: int) -> str:
    _, middle, near = light
    curtain = ""
    for number, x in enumerate((-10, 26, 62, 300, 336, 372)):
        bulge, left, right = (18, x - 20, x + 30) if x < 200 else (-18, x + 20, x + 70)
        fold = near if number % 2 else mixed(near, "#000000", 0.18)
        curtain += path(f"M{x} 0Q{x + bulge} 200 {left} 400H{right}Q{x + 40} 200 {x + 40} 0Z", fold)
    spot = path(f"M{170 + turn % 60} 0L90 330H310Z", "#fff6e2").replace("<path", '<path opacity="0.6"')
    piano = (
        path("M150 300V250Q200 210 260 250V300Z", "#2e2a2b")
        + rect(140, 296, 124, 12, "#2e2a2b", 3)
        + rect(150, 300, 8, 44, "#2e2a2b")
        + rect(246, 300, 8, 44, "#2e2a2b")
        + rect(146, 290, 60, 7, "#fbf7ef")
    )
    return rect(0, 340, SIDE, 60, middle) + spot + piano + curtain


def _food(light: _Light, turn: int) -> str:
    _, middle, near = light
    table = rect(0, 0, SIDE, SIDE, middle) + "".join(
        line(0, y, SIDE, y + 14, mixed(middle, "#000000", 0.07), 3) for y in range(20, 400, 46)
    )
    plate = oval(200, 210, 138, 138, "#fbf8f1") + oval(200, 210, 102, 102, "#f0eadd")
    bites = "".join(
        oval(200 + dx, 210 + dy, r, r * 0.86, fill)
        for dx, dy, r, fill in (
            (-42, -18, 34, "#d9713f"),
            (26, -38, 30, "#8fae5a"),
            (34, 26, 36, "#e6b54c"),
            (-26, 40, 28, "#a9463b"),
            (2, 2, 18, "#f2e3c0"),
        )
    )
    return (
        table
        + plate
        + bites
        + line(48, 120, 48, 310, near, 9)
        + line(352, 120, 352, 310, near, 9)
        + "".join(line(38 + k * 10, 90, 38 + k * 10, 140, near, 5) for k in range(3))
        + path("M352 84Q374 120 356 170V100Z", near)
    )


def _technology(light: _Light, turn: int) -> str:
    _, middle, near = light
    dots = [(80 + (turn * (k + 3) * 13) % 240, 70 + (turn // 3 * (k + 5) * 17) % 250) for k in range(9)]
    wires = "".join(
        path(f"M{a[0]} {a[1]}V{b[1]}H{b[0]}", stroke=mixed(middle, "#ffffff", 0.3), width=5)
        for a, b in pairwise(dots)
    )
    chip = (
        rect(130, 140, 140, 140, near, 18)
        + rect(158, 168, 84, 84, middle, 10)
        + "".join(
            rect(146 + k * 26, 120, 8, 20, near)
            + rect(146 + k * 26, 280, 8, 20, near)
            + rect(110, 156 + k * 26, 20, 8, near)
            + rect(270, 156 + k * 26, 20, 8, near)
            for k in range(5)
        )
    )
    return wires + "".join(oval(x, y, 11, 11, "#fff6e2") + oval(x, y, 5, 5, near) for x, y in dots) + chip


def _travel(light: _Light, turn: int) -> str:
    _, middle, near = light
    sea = rect(0, 230, SIDE, 170, middle) + "".join(
        path(f"M{x} {y}q18 -9 36 0t36 0", stroke="#ffffff66", width=4)
        for x, y in ((40, 272), (220, 290), (110, 324), (290, 350), (20, 370))
    )
    boat = (
        path("M150 262H266L246 296H170Z", near)
        + line(206, 262, 206, 150, near, 5)
        + path("M212 154Q262 200 258 248H212Z", "#fff6e2")
        + path("M200 170Q166 210 164 248H200Z", mixed(middle, "#ffffff", 0.6))
    )
    return (
        oval(310 - turn % 220, 120, 44, 44, "#fff6e2")
        + path("M0 232L60 180L110 214L150 190L210 232Z", mixed(near, "#ffffff", 0.35))
        + sea
        + boat
    )


_SCENES: Final[dict[str, Callable[[_Light, int], str]]] = {
    "World": _hills, "City": _city, "Science": _science, "Sport": _sport, "Culture": _culture, "Food": _food,
    "Technology": _technology, "Travel": _travel,
}  # fmt: skip
