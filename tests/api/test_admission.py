"""Who is let in: places, room for bodies, and time for them."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from instanter.api.admission import (
    ALWAYS_OPEN,
    ARRIVED,
    BEAT_S,
    FEW,
    GRACE_S,
    IN_TIME_MS,
    PAUSE_S,
    WAITED_S,
    WORK_DIVISOR,
    Admission,
    AdmissionOptions,
    Headers,
    Pulse,
    arrived_ns,
)
from instanter.api.bodies import HOLD
from instanter.api.replies import refusal, reply
from instanter.api.routing import RawPath
from instanter.foundation.errors import InstanterError, Overloaded, RequestRejected
from instanter.foundation.limits import (
    BATCH_BYTES_MAX,
    BEHIND_MS_MAX,
    BODIES_BYTES_MAX,
    BODY_BYTES_MAX,
    BODY_BYTES_PER_S_MIN,
    BODY_FREE_BYTES,
    IMPORT_PIECE_BYTES_MAX,
    KEY_SPARED_MAX,
    KEYS_SPARED_MAX,
    LITTLE_PIECES_PER_S,
    PASS_MS_MAX,
)
from instanter.foundation.measure import Measurements

LARGE_BYTES = BODY_FREE_BYTES + 1_000
OPTIONS = AdmissionOptions(requests_max=2, body_read_s=30, bodies_bytes_max=2_500)


class Application:
    """Reads the body, then works until the gate opens; answers with how much it has read, or with the error."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        try:
            size_bytes = 0
            while scope["method"] == "POST":
                message = await receive()
                size_bytes += len(message["body"])
                if not message["more_body"]:
                    break
            await self.gate.wait()
            answer = reply({"read": size_bytes})
        except InstanterError as error:
            answer = refusal(error)
        await answer(scope, receive, send)


class Call:
    """One request whose body the test sends bit by bit."""

    def __init__(self, admission: Admission, *, method: str = "POST", path: str = "/v1/decide") -> None:
        self._parts: asyncio.Queue[Message] = asyncio.Queue()
        self._scope = {"type": "http", "method": method, "path": path, "headers": []}
        self.status = 0
        self.headers: dict[str, str] = {}
        self._body = b""
        self._task = asyncio.create_task(admission(self._scope, self._parts.get, self._take))

    async def body(self, size_bytes: int, *, more: bool = False) -> Call:
        """Send so much of the body, and let the application do what it can."""
        self._parts.put_nowait({"type": "http.request", "body": b"x" * size_bytes, "more_body": more})
        await settle()
        return self

    async def answered(self) -> int:
        """The status, once there is one."""
        await self._task
        return self.status

    @property
    def code(self) -> str:
        code: str = json.loads(self._body)["error"]["code"]
        return code

    @property
    def content(self) -> Any:
        return json.loads(self._body)

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self._body += message["body"]


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def inside(work: Callable[[Admission, Application], Awaitable[None]], options: AdmissionOptions = OPTIONS) -> None:
    """Run `work` on an application behind its admission; afterwards nothing may be held."""

    async def run() -> None:
        application = Application()
        admission = Admission(application, options, Measurements())
        await work(admission, application)
        await settle()
        assert (admission.working, admission.bodies_bytes) == (0, 0)

    asyncio.run(run())


class LatePulse(Pulse):
    """A loop that is behind when the test says so."""

    late = False

    def allows(self, headers: Headers = ()) -> bool:
        return not self.late


def test_beyond_its_places_a_request_is_refused_before_its_body_is_read() -> None:
    async def work(admission: Admission, application: Application) -> None:
        taken = [await Call(admission).body(10), await Call(admission).body(10)]
        refused = Call(admission)
        assert await refused.answered() == 429
        assert (refused.code, refused.headers["retry-after"]) == ("overloaded", "1")
        assert application.begun == 2, "nothing was done for it"
        application.gate.set()
        assert [await call.answered() for call in taken] == [200, 200]
        assert await (await Call(admission).body(10)).answered() == 200, "there is a place again"

    inside(work)


def test_whoever_still_sends_takes_no_place() -> None:
    async def work(admission: Admission, application: Application) -> None:
        application.gate.set()
        dribbling = [await Call(admission).body(1, more=True) for _ in range(50)]
        assert admission.working == 0
        assert await (await Call(admission).body(10)).answered() == 200
        for call in dribbling:
            await call.body(1)
        assert {await call.answered() for call in dribbling} == {200}

    inside(work)


