"""Lamps, rugs, mirrors, and what stands in halls and gardens."""

from __future__ import annotations

from .palette import Look, mixed
from .shapes import FLOOR, line, oval, path, rect, shadow, textured

GLOW = "#ffe9b8"


def floor_lamp(look: Look) -> str:
    """Stands beside a chair; its stem and shade tell the style."""
    metal = look.body if look.material in ("steel", "brass", "aluminium", "walnut") else look.foot
    light = oval(200, 150, 110, 96, GLOW, ' opacity="0.35"')
    match look.style.legs:
        case "splayed":
            stand = "".join(line(200, 176, x, FLOOR, look.foot, 7) for x in (150, 250)) + line(
                200, 176, 206, FLOOR - 8, mixed(look.foot, "#000000", 0.3), 6
            )
            return light + shadow(150, 250) + stand + _drum(look, 200, 96, 62, 76, 84)
        case "frame":
            stand = (
                line(150, 316, 150, 112, metal, 6)
                + line(128, 132, 262, 84, metal, 6)
                + oval(150, 124, 8, 8, "#2c2f31")
                + oval(150, 318, 46, 8, metal)
            )
            return (
                oval(262, 150, 76, 70, GLOW, ' opacity="0.4"')
                + shadow(110, 190)
                + stand
                + path("M236 116Q240 78 268 78Q296 82 296 118Z", look.main)
                + oval(266, 118, 29, 7, GLOW)
            )
        case "pointed":
            stand = path("M150 318V140Q150 62 216 62Q262 62 262 112", stroke="#c39c4f", width=6) + oval(
                150, 318, 44, 8, "#c39c4f"
            )
            return (
                oval(262, 152, 78, 74, GLOW, ' opacity="0.4"')
                + shadow(112, 188)
                + stand
                + oval(262, 146, 34, 34, mixed(look.main, "#fff6df", 0.72))
                + oval(252, 134, 10, 9, "#ffffff")
            )
        case "low":
            paper = "".join(
                oval(200, y, rx, 16, fill)
                for y, rx, fill in (
                    (96, 40, mixed(look.main, "#fbf5e6", 0.8)),
                    (116, 56, mixed(look.main, "#f7efdb", 0.75)),
                    (138, 60, mixed(look.main, "#fbf5e6", 0.8)),
                    (160, 54, mixed(look.main, "#f4ead2", 0.75)),
                    (178, 38, mixed(look.main, "#efe3c6", 0.7)),
                )
            )
            return (
                light
                + shadow(150, 250)
                + line(200, 180, 200, 314, look.foot, 6)
                + oval(200, 317, 42, 7, look.foot)
                + paper
                + "".join(
                    path(f"M{200 - rx:g} {y:g}Q200 {y + 12:g} {200 + rx:g} {y:g}", stroke="#d9cba8", width=1.3)
                    for y, rx in ((104, 48), (126, 59), (148, 59), (168, 48))
                )
            )
        case "cane":
            return (
                light
                + shadow(150, 250)
                + "".join(line(200, 180, x, FLOOR, look.foot, 7) for x in (156, 200, 244))
                + textured(path("M138 178Q136 96 200 86Q264 96 262 178Z", mixed("#d2a965", look.main, 0.3)))
                + "".join(
                    path(f"M200 88Q{200 + x:g} 120 {200 + x * 1.25:g} 178", stroke="#9b7338", width=2.4)
                    for x in (-46, -24, 0, 24, 46)
                )
                + oval(200, 178, 62, 8, GLOW)
            )
        case _:
            return (
                light
                + shadow(150, 250)
                + line(200, 160, 200, 316, metal, 7)
                + oval(200, 318, 46, 8, metal)
                + _drum(look, 200, 92, 58, 80, 78)
            )


