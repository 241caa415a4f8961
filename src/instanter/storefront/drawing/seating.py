"""What people sit and lie on: armchairs, sofas, chairs, stools, benches, beds."""

from __future__ import annotations

from .palette import Look, mixed
from .shapes import FLOOR, cloth, legs, line, oval, path, rect, shadow, textured

CLOTHS = frozenset({"leather", "velvet", "linen", "wool", "boucle", "cotton"})


def armchair(look: Look) -> str:
    """A chair to sink into, seen from the front; its back and arms tell the style."""
    feet = shadow(112, 288) + legs(look, 116, 284, 272)
    match look.style.legs:
        case "splayed":
            wood = look.foot
            back = textured(path("M132 246Q122 142 152 122Q200 104 248 122Q278 142 268 246Z", look.darker(0.08)))
            buttons = "".join(
                oval(x, y, 3, 3, look.darker(0.4))
                for x, y in ((172, 162), (200, 158), (228, 162), (186, 196), (214, 196))
            )
            frame = "".join(
                path(
                    f"M{200 + side * 84:g} 276Q{200 + side * 96:g} 230 {200 + side * 88:g} "
                    f"206Q{200 + side * 70:g} 200 {200 + side * 58:g} 206",
                    stroke=wood,
                    width=11,
                )
                for side in (-1, 1)
            )
            return (
                feet
                + back
                + buttons
                + cloth(126, 226, 148, 40, look.main, 16)
                + rect(122, 262, 156, 12, wood, 5)
                + frame
            )
        case "frame":
            back = cloth(124, 138, 152, 96, look.main, 8) + line(200, 142, 200, 230, look.darker(0.3), 2)
            arms = "".join(path(f"M{x:g} 206H{x + 22:g}V{FLOOR}H{x:g}Z", stroke=look.foot, width=7) for x in (98, 280))
            return (
                feet
                + back
                + cloth(122, 228, 156, 46, look.lighter(0.06), 8)
                + arms
                + rect(94, 200, 30, 9, "#8a623f", 4)
                + rect(276, 200, 30, 9, "#8a623f", 4)
            )
        case "block":
            wings = textured(path("M112 262V150Q112 112 148 108H252Q288 112 288 150V262Z", look.darker(0.1)))
            arms = "".join(
                textured(path(f"M{x:g} 274V210Q{x:g} 192 {x + 18:g} 192Q{x + 36:g} 192 {x + 36:g} 210V274Z", look.main))
                + oval(x + 18, 210, 11, 11, look.darker(0.12))
                for x in (100, 264)
            )
            return (
                feet
                + wings
                + cloth(136, 122, 128, 112, look.main, 22)
                + cloth(134, 224, 132, 50, look.lighter(0.08), 14)
                + arms
            )
        case "low":
            shell = textured(
                path(
                    "M104 278V214Q104 176 140 172Q146 138 200 138Q254 138 260 172Q296 176 296 214V278Q200 290 104 278Z",
                    look.main,
                )
            )
            return (
                shadow(106, 294)
                + legs(look, 122, 278, 280)
                + shell
                + path("M140 176Q138 226 152 244H248Q262 226 260 176", stroke=look.darker(0.2), width=3)
                + cloth(146, 226, 108, 44, look.lighter(0.14), 20)
            )
        case "pointed":
            fan = "".join(
                textured(
                    path(
                        f"M200 250L{200 + x1:g} {y1:g}Q{200 + (x1 + x2) / 2:g} {min(y1, y2) - 22:g} {200 + x2:g} "
                        f"{y2:g}Z",
                        look.main if n % 2 else look.darker(0.12),
                    )
                )
                for n, (x1, y1, x2, y2) in enumerate(
                    (
                        (-96, 190, -82, 146),
                        (-82, 146, -50, 116),
                        (-50, 116, -17, 104),
                        (-17, 104, 17, 104),
                        (17, 104, 50, 116),
                        (50, 116, 82, 146),
                        (82, 146, 96, 190),
                    )
                )
            )
            sides = textured(
                path("M104 190Q98 276 120 276H280Q302 276 296 190Q280 240 200 240Q120 240 104 190Z", look.darker(0.2))
            )
            return (
                feet
                + fan
                + sides
                + cloth(122, 226, 156, 44, look.lighter(0.08), 20)
                + rect(116, 268, 168, 6, look.foot, 3)
            )
        case "turned":
            back = cloth(122, 132, 156, 116, look.main, 26)
            skirt = textured(
                path(
                    "M108 254H292V304Q277 299 262 304Q246 299 231 304Q215 299 200 304Q184 299 169 304Q154 299 138 "
                    "304Q123 299 108 304Z",
                    look.main,
                )
            )
            arms = cloth(98, 196, 42, 84, look.lighter(0.08), 18) + cloth(260, 196, 42, 84, look.lighter(0.08), 18)
            pillow = rect(172, 168, 60, 56, look.style.accent, 12) + "".join(
                line(176, y, 228, y, "#ffffffaa", 4) for y in (182, 196, 210)
            )
            return (
                shadow(106, 294)
                + legs(look, 116, 284, 296)
                + back
                + skirt
                + cloth(134, 224, 132, 40, look.lighter(0.14), 16)
                + arms
                + pillow
            )
        case "cane":
            cane = mixed(look.foot, "#000000", 0.12)
            hood = path("M116 262Q80 120 200 96Q320 120 284 262Z", "#e2c08a", cane, 8)
            weave = "".join(
                path(f"M200 262L{200 + x:g} {y:g}", stroke=cane, width=3)
                for x, y in ((-88, 170), (-68, 130), (-36, 106), (0, 98), (36, 106), (68, 130), (88, 170))
            ) + "".join(
                path(f"M{200 - rx:g} {y:g}Q200 {y - dip:g} {200 + rx:g} {y:g}", stroke=cane, width=2.4)
                for rx, y, dip in ((92, 206, 92), (80, 228, 62), (62, 246, 34))
            )
            pillow = rect(164, 186, 72, 50, look.style.accent, 14) + path(
                "M172 211L186 200L200 211L214 200L228 211", stroke="#f3d9b4", width=3
            )
            return (
                feet
                + hood
                + weave
                + cloth(124, 230, 152, 40, look.main, 18)
                + pillow
                + rect(118, 264, 164, 9, look.foot, 4)
            )
        case _:
            back = cloth(124, 136, 152, 112, look.main, 30)
            arms = "".join(
                path(f"M{x:g} 274V216Q{x:g} 206 {x + 10:g} 206H{x + 20:g}", stroke=look.foot, width=10) for x in (108,)
            ) + path("M292 274V216Q292 206 282 206H272", stroke=look.foot, width=10)
            return (
                feet
                + back
                + cloth(126, 222, 148, 46, look.lighter(0.12), 20)
                + arms
                + rect(108, 262, 184, 11, look.foot, 5)
            )


