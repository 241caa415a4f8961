"""Tables and desks, and what stands on them so that one sees how large they are."""

from __future__ import annotations

from .palette import Look, mixed
from .shapes import handle, legs, line, oval, path, rect, shadow, textured


def coffee_table(look: Look) -> str:
    """Low; round where the style likes round things."""
    book = rect(168, 226, 56, 8, look.style.accent, 2) + rect(
        172, 219, 48, 7, mixed(look.style.accent, "#ffffff", 0.6), 2
    )
    vase = (
        path("M238 234Q228 214 240 206V196H252V206Q264 214 254 234Z", mixed(look.main, "#ffffff", 0.25))
        + path("M246 198Q240 168 226 158M246 198Q250 160 262 148M246 198Q246 172 244 146", stroke="#7c8f6c", width=3)
        + oval(226, 156, 6, 9, "#8ba37a")
        + oval(263, 146, 6, 9, "#9db38b")
        + oval(244, 143, 5, 9, "#7c946c")
    )
    if look.style.legs in ("splayed", "low", "pointed", "cane", "tapered"):
        top = textured(oval(200, 240, 138, 19, look.body_lighter(0.1))) + path(
            "M62 240Q62 250 200 261Q338 250 338 240L338 245Q330 268 200 268Q70 268 62 245Z", look.body_darker(0.12)
        )
        return shadow(90, 310) + legs(_stone_feet(look), 96, 304, 256) + top + book + vase
    slab = textured(rect(56, 234, 288, 20, look.body_lighter(0.08), min(8, look.style.radius))) + rect(
        56, 250, 288, 7, look.body_darker(0.16), 3
    )
    shelf = rect(80, 298, 240, 7, look.body_darker(0.1), 2) if look.style.legs in ("frame", "block") else ""
    return shadow(60, 340) + shelf + legs(_stone_feet(look), 60, 340, 256) + slab + book + vase


def side_table(look: Look) -> str:
    """Small and round, on three legs, a column or a drum."""
    china = look.lighter(0.15)
    cup = path("M214 168H238V182Q238 192 226 192Q214 192 214 182Z", china) + path(
        "M238 172Q248 174 238 184", stroke=china, width=3
    )
    top = textured(oval(200, 196, 78, 12, look.body_lighter(0.1))) + path(
        "M122 196Q124 214 200 214Q276 214 278 196Q270 208 200 208Q130 208 122 196Z", look.body_darker()
    )
    if look.variant == 1 or look.style.legs == "pointed":
        foot = textured(
            path("M188 208H212L218 300H182Z", look.foot if look.style.legs == "pointed" else look.body)
        ) + oval(200, 312, 48, 9, look.foot if look.style.legs == "pointed" else look.body_darker())
        return shadow(146, 254) + foot + top + cup
    if look.style.legs in ("low", "cane") and look.variant == 2:
        return (
            shadow(140, 260)
            + textured(path("M136 204Q150 262 138 312Q200 326 262 312Q250 262 264 204Z", look.body_darker(0.06)))
            + top
            + cup
        )
    return shadow(140, 260) + legs(_stone_feet(look), 138, 262, 206) + top + cup


def dining_table(look: Look) -> str:
    """Long, set with a bowl and two candles."""
    bowl = (
        path("M158 188Q160 212 200 212Q240 212 242 188Z", mixed(look.main, "#ffffff", 0.2))
        + oval(182, 186, 12, 11, "#d98b4b")
        + oval(204, 182, 13, 12, "#e0a356")
        + oval(222, 187, 11, 10, "#c8673f")
    )
    candles = "".join(
        rect(x, 166, 6, 42, "#f7f2e6", 2)
        + rect(x - 6, 206, 18, 6, look.style.accent, 3)
        + path(f"M{x + 3:g} 152q5 8 0 14q-5 -6 0 -14z", "#f2b84b")
        for x in (274, 298)
    )
    if look.variant == 1 and look.style.legs not in ("frame", "block"):
        column = textured(path("M176 226Q196 270 160 314H240Q204 270 224 226Z", look.body_darker(0.1)))
        top = textured(oval(200, 216, 160, 16, look.body_lighter(0.1))) + path(
            "M40 216Q44 238 200 238Q356 238 360 216Q350 231 200 231Q50 231 40 216Z", look.body_darker()
        )
        return shadow(110, 290) + column + oval(200, 314, 62, 8, look.body_darker(0.2)) + top + bowl + candles
    slab = textured(rect(30, 210, 340, 18, look.body_lighter(0.08), min(9.0, look.style.radius))) + rect(
        34, 226, 332, 8, look.body_darker(), 2
    )
    apron = "" if look.style.legs in ("frame", "splayed") else rect(56, 232, 288, 16, look.body_darker(0.08), 2)
    return shadow(40, 360) + legs(_stone_feet(look), 38, 362, 232) + apron + slab + bowl + candles


