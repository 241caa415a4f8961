"""How soon pages of the shop are there, and their lists."""

import statistics

from ..browser import SHIFT_MAX, shifted
from .street import pieces

PAINT_S_MAX = 1.0
DECIDE_S_MAX = 0.1
ROUNDS = 9


def test_a_page_is_painted_within_a_second_and_its_lists_within_a_tenth(visit, in_time, figures):
    visitor = visit().go("/")
    viewed = pieces("mid-century", 3)
    first_s, decide_s, shift = [], [], 0.0
    for number in range(ROUNDS):
        for path in ("/", f"/p/{viewed[number % 3]}", "/c/living-room", "/search?q=oak+table"):
            visitor.go(path)
            first_s.append(visitor.page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1_000)
            decide_s.append(float(visitor.page.locator("body").get_attribute("data-painted")) / 1_000)
            shift = max(shift, shifted(visitor.page))
    figures(first_paint_s=round(statistics.median(first_s), 3), decide_to_paint_s=round(statistics.median(decide_s), 3),
            layout_shift_max=round(shift, 4))  # fmt: skip
    print(f"first contentful paint {statistics.median(first_s) * 1_000:.0f} ms (worst {max(first_s) * 1_000:.0f}), "
          f"decide to paint {statistics.median(decide_s) * 1_000:.0f} ms (worst {max(decide_s) * 1_000:.0f}), "
          f"layout shift {shift:.4f}")
    assert in_time(statistics.median(first_s), PAINT_S_MAX)
    assert in_time(statistics.median(decide_s), DECIDE_S_MAX)
    assert shift <= SHIFT_MAX