def table_lamp(look: Look) -> str:
    """For a nightstand; as large in the picture as the others."""
    metal = look.body if look.body != look.main else look.foot
    base = {
        0: textured(path("M168 306Q140 250 182 226V206H218V226Q260 250 232 306Z", metal)),
        1: "".join(textured(oval(200, y, r, r * 0.82, metal)) for y, r in ((282, 38), (238, 28), (210, 16))),
        2: textured(path("M160 306L186 206H214L240 306Z", metal)),
    }[look.variant]
    return (
        oval(200, 150, 120, 100, GLOW, ' opacity="0.35"')
        + shadow(140, 260, 314)
        + base
        + rect(154, 302, 92, 10, mixed(metal, "#000000", 0.2), 5)
        + rect(195, 186, 10, 22, look.foot)
        + _drum(look, 200, 92, 62, 100, 98)
    )


def desk_lamp(look: Look) -> str:
    """Two arms and a head that looks down."""
    metal = look.body
    joints = "".join(oval(x, y, 8, 8, mixed(metal, "#000000", 0.3)) for x, y in ((150, 216), (216, 132)))
    beam = path("M226 166L318 166L352 306H168Z", GLOW).replace("<path", '<path opacity="0.45"')
    head = path("M208 112Q240 92 274 128L300 164H226Q204 140 208 112Z", look.main) + oval(263, 165, 37, 7, "#fff6df")
    return (
        beam
        + shadow(110, 220, 312)
        + rect(112, 300, 96, 12, metal, 6)
        + line(160, 300, 150, 216, metal, 8)
        + line(150, 216, 216, 132, metal, 8)
        + joints
        + head
    )


def pendant_lamp(look: Look) -> str:
    """Hangs from above over the edge of a table."""
    cord = line(200, 0, 200, 116, "#4a4540", 3) + rect(190, 110, 20, 18, look.foot, 4)
    light = path("M120 226L280 226L352 400H48Z", GLOW).replace("<path", '<path opacity="0.30"')
    fill = look.stained(0.2)
    match look.style.legs:
        case "frame":
            shade = textured(path("M104 226Q110 148 176 132V122H224V132Q290 148 296 226Z", fill)) + oval(
                200, 226, 96, 11, "#fff1cf"
            )
        case "pointed":
            shade = (
                "".join(
                    textured(oval(200 + x, y, 34, 34, fill)) + oval(200 + x, y + 8, 20, 18, "#fff6df")
                    for x, y in ((-58, 186), (58, 186), (0, 222))
                )
                + line(200, 126, 142, 160, look.foot, 4)
                + line(200, 126, 258, 160, look.foot, 4)
                + line(200, 126, 200, 194, look.foot, 4)
            )
        case "cane" | "turned":
            shade = textured(path("M98 226Q96 156 200 124Q304 156 302 226Q200 250 98 226Z", fill)) + "".join(
                path(f"M200 126Q{200 + x:g} 160 {200 + x * 1.3:g} 236", stroke=mixed(fill, "#000000", 0.3), width=2)
                for x in (-70, -40, -12, 12, 40, 70)
            )
        case "low" | "tapered":
            shade = textured(oval(200, 186, 92, 62, mixed(fill, "#fff6e0", 0.35))) + "".join(
                path(
                    f"M{200 - rx:g} {y:g}Q200 {y + 14:g} {200 + rx:g} {y:g}",
                    stroke=mixed(fill, "#000000", 0.22),
                    width=1.6,
                )
                for y, rx in ((148, 70), (168, 87), (188, 91), (208, 83), (226, 66))
            )
        case _:
            shade = (
                textured(path("M128 216Q128 132 200 128Q272 132 272 216Z", fill))
                + path("M112 218H288L272 234H128Z", mixed(fill, "#000000", 0.25))
                + oval(200, 234, 72, 7, "#fff1cf")
            )
    return light + cord + shade