def test_a_place_that_was_lost_while_the_body_came_is_refused() -> None:
    async def work(admission: Admission, application: Application) -> None:
        late = await Call(admission).body(10, more=True)
        first, second = await Call(admission).body(10), await Call(admission, method="GET").body(0)
        await late.body(10)
        assert (await late.answered(), late.code) == (429, "overloaded")
        application.gate.set()
        assert (await first.answered(), await second.answered()) == (200, 200)

    inside(work)


def test_large_bodies_share_a_room_and_keep_no_small_one_out() -> None:
    async def work(admission: Admission, application: Application) -> None:
        application.gate.set()
        large = [await Call(admission).body(LARGE_BYTES, more=True) for _ in range(2)]
        assert admission.bodies_bytes == 2_000
        refused = await Call(admission).body(LARGE_BYTES, more=True)
        assert (await refused.answered(), refused.code) == (429, "overloaded")
        small = await Call(admission).body(BODY_FREE_BYTES)
        assert (await small.answered(), small.content) == (200, {"read": BODY_FREE_BYTES})
        for call in large:
            assert await (await call.body(0)).answered() == 200

    inside(work)


def test_of_a_body_that_is_too_large_only_what_is_kept_is_counted() -> None:
    async def work(admission: Admission, application: Application) -> None:
        application.gate.set()
        call = Call(admission)
        for _ in range(4):
            await call.body(BODY_BYTES_MAX, more=True)
        assert admission.bodies_bytes == BODY_BYTES_MAX - BODY_FREE_BYTES
        await call.body(0)
        assert await call.answered() == 200

    inside(work, AdmissionOptions(requests_max=2, body_read_s=30))


