from datetime import datetime

from instanter.sim.shop import Shop
from instanter.sim.story import Story


def told(story: Story):
    return [story.arrival(), *story.views(), story.purchase("sku-0003", price=10.0)]


def test_the_visitor_views_three_pieces_in_stock_of_one_style_and_room(shop):
    pieces = [scene.item for scene in Story(shop, start_ms=0).views()]
    assert len(pieces) == 3
    assert {piece.fields.style for piece in pieces} == {"mid-century"}
    assert {piece.fields.room for piece in pieces} == {"living room"}
    assert len({piece.fields.category for piece in pieces}) == 3
    assert all(piece.fields.stock > 0 for piece in pieces)


def test_the_pieces_are_the_same_in_every_telling(shop):
    assert Story(shop, start_ms=0).pieces == Story(Shop(seed=7), start_ms=99).pieces


def test_time_only_goes_on_and_stays_within_the_length(shop):
    start_ms = 1_767_225_600_000
    times = [datetime.fromisoformat(event.timestamp).timestamp() * 1000
             for scene in told(Story(shop, start_ms=start_ms)) for event in scene.events]
    assert times == sorted(times)
    assert len(set(times)) == len(times)
    assert start_ms <= times[0]
    assert times[-1] <= start_ms + Story.length_ms


def test_a_view_is_a_slate_a_click_a_page_a_view_and_the_time_spent(shop):
    for scene in Story(shop, start_ms=0).views():
        listed, clicked, page, viewed, left = scene.events
        assert [each.event for each in scene.events] == [
            "Product List Viewed", "Product Clicked", "", "Product Viewed", "Page Left"]
        positions = {each.product_id: each.position for each in listed.properties.products}
        assert positions[scene.item.id] == clicked.properties.position
        assert clicked.properties.list_id == listed.properties.list_id
        assert viewed.properties.product_id == scene.item.id
        assert page.context.page.path == f"/p/{scene.item.id}"
        assert left.properties.dwell_ms > 10_000


def test_two_tellings_are_two_visitors_with_messages_of_their_own(shop):
    first, second = (told(Story(shop, start_ms=start_ms)) for start_ms in (0, 1))
    ids = [event.message_id for scene in [*first, *second] for event in scene.events]
    assert len(ids) == len(set(ids))
    assert first[0].events[0].anonymous_id != second[0].events[0].anonymous_id


def test_a_small_shop_tells_the_story_with_other_pieces_of_the_room():
    pieces = Story(Shop(seed=7, products=300), start_ms=0).pieces
    assert len({piece.fields.category for piece in pieces}) == 3