def rug(look: Look) -> str:
    """Lies on the floor, seen from above at a slant; the pattern is the style's."""
    outline = "M70 150L330 150L372 306L28 306Z"
    base = textured(path(outline, look.main))
    fringe = "".join(line(28 + n * 14.3, 306, 27 + n * 14.3, 318, look.lighter(0.5), 2.2) for n in range(25)) + "".join(
        line(70 + n * 13, 150, 70 + n * 13, 143, look.lighter(0.5), 2) for n in range(21)
    )
    light, dark, accent = look.lighter(0.5), look.darker(0.28), look.style.accent
    match look.style.legs:
        case "splayed":
            motif = "".join(
                path(f"M{x:g} {y:g}q{26 * k:g} {-26 * k:g} {52 * k:g} 0q{-26 * k:g} {26 * k:g} {-52 * k:g} 0z", fill)
                for x, y, k, fill in (
                    (90, 188, 1, light),
                    (176, 186, 1.1, accent),
                    (262, 190, 0.9, dark),
                    (70, 262, 1.4, accent),
                    (176, 258, 1.3, dark),
                    (274, 264, 1.1, light),
                )
            )
        case "tapered":
            motif = "".join(
                path(f"M{74 + n * 28.6:g} 156L{34 + n * 37.4:g} 300", stroke=light, width=2.5)
                + path(f"M{326 - n * 28.6:g} 156L{366 - n * 37.4:g} 300", stroke=light, width=2.5)
                for n in range(10)
            )
        case "frame":
            motif = path("M120 150L240 306H300L170 150ZM260 150L110 306H70L226 150Z", dark) + path(
                "M60 190H340L346 206H56Z", light
            )
        case "pointed":
            motif = "".join(
                path(
                    f"M200 306Q{200 - k:g} {306 - k * 0.9:g} {200 - k * 1.5:g} 306",
                    stroke=accent if k % 60 else light,
                    width=4,
                )
                + path(
                    f"M200 306Q{200 + k:g} {306 - k * 0.9:g} {200 + k * 1.5:g} 306",
                    stroke=accent if k % 60 else light,
                    width=4,
                )
                for k in (30, 60, 90, 110)
            ) + path("M84 160H316L356 296H44Z", stroke=accent, width=4)
        case "low":
            motif = oval(150, 236, 62, 36, light, ' opacity="0.8"') + path(
                "M212 258Q270 190 330 214L344 262Q280 290 212 258Z", dark
            ).replace("<path", '<path opacity="0.55"')
        case "cane":
            motif = "".join(
                path(
                    "M" + " ".join(f"{x0 + n * (x1 - x0) / 12:g} {y + (6 if n % 2 else -6):g}" for n in range(13)),
                    stroke=fill,
                    width=6,
                )
                for y, x0, x1, fill in (
                    (176, 64, 336, light),
                    (206, 56, 344, accent),
                    (240, 47, 353, dark),
                    (276, 38, 362, light),
                )
            )
        case _:
            motif = "".join(
                path(f"M{70 - (y - 150) * 0.27 + 5:g} {y:g}L{330 + (y - 150) * 0.27 - 5:g} {y:g}", stroke=fill, width=w)
                for y, fill, w in (
                    (164, light, 5),
                    (178, light, 2),
                    (214, accent, 4),
                    (226, light, 9),
                    (238, accent, 4),
                    (280, light, 3),
                    (292, light, 7),
                )
            )
    return oval(200, 312, 178, 12, "#2b2218", ' opacity="0.12"') + fringe + base + motif