def sofa(look: Look) -> str:
    """Three seats, or two of them with the variant."""
    x1, x2, r = 44, 356, look.style.radius
    seats = 2 if look.variant == 1 else 3
    wide = (x2 - x1 - 64) / seats
    legged = shadow(x1, x2) + legs(look, x1 + 8, x2 - 8, 290)
    back = "".join(cloth(x1 + 32 + n * wide + 1.5, 176, wide - 3, 82, look.darker(0.05), r) for n in range(seats))
    seat = "".join(
        cloth(x1 + 30 + n * (wide + 4 / seats), 240, wide + 1, 38, look.lighter(0.1), min(r, 16)) for n in range(seats)
    )
    base = textured(rect(x1 + 10, 266, x2 - x1 - 20, 26, look.darker(0.1), min(r, 10)))
    if look.style.legs in ("splayed", "tapered"):
        arm_wood = "".join(
            path(f"M{x:g} 292V214Q{x:g} 204 {x + lean:g} 204", stroke=look.foot, width=10)
            for x, lean in ((x1 + 14, 20), (x2 - 14, -20))
        )
        extra = rect(x1 + 10, 282, x2 - x1 - 20, 10, look.foot, 4) + arm_wood
    elif look.style.legs == "pointed":
        back = "".join(
            textured(
                path(
                    f"M{x1 + 22 + n * 26.8:g} 262V182Q{x1 + 35.4 + n * 26.8:g} 158 {x1 + 48.8 + n * 26.8:g} 182V262Z",
                    look.main if n % 2 else look.darker(0.12),
                )
            )
            for n in range(10)
        )
        extra = "".join(
            textured(
                path(f"M{x:g} 290V230Q{x:g} 204 {x + 20:g} 204Q{x + 40:g} 204 {x + 40:g} 230V290Z", look.darker(0.04))
            )
            for x in (x1, x2 - 40)
        ) + rect(x1 + 4, 286, x2 - x1 - 8, 6, look.foot, 3)
    else:
        extra = cloth(x1, 206, 38, 86, look.lighter(0.03), r) + cloth(x2 - 38, 206, 38, 86, look.lighter(0.03), r)
    pillows = ""
    if look.style.legs in ("cane", "turned", "tapered", "block"):
        pillows = rect(90, 204, 50, 46, look.style.accent, 12, ' transform="rotate(-8 115 227)"') + rect(
            262, 206, 46, 42, look.lighter(0.5), 11, ' transform="rotate(7 285 227)"'
        )
        if look.style.legs == "cane":
            pillows += path("M98 230L106 222L114 230L122 222L130 230", stroke="#f3d9b4", width=3)
        if look.style.legs == "turned":
            pillows += "".join(line(266, y, 304, y + 4, "#5f8ea6", 4) for y in (216, 228, 240))
    return legged + base + back + seat + extra + pillows


