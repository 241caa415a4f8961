from collections import Counter

import msgspec

from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.subjects import HashedSubjects
from instanter.foundation.ids import Ids, item_reference
from instanter.sim.story import Story
from instanter.sim.traffic import Traffic

START_MS = 1_767_225_600_000


def test_the_door_admits_every_simulated_event_and_reads_what_was_meant(shop):
    door = Door(subjects=HashedSubjects(b"0123456789abcdef"), ids=Ids(bytes), enrich=Enricher())
    story = Story(shop, start_ms=START_MS)
    scenes = [story.arrival(), *story.views(), story.purchase("sku-0001", price=90.0)]
    events = [event for scene in scenes for event in scene.events]
    events += Traffic(shop, people_count=25, seed=1, start_ms=START_MS, span_ms=86_400_000).events()
    devices, referrers = Counter(), Counter()
    for event in events:
        record = door.admit(msgspec.json.encode(event), kind=None, received_ms=START_MS + 10**9, tenant="t").record
        assert record.name == (event.event or record.name)
        if event.properties is not None:
            named = [event.properties.product_id, *(each.product_id for each in event.properties.products)]
            assert record.items == tuple(item_reference("t", item_id) for item_id in named if item_id)
            assert record.list_id == event.properties.list_id
        devices[record.context.device] += 1
        referrers[record.context.referrer] += 1
    assert {"mobile", "desktop"} <= set(devices) <= {"mobile", "desktop", "tablet"}
    assert {"search", "direct", "paid"} <= set(referrers)