def planter(look: Look) -> str:
    """A pot with a plant that fits the style."""
    glaze = look.stained(0.5)
    pot = {
        0: textured(path("M142 224H258L242 316H158Z", glaze)) + rect(136, 214, 128, 18, look.body_lighter(), 6),
        1: textured(path("M146 216Q118 270 164 316H236Q282 270 254 216Z", glaze))
        + rect(142, 208, 116, 14, look.body_darker(), 7),
        2: textured(rect(136, 214, 128, 92, glaze, 8))
        + line(156, 306, 150, FLOOR, look.foot, 8)
        + line(244, 306, 250, FLOOR, look.foot, 8),
    }[look.variant]
    if look.style.legs in ("frame", "tapered", "low"):
        plant = "".join(
            path(f"M200 218Q{200 + dx * 0.2:g} 150 {200 + dx:g} {y:g}Q{200 + dx * 0.7:g} 160 204 218Z", fill)
            for dx, y, fill in (
                (-64, 110, "#5e7f5c"),
                (-34, 74, "#7a9a70"),
                (-6, 60, "#5e7f5c"),
                (28, 78, "#86a67b"),
                (60, 112, "#668a62"),
            )
        )
    elif look.style.legs in ("cane", "coastal", "turned"):
        plant = "".join(
            path(f"M200 214Q{200 + dx * 0.5:g} {y - 10:g} {200 + dx:g} {y:g}", stroke="#5e7f5c", width=4)
            + "".join(
                path(
                    f"M{200 + dx * t:g} {214 + (y - 214) * t - 8:g}q{14 if dx > 0 else -14} -16 "
                    f"{26 if dx > 0 else -26} 4q-12 10 {-26 if dx > 0 else 26} -4z",
                    "#7fa06f",
                )
                for t in (0.5, 0.7, 0.9)
            )
            for dx, y in ((-80, 120), (-44, 80), (6, 66), (50, 86), (84, 128))
        )
    else:
        plant = "".join(
            line(200, 216, x, y, "#6d8a5f", 4)
            + oval(x, y, 24, 30, fill, f' transform="rotate({turn} {x} {y})"')
            + path(f"M{x:g} {y - 24:g}V{y + 24:g}", stroke="#ffffff55", width=1.5)
            for x, y, turn, fill in (
                (146, 152, -38, "#6f9466"),
                (252, 146, 36, "#83a678"),
                (172, 102, -16, "#7c9f70"),
                (226, 96, 14, "#668b5f"),
                (200, 156, 0, "#8fb083"),
            )
        )
    return shadow(140, 260) + plant + pot


def parasol(look: Look) -> str:
    """Open over nothing in particular."""
    stripes = "".join(
        path(
            f"M200 70Q{52 + n * 37 + 30:g} 104 {44 + n * 39:g} 172L{44 + (n + 1) * 39:g} "
            f"172Q{52 + (n + 1) * 37 + 30 if n < 4 else 200 + (n - 3) * 34:g} 104 200 70Z",
            look.main if n % 2 == 0 else look.lighter(0.72),
        )
        for n in range(8)
    )
    dome = (
        path("M44 172Q70 78 200 66Q330 78 356 172Z", look.main)
        + stripes
        + "".join(
            path(f"M{44 + n * 39:g} 170q19.5 18 39 0z", look.main if n % 2 == 0 else look.lighter(0.72))
            for n in range(8)
        )
    )
    return (
        oval(200, 326, 130, 10, "#2b2218", ' opacity="0.14"')
        + line(200, 60, 200, 312, look.body if look.body != look.main else look.foot, 9)
        + oval(200, 318, 54, 11, "#8f8d88")
        + dome
        + oval(200, 62, 6, 7, look.foot)
    )