def outdoor_sofa(look: Look) -> str:
    """A frame of what the weather does not mind, with light cushions."""
    cushion = mixed(look.main, "#ffffff", 0.45)
    frame = (
        textured(rect(48, 252, 304, 38, look.body, 8))
        + textured(rect(48, 196, 30, 94, look.body, 8))
        + textured(rect(322, 196, 30, 94, look.body, 8))
    )
    back = textured(rect(60, 176, 280, 84, look.body_darker(0.08), 10))
    bars = (
        "".join(line(x, 182, x, 250, look.body_darker(0.3), 3) for x in range(90, 330, 20))
        if look.material in ("teak", "aluminium", "steel")
        else ""
    )
    soft = "".join(
        rect(82 + n * 119, 188, 116, 62, cushion, 16)
        + rect(80 + n * 120, 238, 119, 28, mixed(cushion, "#ffffff", 0.3), 12)
        for n in range(2)
    )
    return (
        shadow(48, 352)
        + rect(62, 288, 14, 34, look.body_darker(0.3))
        + rect(324, 288, 14, 34, look.body_darker(0.3))
        + back
        + bars
        + soft
        + frame
        + _plant(372, 322)
    )


def lounge_chair(look: Look) -> str:
    """Reclined, from the side."""
    seat = mixed(look.main, "#ffffff", 0.35)
    frame = path("M86 322L150 236L286 262M126 322L172 244M300 322L262 258", stroke=look.body_darker(0.1), width=11)
    back = path("M84 130L166 246L300 262", stroke=look.body, width=13)
    pad = path("M98 126L176 232L304 248", stroke=seat, width=25) + path(
        "M98 126L176 232L304 248", stroke=mixed(seat, "#ffffff", 0.4), width=3
    )
    return (
        shadow(80, 306)
        + frame
        + back
        + pad
        + path("M92 122L108 146", stroke=look.style.accent, width=27)
        + line(126, 214, 232, 208, look.body, 9)
        + line(228, 210, 238, 258, look.body, 8)
    )