@pytest.mark.parametrize(("path", "kept_bytes"), [
    ("/v1/decide", BODY_BYTES_MAX), ("/v1/items", BODY_BYTES_MAX), ("/v1/batch", BATCH_BYTES_MAX),
    ("/v1/import", BATCH_BYTES_MAX), ("/v1/b/", BATCH_BYTES_MAX), ("/v1/imports", IMPORT_PIECE_BYTES_MAX),
    (f"/v1/imports/{'0' * 32}", IMPORT_PIECE_BYTES_MAX),
])  # fmt: skip
def test_all_bodies_together_are_held_up_to_the_bound_whatever_route_they_are_for(path: str, kept_bytes: int) -> None:
    """Each as large as its route takes it: what is beyond that nobody keeps."""
    async def work(admission: Admission, application: Application) -> None:
        application.gate.set()
        held = kept_bytes - BODY_FREE_BYTES
        calls = [await Call(admission, path=path).body(kept_bytes, more=True) for _ in range(BODIES_BYTES_MAX // held)]
        assert admission.bodies_bytes == len(calls) * held <= BODIES_BYTES_MAX < (len(calls) + 1) * held
        refused = await Call(admission, path=path).body(kept_bytes, more=True)
        assert (await refused.answered(), refused.code) == (429, "overloaded")
        for call in calls:
            assert await (await call.body(0)).answered() == 200

    inside(work, AdmissionOptions(requests_max=2, body_read_s=30))


def test_a_body_that_does_not_come_is_refused_with_408() -> None:
    async def work(admission: Admission, application: Application) -> None:
        call = await Call(admission).body(1, more=True)
        assert (await call.answered(), call.code) == (408, "slow")

    inside(work, AdmissionOptions(requests_max=2, body_read_s=0.01))


def test_the_time_for_a_body_does_not_count_once_it_is_there() -> None:
    async def work(admission: Admission, application: Application) -> None:
        call = await Call(admission).body(1)
        asyncio.get_running_loop().call_later(0.03, application.gate.set)
        assert await call.answered() == 200

    inside(work, AdmissionOptions(requests_max=2, body_read_s=0.01))


def test_when_the_loop_is_behind_requests_are_refused_as_they_begin_and_once_they_are_here() -> None:
    async def run() -> None:
        application, pulse = Application(), LatePulse()
        admission = Admission(application, OPTIONS, Measurements(), pulse)
        sending = await Call(admission).body(1, more=True)
        pulse.late = True
        late = Call(admission)
        assert (await late.answered(), late.code, application.begun) == (429, "overloaded", 1)
        await sending.body(1)
        assert (await sending.answered(), sending.code) == (429, "overloaded")
        pulse.late = False
        application.gate.set()
        assert await (await Call(admission).body(1)).answered() == 200
        assert admission.working == 0

    asyncio.run(run())


def test_what_comes_up_is_refused_when_no_beat_was_in_time_for_long_and_this_pass_has_worked_its_part() -> None:
    now_ms = 0.0

    def refuses(pass_ms: float, come_up: int = 2 * FEW) -> bool:
        """One pass of the loop; whether the last that came up in it was refused, at its end."""
        nonlocal now_ms
        pulse.begin()
        now_ms += BEAT_S * 1_000 + pass_ms
        allowed = [pulse.allows() for _ in range(come_up)]
        pulse.end()
        assert all(allowed[:FEW]), "a few are no queue"
        return not allowed[-1]

    pulse = Pulse(lambda: int(now_ms * 1e6))
    assert not any(refuses(IN_TIME_MS) for _ in range(50)), "in time"
    assert refuses(10 * BEHIND_MS_MAX), "one pass that lasts"
    assert not refuses(10 * BEHIND_MS_MAX, come_up=FEW), "other reasons than requests"
    assert not refuses(10 * BEHIND_MS_MAX / WORK_DIVISOR), "after a long pass there is more time for work"
    assert not refuses(PASS_MS_MAX), "in each pass some work is done"
    assert refuses(PASS_MS_MAX + 1)
    assert not refuses(0)
    assert not refuses(PASS_MS_MAX + 1), "a pause that comes alone"


class Behind:
    """A loop that has been behind for long, and what comes up in a pass of it after it has worked its part."""

    def __init__(self) -> None:
        self._now_ms = 0.0
        self.pulse = Pulse(lambda: int(self._now_ms * 1e6))
        self.next_pass()

    def next_pass(self) -> None:
        self.pulse.begin()
        self._now_ms += 10 * BEHIND_MS_MAX
        self.pulse.end()
        self.pulse.begin()
        self._now_ms += 10 * BEHIND_MS_MAX

    def let_in(self, come_up: int, *headers: tuple[bytes, bytes]) -> int:
        """How many of so many that come up with these headers."""
        return sum(self.pulse.allows(headers) for _ in range(come_up))


@pytest.mark.parametrize("header", [b"authorization", b"x-write-key"])
def test_where_others_hold_the_loop_up_a_few_of_a_key_are_let_in_all_the_same(header: bytes) -> None:
    behind = Behind()
    for _ in range(2):
        assert behind.let_in(1_000, (header, b"noisy")) == FEW, "what holds the loop up gets nothing more"
        assert behind.let_in(KEY_SPARED_MAX, (b"host", b"shop"), (header, b"quiet")) == KEY_SPARED_MAX
        assert behind.let_in(1_000, (header, b"quiet")) == 0
        assert behind.let_in(1_000) == 0, "without a key nobody is told apart"
        behind.next_pass()


def test_keys_that_are_made_up_get_no_more_than_a_few_together() -> None:
    behind = Behind()
    behind.let_in(FEW)
    assert sum(behind.let_in(1, (b"authorization", b"%d" % number)) for number in range(1_000)) == KEYS_SPARED_MAX
    behind.next_pass()
    behind.let_in(FEW)
    assert behind.let_in(1, (b"authorization", b"quiet")) == 1


def test_a_loop_that_keeps_up_looks_at_nobodys_key() -> None:
    def unread() -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError
        yield

    now_ms = 0.0
    pulse = Pulse(lambda: int(now_ms * 1e6))
    pulse.begin()
    now_ms += BEAT_S * 1_000 + IN_TIME_MS
    pulse.end()
    pulse.begin()
    assert all(pulse.allows(unread()) for _ in range(2 * FEW))


def test_the_servers_end_of_a_body_is_let_go_with_the_answer_whoever_keeps_the_request() -> None:
    """The server closes a connection that sends a body only once nobody can read from it any more."""

    class Source:
        async def receive(self) -> Message:
            await asyncio.Event().wait()
            raise AssertionError

    async def run() -> None:
        kept: list[Receive] = []

        async def keeping(scope: Scope, receive: Receive, send: Send) -> None:
            kept.append(receive)
            with pytest.raises(RequestRejected):
                await receive()

        source = Source()
        known = weakref.ref(source)
        admission = Admission(keeping, AdmissionOptions(requests_max=1, body_read_s=0.01), Measurements())
        scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": []}
        asked = asyncio.create_task(admission(scope, source.receive, print_nothing))
        del source
        await asked
        assert known() is None
        assert (await kept[0]())["type"] == "http.disconnect"

    async def print_nothing(message: Message) -> None:
        return None

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


def test_whoever_watches_the_server_is_let_in_when_it_is_full() -> None:
    async def work(admission: Admission, application: Application) -> None:
        full = [await Call(admission).body(1) for _ in range(2)]
        watching = [Call(admission, method="GET", path=path) for path in sorted(ALWAYS_OPEN)]
        await settle()
        application.gate.set()
        assert {await call.answered() for call in watching} == {200}
        assert {await call.answered() for call in full} == {200}

    inside(work)


def test_a_tracking_client_is_told_in_the_words_it_expects() -> None:
    async def work(admission: Admission, application: Application) -> None:
        full = [await Call(admission).body(1) for _ in range(2)]
        refused = Call(admission, path="/v1/batch")
        assert await refused.answered() == 429
        assert (refused.content["success"], refused.content["code"]) == (False, "overloaded")
        application.gate.set()
        assert {await call.answered() for call in full} == {200}

    inside(work)


SENDING = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3 * BODY_FREE_BYTES), st.booleans()), max_size=60)