def coat_rack(look: Look) -> str:
    """A stand, or a board on the wall with the variant, with a coat and a hat."""
    coat = (
        path("M222 118Q262 118 268 146L276 256H214L216 146Z", look.style.accent)
        + line(246, 132, 248, 252, mixed(look.style.accent, "#000000", 0.25), 2.5)
        + path("M226 116Q244 100 262 118", stroke="#3b3733", width=3)
    )
    hat = (
        oval(142, 116, 34, 9, mixed(look.main, "#ffffff", 0.1))
        + path("M122 114Q124 84 142 84Q160 84 162 114Z", look.main)
        + rect(122, 104, 40, 7, look.darker(0.35))
    )
    if look.variant == 1:
        pegs = "".join(
            line(x, 118, x, 134, look.foot, 8) + oval(x, 136, 7, 7, look.foot) for x in (110, 155, 200, 245, 290)
        )
        return (
            textured(rect(78, 98, 244, 24, look.body, 8))
            + pegs
            + coat.replace("<path", '<path transform="translate(0 20)"', 1)
            + oval(110, 160, 20, 26, look.main)
            + path("M98 140Q110 120 122 140", stroke=look.darker(), width=4)
        )
    stem = textured(rect(193, 62, 14, 246, look.body, 7)) + "".join(
        path(f"M200 {y:g}Q{200 + dx * 0.6:g} {y + 4:g} {200 + dx:g} {y - 22:g}", stroke=look.body, width=8)
        for dx, y in ((-58, 128), (46, 132), (-34, 96), (34, 96))
    )
    feet = "".join(
        path(f"M200 270Q{200 + dx * 0.3:g} 300 {200 + dx:g} {FLOOR}", stroke=look.body_darker(0.1), width=9)
        for dx in (-58, -18, 22, 58)
    )
    return shadow(140, 260) + feet + stem + coat + hat


def mirror(look: Look) -> str:
    """Round, arched or rectangular, on the wall."""
    glass, frame = "#dbe9ec", look.stained(0.2)
    shine = path("M160 214L236 112M182 232L252 138", stroke="#ffffff", width=8).replace("<path", '<path opacity="0.75"')
    if look.style.legs in ("cane", "pointed") and look.variant != 1:
        rays = "".join(
            f'<g transform="rotate({n * 15} 200 190)">{rect(197, 62 if n % 2 else 76, 6, 60, frame, 3)}</g>'
            for n in range(24)
        )
        return rays + textured(oval(200, 190, 82, 82, frame)) + oval(200, 190, 70, 70, glass) + shine
    if look.variant == 2 or look.style.legs == "block":
        return (
            oval(206, 330, 80, 6, "#2b2218", ' opacity="0.10"')
            + textured(path("M116 312V150Q116 62 200 62Q284 62 284 150V312Z", frame))
            + path("M128 300V152Q128 76 200 76Q272 76 272 152V300Z", glass)
            + shine
            + (
                line(200, 76, 200, 300, frame, 5) + line(128, 190, 272, 190, frame, 5)
                if look.style.legs == "frame"
                else ""
            )
        )
    return (
        oval(204, 196, 112, 112, "#2b2218", ' opacity="0.10"')
        + textured(oval(200, 188, 112, 112, frame))
        + oval(200, 188, 100, 100, glass)
        + shine
        + (
            path("M200 76Q190 40 200 22Q210 40 200 76", stroke="#8a6a44", width=4)
            if look.style.legs in ("splayed", "turned")
            else ""
        )
    )


def _drum(look: Look, x: float, y: float, upper: float, lower: float, height: float) -> str:
    """A lampshade around x, from y down."""
    fill = mixed(look.main, "#fff1d2", 0.42)
    outline = f"M{x - upper:g} {y:g}L{x + upper:g} {y:g}L{x + lower:g} {y + height:g}L{x - lower:g} {y + height:g}Z"
    rims = line(x - upper, y, x + upper, y, mixed(look.main, "#000000", 0.1), 3) + line(
        x - lower, y + height, x + lower, y + height, mixed(look.main, "#000000", 0.1), 4
    )
    pleats = (
        "".join(
            line(x + upper * k, y + 3, x + lower * k, y + height - 3, mixed(look.main, "#8a6a3a", 0.2) + "55", 1.6)
            for k in (-0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8)
        )
        if look.variant != 1
        else ""
    )
    return (
        path(outline, fill)
        + pleats
        + rims
        + oval(x, y + height * 0.6, lower * 0.55, height * 0.35, "#fff8e4", ' opacity="0.5"')
    )