def dining_chair(look: Look) -> str:
    """Straight at a table, half from the front."""
    soft = look.material in CLOTHS
    frame = look.foot if soft else look.body
    chair = shadow(140, 264)
    behind = "".join(line(x, 96, x + lean, 236, mixed(frame, "#1d1a18", 0.15), 9) for x, lean in ((150, 2), (250, -2)))
    match look.style.legs:
        case "splayed":
            back = textured(path("M144 96Q200 78 256 96L252 148Q200 134 148 148Z", look.main if soft else look.body))
        case "frame":
            back = textured(rect(146, 92, 108, 84, look.main if soft else look.body_lighter(0.08), 6))
        case "pointed":
            back = textured(
                path("M144 236V130Q144 84 200 84Q256 84 256 130V236Z", look.main if soft else look.body_lighter(0.06))
            ) + path("M172 232Q164 150 200 96Q236 150 228 232", stroke=look.darker(0.25), width=2)
        case "cane" | "low":
            back = (
                path("M146 104Q200 84 254 104V168Q200 154 146 168Z", "#e5cb9c", frame, 8)
                + "".join(line(158 + n * 14, 104, 158 + n * 14, 156, "#a97f4888", 2) for n in range(7))
                + "".join(line(150, y, 250, y, "#a97f4866", 2) for y in (116, 130, 144))
            )
        case _:
            back = rect(146, 92, 108, 17, frame, 8) + "".join(
                line(x, 106, x, 236, frame, 6) for x in (168, 184, 200, 216, 232)
            )
    seat = (
        cloth(134, 226, 132, 26, look.main, 12)
        if soft
        else rect(142, 222, 116, 14, look.main, 7)
        + textured(rect(132, 230, 136, 17, look.body_lighter(0.06), 8))
        + rect(138, 246, 124, 9, look.body_darker(), 3)
    )
    return chair + behind + back + legs(_footed(look, frame), 136, 264, 252) + seat


def bar_stool(look: Look) -> str:
    """High, with a rung for the feet."""
    soft = look.material in CLOTHS
    frame = look.foot if soft else look.body
    stem = "".join(line(x, 176, x + lean, FLOOR, frame, 8) for x, lean in ((168, -16), (232, 16)))
    behind = "".join(
        line(x, 176, x + lean, FLOOR - 8, mixed(frame, "#1d1a18", 0.35), 6) for x, lean in ((184, -6), (216, 6))
    )
    rung = line(158, 268, 242, 268, "#c9a55a" if look.style.legs == "pointed" else mixed(frame, "#1d1a18", 0.1), 6)
    low_back = (
        path("M150 168Q150 116 200 112Q250 116 250 168", stroke=frame, width=8)
        + (textured(path("M152 146Q160 112 200 110Q240 112 248 146Q200 130 152 146Z", look.main)) if soft else "")
        if look.variant != 1
        else ""
    )
    seat = (
        cloth(148, 158, 104, 26, look.main, 13)
        if soft
        else rect(152, 157, 96, 12, look.main, 6) + textured(rect(146, 164, 108, 16, look.body_lighter(0.08), 8))
    )
    return shadow(150, 250) + behind + low_back + stem + rung + seat


def desk_chair(look: Look) -> str:
    """Turns and rolls."""
    metal = "#c39c4f" if look.style.legs == "pointed" else "#4b5156" if look.style.legs == "frame" else "#8d9499"
    star = (
        "".join(line(200, 286, x, 308, metal, 7) + oval(x, 314, 7, 7, "#2c2f31") for x in (136, 170, 230, 264))
        + line(200, 286, 200, 312, metal, 8)
        + oval(200, 317, 7, 7, "#2c2f31")
    )
    arms = "".join(
        path(
            f"M{200 + s * 74:g} 232V196Q{200 + s * 74:g} 188 {200 + s * 64:g} 188H{200 + s * 52:g}",
            stroke=look.foot,
            width=8,
        )
        for s in (-1, 1)
    )
    back = cloth(136, 94, 128, 118, look.main, look.style.radius + 8)
    ribs = "".join(
        line(150, y, 250, y, look.darker(0.2), 2)
        for y in ((130, 152, 174) if look.style.legs in ("frame", "pointed", "splayed") else ())
    )
    return (
        shadow(126, 274)
        + rect(195, 246, 10, 44, metal, 3)
        + star
        + rect(190, 204, 20, 34, mixed(metal, "#000000", 0.2))
        + back
        + ribs
        + cloth(126, 220, 148, 32, look.lighter(0.1), 15)
        + arms
    )


