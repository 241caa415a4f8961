"""A shop and its news with real servers behind them, and a visitor's tab in a browser."""

from __future__ import annotations

import httpx

from instanter.sim.shop import Shop

SHOP = Shop()
ROOM = "storefront"
"""Of the screenshots."""


class Street:
    """A server with the furniture shop in it, one with the news, and the shop's pages."""

    def __init__(self, server, news, shop):
        self.engine, self.news, self.url = server.url, news.url, shop.url

    def call(self, method, path, body=None, *, of=""):
        return httpx.request(method, (of or self.engine) + path, json=body, trust_env=False, timeout=60).json()


_ANSWERED_WHOLE = """
async () => {
  await shop.ready
  for (let n = 0; n < 20 && (!shop.latest || shop.latest.answer.degraded?.length); n++) await shop.refresh()
}
"""


class Visit:
    """One visitor's tab."""

    def __init__(self, street, page):
        self.street, self.page = street, page

    def go(self, path):
        """Open a page and wait until its lists are painted, where it has any. What a busy machine could not decide in
        time is asked again: in most tests it is not the time that counts."""
        self.page.goto(self.street.url + path)
        if self.page.locator("[data-place]:not([data-later])").count():
            self.page.evaluate(_ANSWERED_WHOLE)
            self.page.wait_for_selector("body[data-painted]")
        return self

    def shown(self, placement):
        """Ids of a list, first position first."""
        items = self.page.locator(f'[data-instanter-list="{placement}"] [data-instanter-item]')
        return items.evaluate_all("all => all.map((one) => one.dataset.instanterItem)")

    def styles(self, placement):
        return [SHOP.item(item_id).fields.style for item_id in self.shown(placement)]

    def rung(self):
        return self.page.locator("[data-answer-rung]").get_attribute("data-rung")

    def view(self, item_ids):
        for item_id in item_ids:
            self.go(f"/p/{item_id}")
        return self

    def again(self):
        """Ask anew for the lists of the open page, as coming back to the tab does."""
        self.page.evaluate("shop.refresh()")
        return self

    def open_tab(self, title):
        self.page.get_by_role("tab", name=title).click()
        return self

    def me(self):
        return self.page.evaluate("instanter.anonymousId")


def pieces(style, count, room="living room"):
    """Pieces of a style, of different categories."""
    found = {item.fields.category: item.id for item in SHOP.select(style=style, room=room)}
    return list(found.values())[:count]
