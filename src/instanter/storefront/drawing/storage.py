"""What things are kept in: sideboards, cases, wardrobes, chests, shelves."""

from __future__ import annotations

from .palette import Look, mixed
from .shapes import handle, legs, line, oval, path, rect, shadow, textured


def sideboard(look: Look) -> str:
    """Long and low, with doors and drawers."""
    return (
        shadow(46, 354)
        + legs(_wooden(look), 50, 350, 280)
        + _case(look, 42, 188, 316, 92)
        + _fronts(look, 50, 196, (100, 100, 100), 76)
        + _vase(look, 92, 188)
        + _books(look, 246, 188)
    )


def media_console(look: Look) -> str:
    """Lower still, with an open middle for what plays."""
    middle = (
        rect(146, 226, 108, 54, mixed(look.main, "#1d1a18", 0.45), 3)
        + rect(146, 252, 108, 4, look.body_darker(0.2))
        + rect(158, 260, 84, 14, "#2c2f31", 3)
        + oval(228, 267, 2.5, 2.5, look.style.accent)
    )
    screen = (
        rect(84, 92, 232, 116, "#26292b", 6)
        + rect(90, 98, 220, 104, mixed(look.style.accent, "#26292b", 0.72), 3)
        + path("M90 202L160 140L204 178L242 152L310 202Z", mixed(look.style.accent, "#26292b", 0.5))
        + oval(266, 126, 12, 12, mixed(look.style.accent, "#ffffff", 0.4))
        + rect(180, 208, 40, 8, "#26292b")
    )
    return (
        shadow(40, 360)
        + screen
        + legs(_wooden(look), 44, 356, 284)
        + _case(look, 36, 216, 328, 70)
        + middle
        + _fronts(look, 44, 226, (98,), 52)
        + _fronts(look, 258, 226, (98,), 52)
    )


def bookcase(look: Look) -> str:
    """Five boards full of books and a plant."""
    if look.style.legs == "frame":
        sides = (
            rect(106, 66, 7, 256, look.foot)
            + rect(287, 66, 7, 256, look.foot)
            + path("M110 70L290 318M290 70L110 318", stroke=mixed(look.foot, "#ffffff", 0.5), width=2)
        )
    else:
        sides = textured(rect(104, 62, 192, 248, look.body_darker(0.3), min(look.style.radius, 8))) + rect(
            114, 72, 172, 228, mixed(look.body, "#ffffff", 0.42)
        )
    boards, rows = "", ""
    for n, y in enumerate((122, 178, 234, 290)):
        boards += textured(rect(104, y, 192, 9, look.body, 1.5))
        rows += _books(look, 118 + (n % 2) * 66, y, count=6) + (
            _vase(look, 246, y, small=True) if n % 2 == 0 else oval(146, y - 13, 16, 13, look.style.accent)
        )
    frame = (
        ""
        if look.style.legs == "frame"
        else textured(rect(104, 62, 10, 248, look.body, 2))
        + textured(rect(286, 62, 10, 248, look.body, 2))
        + textured(rect(100, 58, 200, 10, look.body, 3))
    )
    return shadow(104, 296) + legs(_wooden(look), 106, 294, 304) + sides + rows + boards + frame


def wardrobe(look: Look) -> str:
    """Tall, with two doors or three."""
    doors = (87.0, 87.0) if look.variant != 1 else (57.0, 57.0, 57.0)
    case = _case(look, 106, 56, 188, 246)
    fronts, x = "", 112.0
    for n, wide in enumerate(doors):
        fronts += textured(rect(x, 64, wide, 228, look.stained(0.3), 3)) + _panel(look, x, 64, wide, 228)
        fronts += handle(look, x + (wide - 12 if n % 2 == 0 else 12), 186, upright=True)
        x += wide + 2
    return shadow(106, 294) + legs(_wooden(look), 110, 290, 300) + case + fronts