def bed(look: Look) -> str:
    """From its foot, made, with pillows against the headboard."""
    soft = look.material in CLOTHS
    wood = look.body if not soft else look.foot
    match look.style.legs:
        case "pointed":
            head = "".join(
                textured(
                    path(
                        f"M{64 + n * 34:g} 244V150Q{81 + n * 34:g} 112 {98 + n * 34:g} 150V244Z",
                        (look.main if soft else look.body)
                        if n % 2
                        else (look.darker(0.1) if soft else look.body_darker(0.1)),
                    )
                )
                for n in range(8)
            )
        case "cane" | "turned":
            head = (
                path("M62 246V150Q130 104 200 104Q270 104 338 150V246Z", "#e2c595", wood, 9)
                + "".join(line(x, 126, x, 240, "#a97f4877", 2) for x in range(84, 330, 14))
                + "".join(line(70, y, 330, y, "#a97f4855", 2) for y in (150, 172, 194))
            )
        case "frame":
            head = (
                rect(60, 116, 9, 190, wood)
                + rect(331, 116, 9, 190, wood)
                + rect(60, 116, 280, 9, wood)
                + "".join(rect(x, 124, 5, 100, wood) for x in range(100, 330, 40))
            )
        case "block":
            head = "".join(
                textured(rect(58 + n * 57, 118 - (n % 2) * 4, 54, 130, look.body if not soft else look.main, 4))
                for n in range(5)
            ) + rect(52, 112, 296, 14, look.body_darker(), 4)
        case _:
            head = textured(rect(60, 130, 280, 116, look.main if soft else look.body, look.style.radius + 4))
            if soft:
                head += "".join(line(x, 136, x, 240, look.darker(0.2), 2) for x in (130, 200, 270))
    pillows = "".join(rect(x, 184, 108, 50, fill, 20) for x, fill in ((82, "#ffffff"), (210, "#ffffff"))) + rect(
        150, 200, 100, 40, look.style.accent, 16
    )
    cover = mixed(look.main, "#ffffff", 0.3 if soft else 0.12)
    blanket = (
        rect(62, 226, 276, 66, "#faf8f3", 18)
        + textured(rect(58, 248, 284, 52, cover, 14))
        + rect(58, 248, 284, 9, mixed(cover, "#ffffff", 0.45), 4)
    )
    base = textured(rect(54, 286, 292, 20, wood if soft else look.body_darker(0.06), 5))
    return shadow(54, 346) + legs(_footed(look, wood), 60, 340, 304) + head + pillows + blanket + base


def kids_bed(look: Look) -> str:
    """A small bed under a house of four beams."""
    beam = look.body
    house = path("M84 300V152L200 82L316 152V300", stroke=beam, width=12) + line(
        84, 152, 316, 152, look.body_darker(0.06), 8
    )
    bunting = path("M92 158Q200 190 308 158", stroke=look.body_darker(0.3), width=2) + "".join(
        path(f"M{x:g} {y:g}l14 0l-7 16z", fill)
        for x, y, fill in (
            (116, 166, look.main),
            (150, 173, look.style.accent),
            (186, 176, "#e8b84f"),
            (222, 174, look.main),
            (256, 168, look.style.accent),
        )
    )
    mattress = (
        rect(94, 248, 212, 36, "#faf7f0", 12)
        + textured(rect(150, 246, 156, 40, mixed(look.main, "#ffffff", 0.2), 12))
        + rect(100, 228, 62, 32, "#ffffff", 13)
        + oval(180, 232, 13, 14, "#b98a5a")
        + oval(171, 219, 5, 5, "#b98a5a")
        + oval(189, 219, 5, 5, "#b98a5a")
    )
    return (
        shadow(78, 322)
        + house
        + bunting
        + mattress
        + textured(rect(80, 276, 240, 26, beam, 5))
        + rect(86, 300, 14, 22, beam)
        + rect(300, 300, 14, 22, beam)
    )