@given(SENDING)
@settings(max_examples=60)
def test_whatever_comes_in_whatever_order_the_bounds_hold_and_everything_is_given_back(
    sending: list[tuple[int, int, bool]],
) -> None:
    async def work(admission: Admission, application: Application) -> None:
        calls: dict[int, Call] = {}
        for number, size_bytes, more in sending:
            if number not in calls or calls[number].status:
                calls[number] = Call(admission)
            await calls[number].body(size_bytes, more=more)
            assert admission.working <= OPTIONS.requests_max
            assert admission.bodies_bytes <= OPTIONS.bodies_bytes_max
        application.gate.set()
        for call in calls.values():
            await call.body(0)
        assert {await call.answered() for call in calls.values()} <= {200, 429}

    inside(work)


def test_what_is_noted_of_a_request_while_its_body_comes_is_seen_by_its_route() -> None:
    noted: list[int] = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        noted.append(scope[ARRIVED])

    async def run() -> None:
        admission = Admission(RawPath(route), OPTIONS, Measurements(), now_ns=lambda: now_ns)
        parts: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "http", "method": "POST", "path": "/v1/decide", "raw_path": b"/v1/decide", "headers": []}
        asked = asyncio.create_task(admission(scope, parts.get, parts.put))
        for at_ns in (5, 9):
            await settle()
            nonlocal now_ns
            now_ns = at_ns
            parts.put_nowait({"type": "http.request", "body": b"x", "more_body": at_ns == 5})
        await asked

    now_ns = 1
    asyncio.run(run())
    assert noted == [9]