def dresser(look: Look) -> str:
    """Three rows of drawers, and a lamp on top."""
    drawers = "".join(
        textured(rect(x, y, wide, 40, look.body_lighter(0.07), 3)) + handle(look, x + wide / 2, y + 20)
        for y, row in ((164, ((84, 113), (203, 113))), (208, ((84, 232),)), (252, ((84, 232),)))
        for x, wide in row
    )
    mirror = (
        oval(246, 108, 40, 46, look.foot)
        + oval(246, 108, 34, 40, "#dce8ea")
        + path("M226 118L252 84", stroke="#ffffff", width=5)
        if look.variant != 1
        else _books(look, 220, 152)
    )
    return (
        shadow(76, 324)
        + legs(_wooden(look), 80, 320, 298)
        + mirror
        + _case(look, 74, 152, 252, 148)
        + drawers
        + _vase(look, 122, 152)
    )


def nightstand(look: Look) -> str:
    """A drawer over a shelf, with a lamp to read by."""
    lamp = (
        path("M166 132L182 84H222L238 132Z", mixed(look.main, "#fff3d6", 0.5))
        + rect(198, 132, 8, 32, look.foot)
        + oval(202, 170, 24, 8, look.foot)
    )
    shelf = rect(140, 234, 120, 46, look.body_darker(0.45), 2) + _books(look, 156, 278, lying=True)
    return (
        shadow(128, 272)
        + lamp
        + legs(_wooden(look), 132, 268, 284)
        + _case(look, 128, 176, 144, 112)
        + textured(rect(136, 184, 128, 44, look.body_lighter(0.07), 3))
        + handle(look, 200, 206)
        + shelf
    )


def display_cabinet(look: Look) -> str:
    """Glass doors over two wooden ones."""
    inside = (
        rect(118, 74, 164, 138, mixed(look.body, "#fdf6e6", 0.72))
        + "".join(rect(118, y, 164, 4, look.body) for y in (116, 162))
        + "".join(_cup(x, y, look) for x, y in ((138, 116), (166, 116), (232, 116), (258, 116), (146, 162), (246, 162)))
        + _vase(look, 200, 162, small=True)
        + _vase(look, 160, 212, small=True)
        + oval(238, 200, 20, 12, look.style.accent)
    )
    glass = (
        rect(118, 74, 80, 138, "#d8eaec", 0, ' opacity="0.35"')
        + rect(202, 74, 80, 138, "#d8eaec", 0, ' opacity="0.35"')
        + path("M128 196L178 90M214 196L264 90", stroke="#ffffff88", width=6)
        + rect(197, 70, 6, 146, look.body)
    )
    return (
        shadow(106, 294)
        + legs(_wooden(look), 110, 290, 300)
        + _case(look, 106, 62, 188, 242)
        + inside
        + glass
        + _fronts(look, 114, 222, (85, 85), 72)
    )


def wall_shelf(look: Look) -> str:
    """Two boards on the wall, and no floor."""
    boards = ""
    for y, x, wide in ((168, 76, 248), (258, 112, 212)):
        brackets = "".join(
            path(f"M{bx:g} {y + 10:g}V{y + 40:g}M{bx:g} {y + 40:g}L{bx + 26:g} {y + 10:g}", stroke=look.foot, width=5)
            for bx in (x + 30, x + wide - 56)
        )
        boards += (brackets if look.style.legs in ("frame", "block", "pointed", "cane") else "") + textured(
            rect(x, y, wide, 13, look.body, min(5.0, look.style.radius))
        )
    things = (
        _books(look, 96, 168)
        + _vase(look, 286, 168)
        + _vase(look, 150, 258, small=True)
        + _books(look, 214, 258)
        + rect(190, 126, 44, 42, "#fbf7ef", 2)
        + rect(196, 132, 32, 30, look.style.accent, 1)
        + path("M196 162L208 146L218 156L228 144V162Z", mixed(look.style.accent, "#ffffff", 0.5))
    )
    return boards + things