def patio_table(look: Look) -> str:
    """For outside: slats with a cloth over them, a jug and two glasses."""
    cloth = rect(164, 212, 72, 40, look.main, 2) + rect(164, 246, 72, 3, look.lighter(0.4))
    slats = "".join(textured(rect(40 + n * 64.4, 214, 62, 16, look.body_lighter(0.08), 3)) for n in range(5))
    jug = (
        path("M176 212L180 166Q200 158 220 166L224 212Z", "#cfe4e6")
        + path("M222 176Q242 178 224 202", stroke="#cfe4e6", width=6)
        + path(
            "M178 184H222L224 212H176Z",
            "#f0c667",
        )
        + oval(196, 190, 8, 8, "#f7dd8b")
    )
    glasses = "".join(
        path(f"M{x:g} 186H{x + 20:g}L{x + 17:g} 212H{x + 3:g}Z", "#dcebec")
        + path(f"M{x + 1.5:g} 197H{x + 18.5:g}L{x + 17:g} 212H{x + 3:g}Z", "#f0c667")
        for x in (132, 248)
    )
    return (
        shadow(44, 356)
        + legs(_stone_feet(look), 46, 354, 230)
        + rect(52, 228, 296, 9, look.body_darker(), 2)
        + slats
        + cloth
        + jug
        + glasses
    )


def desk(look: Look) -> str:
    """With drawers on one side, a lamp and a book."""
    right = look.variant != 1
    x = 252 if right else 56
    drawers = (
        textured(rect(x, 222, 92, 56, look.body, 4))
        + line(x + 4, 250, x + 88, 250, look.body_darker(0.3), 2)
        + handle(look, x + 46, 236)
        + handle(look, x + 46, 264)
    )
    slab = textured(rect(44, 204, 312, 18, look.body_lighter(0.1), min(7.0, look.style.radius))) + rect(
        50, 219, 300, 6, look.body_darker(), 2
    )
    lx = 92 if right else 282
    lamp = (
        path(f"M{lx:g} 200L{lx + 16:g} 158L{lx + 2:g} 124", stroke=look.foot, width=5)
        + path(f"M{lx - 22:g} 132L{lx + 6:g} 108L{lx + 22:g} 126Z", look.style.accent)
        + rect(lx - 18, 198, 36, 6, look.foot, 3)
    )
    books = "".join(
        rect(186 + n * 13, 204 - h, 11, h, fill, 1.5)
        for n, (h, fill) in enumerate(
            ((44, look.style.accent), (50, look.main), (38, "#d9cdb8"), (47, mixed(look.main, "#000000", 0.25)))
        )
    )
    return shadow(50, 350) + legs(_stone_feet(look), 50, 350, 222) + drawers + slab + lamp + books


def console_table(look: Look) -> str:
    """Narrow, for a hall: a mirror hint above it, a bowl for keys."""
    slab = textured(rect(72, 190, 256, 15, look.body_lighter(0.1), min(6.0, look.style.radius))) + rect(
        78, 203, 244, 6, look.body_darker(), 2
    )
    drawer = (
        textured(rect(126, 206, 148, 26, look.body, 3)) + handle(look, 200, 219)
        if look.style.legs in ("block", "tapered", "turned", "splayed")
        else ""
    )
    vase = (
        path("M104 190Q92 160 108 146V130H124V146Q140 160 128 190Z", mixed(look.main, "#ffffff", 0.1))
        + path("M116 132Q100 96 88 84M116 132Q120 92 136 72M116 132Q114 98 112 70", stroke="#8a9475", width=3)
        + "".join(oval(x, y, 7, 11, "#a3b08c") for x, y in ((87, 82), (137, 70), (112, 66)))
    )
    bowl = path("M238 176Q240 190 264 190Q288 190 290 176Z", look.style.accent)
    shelf = rect(92, 286, 216, 8, look.body_darker(0.08), 2) if look.style.legs in ("frame", "block", "cane") else ""
    return shadow(74, 326) + shelf + legs(_stone_feet(look), 74, 326, 206) + drawer + slab + vase + bowl


def play_table(look: Look) -> str:
    """Low and round-cornered, with blocks on it."""
    blocks = (
        rect(140, 198, 32, 32, look.main, 5)
        + rect(174, 198, 32, 32, "#e8b84f", 5)
        + rect(157, 166, 32, 32, look.style.accent, 5)
        + path("M228 230L246 196L264 230Z", "#7fa6b8")
        + oval(286, 216, 14, 14, "#d98b6b")
    )
    top = textured(rect(74, 228, 252, 20, look.body_lighter(0.1), 10)) + rect(
        84, 246, 232, 8, look.body_darker(0.12), 3
    )
    return (
        shadow(80, 320)
        + legs(
            Look(
                look.style, look.style_name, look.main, look.body, look.body_darker(0.06), look.material, look.variant
            ),
            82,
            318,
            252,
        )
        + top
        + blocks
    )


def _stone_feet(look: Look) -> Look:
    """Tables of wood stand on their own wood, the others on the style's feet."""
    own = look.material in ("walnut", "oak", "teak", "pine", "ash", "bamboo", "rattan") and look.style.legs not in (
        "frame",
        "pointed",
    )
    return (
        Look(look.style, look.style_name, look.main, look.body, look.body_darker(0.1), look.material, look.variant)
        if own
        else look
    )
