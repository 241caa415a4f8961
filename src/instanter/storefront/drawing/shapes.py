"""The strokes that pieces are made of: SVG elements as text, in a square of 400 units with the floor at `FLOOR`."""

from __future__ import annotations

from typing import Final

from .palette import METALS, WOODS, Look, mixed

SIDE: Final = 400
FLOOR: Final = 322
"""Where what stands touches the ground."""


def framed(inside: str, definitions: str = "") -> str:
    """A whole SVG of what is drawn."""
    size = f'viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><defs>{definitions}</defs>{inside}</svg>'


def rect(x: float, y: float, width: float, height: float, fill: str, r: float = 0, more: str = "") -> str:
    """A rectangle, its corners rounded by `r`."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{r:g}" fill="{fill}"{more}/>'


def path(outline: str, fill: str = "none", stroke: str = "", width: float = 0) -> str:
    """A path that is filled, drawn, or both."""
    drawn = f' stroke="{stroke}" stroke-width="{width:g}" stroke-linecap="round" stroke-linejoin="round"'
    return f'<path d="{outline}" fill="{fill}"{drawn if stroke else ""}/>'


def oval(x: float, y: float, rx: float, ry: float, fill: str, more: str = "") -> str:
    """An ellipse around (x, y)."""
    return f'<ellipse cx="{x:g}" cy="{y:g}" rx="{rx:g}" ry="{ry:g}" fill="{fill}"{more}/>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float) -> str:
    """A straight stroke with round ends."""
    return path(f"M{x1:g} {y1:g}L{x2:g} {y2:g}", stroke=stroke, width=width)


def shadow(x1: float, x2: float, y: float = FLOOR + 2) -> str:
    """What a piece from x1 to x2 throws on the floor."""
    return oval((x1 + x2) / 2, y, (x2 - x1) / 2 + 14, 9, "#2b2218", ' opacity="0.16"')


def textured(shape: str) -> str:
    """The same shape a second time, filled with the texture of what it is made of."""
    start = shape.index('fill="') + 6
    return shape + shape[:start] + "url(#t)" + shape[shape.index('"', start) :]


def cloth(x: float, y: float, width: float, height: float, fill: str, r: float) -> str:
    """A cushion: a rounded box with its texture and the light along its upper edge."""
    light = rect(x + r * 0.6, y + 2.5, max(4, width - r * 1.2), 3, "#ffffff", 1.5, ' opacity="0.22"')
    return textured(rect(x, y, width, height, fill, r)) + light


def handle(look: Look, x: float, y: float, *, upright: bool = False) -> str:
    """The pull of a door or a drawer around (x, y), as the style has them."""
    dark = mixed(look.body, "#1d1a18", 0.55)
    match look.style.legs:
        case "splayed" | "cane":
            return oval(x, y, 4, 4, look.style.accent)
        case "frame":
            return rect(x - 3, y - 12, 6, 24, "#2c2f31", 1) if upright else rect(x - 16, y - 3, 32, 6, "#2c2f31", 1)
        case "pointed":
            return rect(x - 2, y - 15, 4, 30, "#c9a55a", 2) if upright else rect(x - 18, y - 2, 36, 4, "#c9a55a", 2)
        case "low":
            return rect(x - 3, y - 14, 6, 28, dark, 3) if upright else rect(x - 18, y - 5, 36, 5, dark, 2.5)
        case "block" | "turned":
            return oval(x, y, 5, 5, dark) + oval(x - 1, y - 1.5, 2, 2, "#ffffff", ' opacity="0.3"')
        case _:
            return rect(x - 2, y - 9, 4, 18, dark, 2) if upright else rect(x - 10, y - 2, 20, 4, dark, 2)


def legs(look: Look, x1: float, x2: float, top: float, bottom: float = FLOOR) -> str:
    """Two legs in front and two behind under what stands from x1 to x2, as the style has them."""
    front, back = look.foot, mixed(look.foot, "#1d1a18", 0.35)
    height = bottom - top
    inset = min(18.0, (x2 - x1) * 0.12)
    match look.style.legs:
        case "splayed":
            reach = min(16.0, height * 0.24)
            behind = "".join(
                _taper(x, top, x + lean, bottom - 7, 7, 4, back)
                for x, lean in ((x1 + inset * 2.1, -reach * 0.4), (x2 - inset * 2.1, reach * 0.4))
            )
            return (
                behind
                + _taper(x1 + inset, top, x1 + inset - reach, bottom, 10, 5, front)
                + _taper(x2 - inset, top, x2 - inset + reach, bottom, 10, 5, front)
            )
        case "frame":
            bar = max(4.0, min(7.0, height * 0.12))
            return (
                rect(x1 + inset + 18, top, bar, height - 7, back)
                + rect(x2 - inset - 18 - bar, top, bar, height - 7, back)
                + rect(x1 + 4, top, bar, height, front)
                + rect(x2 - 4 - bar, top, bar, height, front)
                + rect(x1 + 4, bottom - bar, x2 - x1 - 8, bar, front)
            )
        case "block":
            wide = min(22.0, max(12.0, height * 0.3))
            return (
                rect(x1 + inset * 1.8, top, wide * 0.8, height - 7, back)
                + rect(x2 - inset * 1.8 - wide * 0.8, top, wide * 0.8, height - 7, back)
                + rect(x1 + 6, top, wide, height, front, 2)
                + rect(x2 - 6 - wide, top, wide, height, front, 2)
            )
        case "low":
            wide = min(16.0, max(9.0, height * 0.26))
            return (
                rect(x1 + inset * 2.4, top, wide * 0.7, height - 6, back)
                + rect(x2 - inset * 2.4 - wide * 0.7, top, wide * 0.7, height - 6, back)
                + rect(x1 + inset, top, wide, height, front, 3)
                + rect(x2 - inset - wide, top, wide, height, front, 3)
                + (rect(x1 + inset, top + height * 0.55, x2 - x1 - inset * 2, 5, back, 2) if height > 70 else "")
            )
        case "pointed":
            return (
                _taper(x1 + inset * 2.2, top, x1 + inset * 2.2, bottom - 7, 6, 3, back)
                + _taper(x2 - inset * 2.2, top, x2 - inset * 2.2, bottom - 7, 6, 3, back)
                + _taper(x1 + inset, top, x1 + inset - 3, bottom, 8, 3, front)
                + _taper(x2 - inset, top, x2 - inset + 3, bottom, 8, 3, front)
            )
        case "turned":
            return "".join(
                _turned(x, top, y, colour)
                for x, y, colour in (
                    (x1 + inset * 2.2, bottom - 7, back),
                    (x2 - inset * 2.2, bottom - 7, back),
                    (x1 + inset, bottom, front),
                    (x2 - inset, bottom, front),
                )
            )
        case "cane":
            wraps = "".join(
                rect(x - 6, y, 12, 4, mixed(look.foot, "#1d1a18", 0.25), 2)
                for x in (x1 + inset, x2 - inset)
                for y in (top + 2, bottom - height * 0.3)
            )
            brace = (
                path(
                    f"M{x1 + inset:g} {top + height * 0.45:g}Q{(x1 + x2) / 2:g} {top + height * 0.95:g} "
                    f"{x2 - inset:g} {top + height * 0.45:g}",
                    stroke=back,
                    width=4,
                )
                if height > 40
                else ""
            )
            return (
                brace
                + line(x1 + inset * 2.2, top, x1 + inset * 2, bottom - 9, back, 7)
                + line(x2 - inset * 2.2, top, x2 - inset * 2, bottom - 9, back, 7)
                + line(x1 + inset, top, x1 + inset - 4, bottom - 4, front, 9)
                + line(x2 - inset, top, x2 - inset + 4, bottom - 4, front, 9)
                + wraps
            )
        case _:
            return (
                _taper(x1 + inset * 2.3, top, x1 + inset * 2.3, bottom - 7, 7, 5, back)
                + _taper(x2 - inset * 2.3, top, x2 - inset * 2.3, bottom - 7, 7, 5, back)
                + _taper(x1 + inset, top, x1 + inset, bottom, 11, 6, front)
                + _taper(x2 - inset, top, x2 - inset, bottom, 11, 6, front)
            )


def _taper(x1: float, y1: float, x2: float, y2: float, wide: float, narrow: float, fill: str) -> str:
    """A leg from (x1, y1) down to (x2, y2), `wide` above and `narrow` below."""
    a, b = wide / 2, narrow / 2
    return path(f"M{x1 - a:g} {y1:g}L{x1 + a:g} {y1:g}L{x2 + b:g} {y2:g}L{x2 - b:g} {y2:g}Z", fill)


def _turned(x: float, top: float, bottom: float, fill: str) -> str:
    """A leg from the lathe: a bulb between two rings."""
    height = bottom - top
    return (
        rect(x - 3.5, top, 7, height, fill, 2)
        + oval(x, top + height * 0.3, 7, min(12, height * 0.24), fill)
        + rect(x - 6, top + height * 0.58, 12, 4, fill, 2)
    )


def texture(look: Look) -> str:
    """The pattern `t` for what the piece is made of."""
    match look.material:
        case "boucle" | "wool":
            dots = "".join(
                oval(x, y, 2.1, 1.7, fill, f' opacity="{shade}"')
                for x, y, fill, shade in (
                    (2, 2, "#ffffff", 0.24),
                    (7, 4, "#000000", 0.10),
                    (4, 8, "#ffffff", 0.20),
                    (9, 9, "#000000", 0.07),
                )
            )
            return _pattern(11, 11, dots)
        case "linen" | "cotton":
            return _pattern(5, 5, line(0, 1, 5, 1, "#00000014", 0.8) + line(1, 0, 1, 5, "#ffffff24", 0.8))
        case "rattan" | "jute":
            return _pattern(
                12,
                12,
                path("M0 3H6M6 9H12", stroke="#5a3c1c55", width=2.4)
                + path("M3 6V12M9 0V6", stroke="#fff3d955", width=2.4),
            )
        case "velvet":
            return (
                '<linearGradient id="t" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#fff" '
                'stop-opacity="0.20"/>'
                '<stop offset="0.5" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#000" '
                'stop-opacity="0.16"/></linearGradient>'
            )
        case "leather":
            return (
                '<linearGradient id="t" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#fff" '
                'stop-opacity="0.24"/>'
                '<stop offset="0.35" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#000" '
                'stop-opacity="0.18"/></linearGradient>'
            )
        case "marble":
            return _pattern(
                120,
                90,
                path("M-5 30Q30 10 52 40T125 52M20 95Q38 60 70 72T125 20", stroke="#8f8a8455", width=1.6)
                + path("M52 40Q60 60 50 92", stroke="#8f8a8433", width=1),
            )
        case "concrete" | "ceramic":
            return _pattern(
                30,
                30,
                oval(6, 8, 1.4, 1.4, "#00000018")
                + oval(21, 4, 1, 1, "#00000020")
                + oval(14, 21, 1.7, 1.7, "#ffffff40")
                + oval(26, 24, 1.1, 1.1, "#00000014"),
            )
        case "glass":
            return (
                '<linearGradient id="t" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#fff" '
                'stop-opacity="0.7"/>'
                '<stop offset="0.45" stop-color="#fff" stop-opacity="0.05"/><stop offset="1" stop-color="#fff" '
                'stop-opacity="0.35"/></linearGradient>'
            )
        case material if material in WOODS:
            return _pattern(
                150,
                26,
                path(
                    "M0 5Q40 2 75 6T150 5M0 13Q35 16 80 12T150 14M0 21Q50 19 90 22T150 20",
                    stroke="#3a22101f",
                    width=1.3,
                ),
            )
        case material if material in METALS:
            return (
                '<linearGradient id="t" x1="0" y1="0" x2="1" y2="0"><stop offset="0" stop-color="#fff" '
                'stop-opacity="0.28"/>'
                '<stop offset="0.3" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#000" '
                'stop-opacity="0.20"/></linearGradient>'
            )
        case _:
            return _pattern(6, 6, line(0, 1, 6, 1, "#00000010", 0.8))


def _pattern(width: float, height: float, inside: str) -> str:
    return f'<pattern id="t" width="{width:g}" height="{height:g}" patternUnits="userSpaceOnUse">{inside}</pattern>'