def filing_cabinet(look: Look) -> str:
    """Three drawers with labels."""
    drawers = "".join(
        textured(rect(136, y, 128, 58, look.body_lighter(0.08), 4))
        + handle(look, 200, y + 36)
        + rect(178, y + 12, 44, 13, "#faf6ec", 2)
        for y in (126, 188, 250)
    )
    return (
        shadow(126, 274)
        + legs(look, 130, 270, 306)
        + _case(look, 128, 118, 144, 196)
        + drawers
        + _vase(look, 200, 118, small=True)
    )


def shoe_cabinet(look: Look) -> str:
    """Flaps, one open by a hand's breadth."""
    flaps = "".join(
        textured(rect(96, y, 208, 58, look.body_lighter(0.07), 3)) + handle(look, 200, y + 12) for y in (160, 222)
    )
    shoe = path("M120 150Q120 134 132 134Q146 142 168 144Q176 146 176 152H120Z", look.style.accent) + rect(
        118, 150, 60, 5, "#fbf7ef", 2
    )
    return (
        shadow(90, 310)
        + legs(_wooden(look), 94, 306, 284)
        + _case(look, 88, 154, 224, 134)
        + flaps
        + shoe
        + _vase(look, 272, 154)
    )


def toy_chest(look: Look) -> str:
    """Open, full, with a bear looking out."""
    bear = (
        oval(196, 172, 34, 32, "#b98a5a")
        + oval(170, 146, 12, 12, "#b98a5a")
        + oval(222, 146, 12, 12, "#b98a5a")
        + oval(196, 182, 14, 11, "#e3c49c")
        + oval(184, 166, 4, 4.5, "#3a2c22")
        + oval(208, 166, 4, 4.5, "#3a2c22")
        + oval(196, 178, 4.5, 3.5, "#3a2c22")
    )
    toys = (
        oval(264, 190, 26, 26, look.style.accent)
        + path("M240 184Q264 170 288 184", stroke="#ffffffaa", width=5)
        + rect(112, 164, 36, 46, "#e8b84f", 5, ' transform="rotate(-14 130 187)"')
    )
    lid = textured(path("M88 206L104 118H296L312 206Z", look.body_darker(0.2))) + path(
        "M88 206L104 118H296L312 206Z", stroke=look.body_darker(0.35), width=4
    )
    return (
        shadow(84, 316)
        + lid
        + toys
        + bear
        + textured(rect(84, 204, 232, 112, look.body, 10))
        + rect(84, 204, 232, 12, look.body_lighter(), 5)
        + path(
            "M200 248q-16 -18 -26 0q0 16 26 32q26 -16 26 -32q-10 -18 -26 0z",
            look.main if look.main != look.body else look.style.accent,
        )
    )


def _case(look: Look, x: float, y: float, wide: float, high: float) -> str:
    r = min(look.style.radius, 12.0)
    return (
        textured(rect(x, y, wide, high, look.body, r))
        + rect(x + 6, y + 8, wide - 12, high - 16, look.body_darker(0.34), 3)
        + rect(x + 4, y + 1.5, wide - 8, 3, "#ffffff", 1.5, ' opacity="0.25"')
    )


def _fronts(look: Look, x: float, y: float, widths: tuple[int, ...], high: float) -> str:
    drawn = ""
    for n, wide in enumerate(widths):
        drawn += textured(rect(x, y, wide - 2, high, look.body_lighter(0.08), 3))
        if len(widths) == 3 and n == 1:
            drawn += "".join(
                line(x + 4, y + high * k / 3, x + wide - 6, y + high * k / 3, look.body_darker(0.35), 2) for k in (1, 2)
            ) + "".join(handle(look, x + wide / 2, y + high * (2 * k + 1) / 6) for k in range(3))
        else:
            drawn += _panel(look, x, y, wide - 2, high) + handle(
                look, x + (wide - 16 if n % 2 == 0 else 14), y + high / 2, upright=True
            )
        x += wide
    return drawn