def test_a_body_that_keeps_coming_buys_itself_time() -> None:
    async def work(admission: Admission, application: Application) -> None:
        application.gate.set()
        steady, slow = Call(admission, path="/v1/batch"), Call(admission, path="/v1/batch")
        await slow.body(BODY_BYTES_PER_S_MIN // 100, more=True)
        for _ in range(4):
            await steady.body(BODY_BYTES_PER_S_MIN // 10, more=True)
            await asyncio.sleep(0.06)
        assert (slow.status, steady.status) == (408, 0)
        await steady.body(0)
        assert await steady.answered() == 200

    inside(work, AdmissionOptions(requests_max=2, body_read_s=0.1))


class Dribble:
    """A sender of one byte at a time, so long after it is asked; a byte in no time comes only once the loop went on."""

    def __init__(self, pause_s: float, *, pieces: int = 1 << 30) -> None:
        self._pause_s = pause_s
        self._left = pieces
        self.taken = 0

    async def receive(self) -> Message:
        await asyncio.sleep(self._pause_s)
        self.taken += 1
        self._left -= 1
        return {"type": "http.request", "body": b" ", "more_body": self._left > 0}

    def status(self, options: AdmissionOptions) -> int:
        """What this is answered."""
        replies: list[Message] = []

        async def work() -> None:
            async def take(message: Message) -> None:
                replies.append(message)

            application = Application()
            application.gate.set()
            admission = Admission(application, options, Measurements())
            scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": []}
            await admission(scope, self.receive, take)

        asyncio.run(work())
        status: int = replies[0]["status"]
        return status


def test_who_dribbles_is_asked_seldom_and_refused_in_time() -> None:
    dribble, grace = Dribble(2 * WAITED_S), int(GRACE_S / (2 * WAITED_S))
    assert dribble.status(AdmissionOptions(requests_max=2, body_read_s=GRACE_S + 1)) == 408
    assert dribble.taken <= grace + 4, "after the grace there is a pause before each"


def test_little_pieces_that_are_there_are_taken_as_they_come() -> None:
    dribble = Dribble(0, pieces=2_000)
    assert dribble.status(AdmissionOptions(requests_max=2, body_read_s=PAUSE_S)) == 200
    assert dribble.taken == 2_000


def test_beyond_what_is_taken_of_all_little_pieces_each_is_waited_for() -> None:
    dribble = Dribble(0)
    assert dribble.status(AdmissionOptions(requests_max=2, body_read_s=0.5, little_pieces_per_s=20)) == 408
    assert 20 <= dribble.taken <= 20 + 20


def test_so_many_little_pieces_a_second_are_taken_as_they_come_whoever_sends_them() -> None:
    async def work(admission: Admission, application: Application) -> None:
        assert all(admission.takes_little(0.0) for _ in range(LITTLE_PIECES_PER_S))
        assert not admission.takes_little(0.0)
        assert sum(admission.takes_little(0.5) for _ in range(LITTLE_PIECES_PER_S)) == LITTLE_PIECES_PER_S // 2
        assert sum(admission.takes_little(9.0) for _ in range(2 * LITTLE_PIECES_PER_S)) == LITTLE_PIECES_PER_S

    inside(work, AdmissionOptions(requests_max=2, body_read_s=30))


def test_what_a_body_comes_to_when_it_is_decompressed_counts_too() -> None:
    async def unpacking(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for size_bytes in (BODY_FREE_BYTES, BODY_FREE_BYTES + 1_000, BODY_FREE_BYTES + 2_000):
            scope[HOLD](size_bytes)
            held.append(admission.bodies_bytes)
        with pytest.raises(Overloaded):
            scope[HOLD](BODY_FREE_BYTES + 3_000)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Message) -> None:
        return None

    held: list[int] = []
    admission = Admission(unpacking, OPTIONS, Measurements())
    scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": []}
    asyncio.run(admission(scope, receive, send))
    assert (held, admission.bodies_bytes) == ([0, 1_000, 2_000], 0)


class Arrivals:
    """Answers at once, and notes since when each request says that it has waited."""

    def __init__(self) -> None:
        self.since_ns: list[int] = []
        self.works: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while scope["method"] == "POST" and (await receive())["more_body"]:
            pass
        self.since_ns.append(arrived_ns(Request(scope)))
        self.works()
        await reply({})(scope, receive, send)


def test_what_comes_up_together_has_waited_since_the_first_of_it() -> None:
    async def work() -> list[int]:
        now = [1_000]
        application = Arrivals()
        admission = Admission(application, OPTIONS, Measurements(), now_ns=lambda: now[0])

        def take_long() -> None:
            now[0] += 70

        application.works = take_long
        calls = [Call(admission, method="GET") for _ in range(3)]
        for call in calls:
            assert await call.answered() in (200, 429)
        later = Call(admission, method="GET")
        await later.answered()
        return application.since_ns

    together = asyncio.run(work())
    assert together[:3] == [1_000, 1_000, 1_000]
    assert together[3] == 1_210


def test_a_request_waits_from_the_last_byte_of_its_body_on() -> None:
    async def work() -> list[int]:
        now = [1_000]
        application = Arrivals()
        admission = Admission(application, OPTIONS, Measurements(), now_ns=lambda: now[0])
        call = await Call(admission).body(10, more=True)
        now[0] = 5_000
        await call.body(10)
        assert await call.answered() == 200
        return application.since_ns

    assert asyncio.run(work()) == [5_000]


def test_the_pulse_rests_while_nothing_comes_up_and_what_comes_up_finds_a_loop_that_keeps_up() -> None:
    class Loops:
        """Counts how often the pulse looks at the stopwatch."""

        def __init__(self) -> None:
            self.now_ns = 0
            self.looks = 0

        def __call__(self) -> int:
            self.looks += 1
            return self.now_ns

    async def work() -> None:
        stopwatch = Loops()
        pulse = Pulse(stopwatch)
        beating = asyncio.create_task(pulse.beat())
        await asyncio.sleep(3 * BEAT_S)
        before = stopwatch.looks
        await asyncio.sleep(10 * BEAT_S)
        assert stopwatch.looks == before
        stopwatch.now_ns = int(10 * BEHIND_MS_MAX * 1e6)  # Long after the beat before the rest.
        assert all(pulse.allows() for _ in range(2 * FEW))
        stopwatch.now_ns += int((BEHIND_MS_MAX + PASS_MS_MAX + BEAT_S * 1e3 + 1) * 1e6)
        assert not pulse.allows()  # From now on it is behind, as without a rest.
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)

    asyncio.run(work())