def kids_chair(look: Look) -> str:
    """A low chair; its back is a bear's, a cloud's or a moon's."""
    seat_fill = look.main if look.body == look.main else look.body_lighter(0.06)
    back = {
        0: oval(200, 168, 56, 50, look.main)
        + oval(158, 126, 20, 20, look.main)
        + oval(242, 126, 20, 20, look.main)
        + oval(182, 164, 4.5, 5, "#3a2c22")
        + oval(218, 164, 4.5, 5, "#3a2c22")
        + path("M192 182Q200 190 208 182", stroke="#3a2c22", width=3),
        1: path(
            "M146 206Q122 204 126 178Q132 156 156 160Q160 124 198 124Q232 124 240 154Q274 150 276 180Q276 206 252 206Z",
            look.main,
        ),
        2: oval(200, 160, 62, 58, look.main)
        + oval(178, 144, 9, 8, look.darker(0.1))
        + oval(222, 172, 12, 10, look.darker(0.1))
        + oval(214, 136, 5, 5, look.darker(0.1)),
    }[look.variant]
    frame = _footed(look, look.foot if look.body == look.main else look.body)
    return (
        shadow(136, 264)
        + line(160, 190, 158, 250, frame.foot, 9)
        + line(240, 190, 242, 250, frame.foot, 9)
        + back
        + legs(frame, 138, 262, 256)
        + textured(rect(134, 240, 132, 20, seat_fill, 10))
    )


def bed_bench(look: Look) -> str:
    """Long and low, upholstered."""
    tufts = "".join(oval(x, 246, 2.6, 2.6, look.darker(0.4)) for x in range(100, 320, 40))
    arms = (
        "".join(
            path(f"M{x:g} 246Q{x - lean:g} 190 {x + lean:g} 186", stroke=look.darker(0.06), width=20)
            for x, lean in ((82, 6), (318, -6))
        )
        if look.style.legs in ("pointed", "block")
        else ""
    )
    throw = (
        path("M258 228L312 228L318 292L262 292Z", look.style.accent)
        + "".join(line(x, 292, x + 1, 302, look.style.accent, 3) for x in range(264, 320, 8))
        if look.variant == 2
        else ""
    )
    return (
        shadow(70, 330)
        + legs(look, 74, 326, 262)
        + arms
        + cloth(66, 224, 268, 40, look.main, look.style.radius)
        + tufts
        + rect(70, 258, 260, 8, look.foot, 3)
        + throw
    )


def _footed(look: Look, foot: str) -> Look:
    """The same look on legs of another colour."""
    return Look(look.style, look.style_name, look.main, look.body, foot, look.material, look.variant)


def _plant(x: float, y: float) -> str:
    leaves = "".join(
        path(
            f"M{x:g} {y - 30:g}Q{x + dx:g} {y - 60:g} {x + dx * 1.5:g} {y - h:g}Q{x + dx * 0.3:g} {y - 66:g} "
            f"{x:g} {y - 30:g}",
            "#6f8f6a",
        )
        for dx, h in ((-14, 92), (-4, 106), (9, 96), (17, 76))
    )
    return leaves + path(f"M{x - 15:g} {y - 34:g}H{x + 15:g}L{x + 11:g} {y:g}H{x - 11:g}Z", "#c9b79c")