def _panel(look: Look, x: float, y: float, wide: float, high: float) -> str:
    """What is on the front of a door: slats, cane, a frame, a fan; nothing where the style is plain."""
    dark = look.body_darker(0.3)
    match look.style.legs:
        case "splayed":
            return "".join(line(x + k, y + 3, x + k, y + high - 3, dark, 1.6) for k in range(8, int(wide) - 4, 9))
        case "cane" | "turned":
            across = "".join(
                line(x + 8, y + k, x + wide - 8, y + k, "#a97f4877", 1.4) for k in range(14, int(high) - 8, 9)
            )
            return (
                rect(x + 8, y + 8, wide - 16, high - 16, "#e6cd9f", 2)
                + across
                + "".join(
                    line(x + k, y + 8, x + k, y + high - 8, "#a97f4877", 1.4) for k in range(16, int(wide) - 10, 9)
                )
            )
        case "block":
            return path(f"M{x + 9:g} {y + 9:g}H{x + wide - 9:g}V{y + high - 9:g}H{x + 9:g}Z", stroke=dark, width=3)
        case "pointed":
            return "".join(
                path(
                    f"M{x + wide / 2:g} {y + high - 6:g}L{x + wide / 2 + k * wide / 9:g} {y + 6:g}",
                    stroke=dark,
                    width=1.5,
                )
                for k in (-3, -2, -1, 0, 1, 2, 3)
            )
        case "low":
            return "".join(line(x + 4, y + k, x + wide - 4, y + k, dark, 1.2) for k in range(10, int(high) - 4, 12))
        case "frame":
            return path(
                f"M{x + 7:g} {y + 7:g}L{x + wide - 7:g} {y + high - 7:g}M{x + wide - 7:g} {y + 7:g}L{x + 7:g} "
                f"{y + high - 7:g}",
                stroke="#2c2f3155",
                width=2,
            )
        case _:
            return ""


def _wooden(look: Look) -> Look:
    """Cases stand on feet of their own wood, but for styles whose feet are of metal."""
    foot = look.foot if look.style.legs in ("frame", "pointed") else look.body_darker(0.14)
    return Look(look.style, look.style_name, look.main, look.body, foot, look.material, look.variant)


def _books(look: Look, x: float, y: float, *, count: int = 5, lying: bool = False) -> str:
    tones = (
        look.style.accent,
        look.main,
        "#e4d9c4",
        mixed(look.main, "#000000", 0.3),
        mixed(look.style.accent, "#ffffff", 0.45),
        "#9aa39a",
    )
    if lying:
        return "".join(rect(x + n * 3, y - 8 * (n + 1), 66 - n * 8, 7, tones[n], 1.5) for n in range(3))
    heights = (34, 40, 31, 37, 29, 38)
    return "".join(rect(x + n * 11, y - heights[n], 9.5, heights[n], tones[n], 1) for n in range(count))


def _vase(look: Look, x: float, y: float, *, small: bool = False) -> str:
    k = 0.62 if small else 1.0
    pot = path(
        f"M{x - 12 * k:g} {y:g}Q{x - 22 * k:g} {y - 22 * k:g} {x - 7 * k:g} "
        f"{y - 36 * k:g}V{y - 44 * k:g}H{x + 7 * k:g}V{y - 36 * k:g}Q{x + 22 * k:g} {y - 22 * k:g} {x + 12 * k:g} "
        f"{y:g}Z",
        mixed(look.main, "#ffffff", 0.25),
    )
    twigs = "".join(
        path(
            f"M{x:g} {y - 42 * k:g}Q{x + dx * 0.3 * k:g} {y - 60 * k:g} {x + dx * k:g} {y - h * k:g}",
            stroke="#7c8f6c",
            width=2.2,
        )
        + oval(x + dx * k, y - h * k, 5 * k, 8 * k, "#93a883")
        for dx, h in ((-18, 78), (2, 90), (20, 74))
    )
    return twigs + pot


def _cup(x: float, y: float, look: Look) -> str:
    return path(
        f"M{x - 9:g} {y - 18:g}H{x + 9:g}L{x + 6:g} {y:g}H{x - 6:g}Z", mixed(look.style.accent, "#ffffff", 0.55)
    )
