"""A Hypothesis machine that runs any store in lockstep with the memory store."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cicd_core.store.records import (
    KEEP,
    Delete,
    EventWrite,
    Guard,
    Increment,
    Lease,
    Partition,
    Put,
    Query,
    Renewal,
    Watch,
)
from cicd_core.testing.clock import VirtualClock
from cicd_core.testing.harness import checked
from cicd_core.testing.lockstep import Lockstep, Model
from cicd_core.testing.progress import Examples
from cicd_core.testing.samples import (
    BY_STATE,
    COLLECTIONS,
    IDS,
    ITEMS,
    NOTES,
    ON_SHELF,
    PLAIN,
    READY,
    SECOND,
    TIMERS,
    claim,
    commit,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.records import Commit, Index, Subject
    from cicd_core.testing.harness import StoreHarness


#: Few keys, so that calls meet; one key is the end of another one, one is not ASCII.
SUBJECTS: Final = (
    *((ITEMS.name, key) for key in ("a", "b", "ba", "c", "z\0\N{SNOWMAN}")),
    *((NOTES.name, key) for key in ("a", "n")),
)
#: The put of a commit that otherwise only deletes.
BYSTANDER: Final = (PLAIN.name, "p")
CLAIM_IDS: Final = ("ann", "bob", "cy")
LANES: Final = ("red", "red\0")

subjects = st.sampled_from(SUBJECTS)
claim_ids = st.sampled_from(CLAIM_IDS)
lanes = st.sampled_from(LANES)
counter_names = st.sampled_from(["wait|1", "wait|2", "wait_|1", "runs|1"])
ranks = st.sampled_from(["1", "2", "3"])
seconds = st.sampled_from([1, 2, 5, 30])
#: Length of a lease's second if the store's clock cannot be moved, in microseconds.
_LONG: Final = 1000 * SECOND
partitions = st.one_of(
    st.builds(Partition, st.just(ITEMS.name), st.just(READY), lanes),
    st.builds(Partition, st.just(ITEMS.name), st.just(BY_STATE), st.sampled_from(["new", "held"])),
    st.builds(Partition, st.just(NOTES.name), st.just(ON_SHELF), lanes),
)
#: Bounds around the existing sort values.
bounds = st.none() | st.builds("{}:{}".format, ranks, st.sampled_from(["", "a", "b", "ba", "c"]))
patches = st.sampled_from(
    [
        {"lane": None, "state": "held"},
        {"lane": None, "timer": "leased"},
        {"lane": "red", "state": None},
        {},
    ]
)


@st.composite
def attribute_sets(draw: st.DrawFn, collection: str, key: str) -> dict[str, str]:
    """Attributes that put a record into some of its collection's indexes."""
    indexes: dict[Index, st.SearchStrategy[str]] = {
        READY: lanes,
        BY_STATE: st.sampled_from(["new", "held"]),
        TIMERS: st.just("waiting"),
    }
    if collection == NOTES.name:
        indexes = {ON_SHELF: lanes}
    attributes: dict[str, str] = {}
    for index, values in indexes.items():
        attributes[index.sort] = f"{draw(ranks)}:{key}"
        if draw(st.sampled_from([True, True, False])):
            attributes[index.partition] = draw(values)
    return attributes


@st.composite
def leases(draw: st.DrawFn, now: int) -> Lease:
    """A lease that starts now and ends by its limit."""
    expires, limit = sorted((draw(seconds), draw(seconds)))
    return Lease(
        claim_id=draw(claim_ids),
        granted=now,
        renewed=now,
        expires=now + expires * SECOND,
        limit=now + limit * SECOND,
    )


@st.composite
def writes(
    draw: st.DrawFn, subject: Subject, version: int, now: int, *, timed: bool
) -> Put | Delete:
    """A write of one record; its expected version is often right."""
    collection, key = subject
    expected = draw(st.sampled_from([version] * 6 + [0, version + 1, 7]))
    guard = draw(st.sampled_from([Guard.NONE, Guard.NONE, Guard.LEASE_EXPIRED]))
    if expected and draw(st.integers(0, 3)) == 0:
        return Delete(collection=collection, key=key, expected=expected, guard=guard)
    retention = draw(st.sampled_from([None, None, None, 1, 5])) if timed else None
    # No lease may end while a machine on real time runs.
    second = SECOND if timed else _LONG
    set_lease = leases(now) if timed else st.none()
    return Put(
        collection=collection,
        key=key,
        expected=expected,
        body=draw(st.binary(max_size=4)),
        attributes=draw(attribute_sets(collection, key)),
        lease=draw(st.one_of(st.just(KEEP), st.just(KEEP), st.none(), set_lease)),
        lease_limit=draw(st.sampled_from([None, None, 3 * second, 90 * second])),
        expires_at=None if retention is None else now + retention * SECOND,
        guard=guard,
    )


def event_versions(expected: int) -> st.SearchStrategy[list[int | None]]:
    """No event, one of the commit itself, or one more of the version before."""
    choices: list[list[int | None]] = [[], [None], [expected or None, None]]
    return st.sampled_from(choices)


class _Machine(RuleBasedStateMachine):
    """The rules of the machine; :func:`store_machine` sets the store."""

    def __init__(self, harness: StoreHarness, backend: str) -> None:
        super().__init__()
        self._harness = harness
        self._timed = harness.clock is not None
        # If time passes by itself, no lease may expire in only one of the two stores.
        self._second = SECOND if self._timed else _LONG
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal(backend))
        opening = self._harness.open(f"machine-{IDS.commit_id()}")
        opened = self._stack.enter_context(self._portal.wrap_async_context_manager(opening))
        store = checked(opened)
        #: The uncertainty of the store's clock, in microseconds.
        self._uncertainty = self._portal.call(store.now).uncertainty
        model = Model(
            COLLECTIONS,
            clock=self._harness.clock or VirtualClock(),
            uncertainty=self._uncertainty,
        )
        self._both = Lockstep(self._harness, store, checked(model), [*SUBJECTS, BYSTANDER])
        self._earlier: list[Commit] = []
        self._events = 0
        #: The total offset of the wall clock, in seconds: others may share the harness.
        self._wall_clock_moved = 0
        #: Whether anything may have changed since the last comparison.
        self._changed = True
        self._steps = 0

    def teardown(self) -> None:
        if self._wall_clock_moved and self._harness.clock is not None:
            self._harness.clock.step_calendar(-self._wall_clock_moved)
        self._stack.close()
        self.note_example(self._steps)

    def note_example(self, steps: int) -> None:
        """Note that an example has ended, with its number of steps."""

    @rule(data=st.data(), size=st.integers(1, 3))
    def commit(self, data: st.DataObject, size: int) -> None:
        commits = [self._draw_commit(data) for _ in range(size)]
        self._earlier += commits
        self._portal.call(self._both.commit, commits)

    @precondition(lambda self: bool(self._earlier))
    @rule(data=st.data())
    def repeat_commits(self, data: st.DataObject) -> None:
        again = data.draw(st.lists(st.sampled_from(self._earlier[-6:]), min_size=1, max_size=2))
        self._portal.call(self._both.commit, again)

    @rule(
        claim_id=claim_ids,
        limit=st.sampled_from([3, 2, 1, 0]),
        some_lanes=st.permutations(LANES) | st.lists(lanes, max_size=3),
        patch=patches,
        duration=seconds,
        lease_limit=st.none() | seconds,
    )
    def claim(
        self,
        claim_id: str,
        limit: int,
        some_lanes: list[str],
        patch: dict[str, str | None],
        duration: int,
        lease_limit: int | None,
    ) -> None:
        one = claim(
            limit,
            lanes=some_lanes,
            claim_id=claim_id,
            grant=claim_id.encode(),
            patch=patch,
            duration=duration * self._second,
            lease_limit=lease_limit and lease_limit * self._second,
        )
        self._portal.call(self._both.claim, one)

    @rule(data=st.data(), others=st.lists(st.tuples(subjects, claim_ids), max_size=2))
    def renew(self, data: st.DataObject, others: list[tuple[Subject, str]]) -> None:
        held = self._portal.call(self._both.held)
        some = st.lists(st.sampled_from(held), max_size=3) if held else st.just([])
        mine = [(subject, lease.claim_id) for subject, lease in data.draw(some)]
        # Renewals of a held lease with any claim id: most are not its holder's.
        mine += [(subject, data.draw(claim_ids)) for subject, _ in data.draw(some)]
        renewals = [
            Renewal(
                collection=collection,
                key=key,
                claim_id=claim_id,
                duration=data.draw(seconds) * self._second,
            )
            for (collection, key), claim_id in mine + others
        ]
        self._portal.call(self._both.renew, renewals)

    @rule(
        partition=partitions,
        limit=st.integers(1, 4),
        descending=st.booleans(),
        after=bounds,
        before=bounds,
    )
    def page(
        self,
        partition: Partition,
        limit: int,
        descending: bool,
        after: str | None,
        before: str | None,
    ) -> None:
        query = Query(
            partition=partition, limit=limit, descending=descending, after=after, before=before
        )
        self._portal.call(self._both.page, query)
        self._changed = False

    @rule(watches=st.lists(st.builds(Watch, partitions, bounds), max_size=2))
    def look(self, watches: list[Watch]) -> None:
        self._portal.call(self._both.wait, watches)
        self._changed = False

    @precondition(lambda self: self._timed)
    @rule(step=st.sampled_from([0.000_001, 0.5, 1, 2, 30]))
    def advance(self, step: float) -> None:
        clock = self._harness.clock
        assert clock is not None
        clock.advance(step)

    @precondition(lambda self: self._timed)
    @rule(data=st.data(), late=st.sampled_from([0, 1]), doubted=st.booleans())
    def guard_at_the_end_of_a_lease(self, data: st.DataObject, late: int, doubted: bool) -> None:
        """Take a lease away at the last microsecond at which that must fail, or at the next one."""
        clock, held = self._harness.clock, self._portal.call(self._both.held)
        if clock is None or not held:
            return
        subject, lease = data.draw(st.sampled_from(held))
        end = lease.expires + late + (self._uncertainty if doubted else 0)
        # Before time passes, since the record may expire.
        version = self._portal.call(self._both.version, subject)
        clock.advance(micros=max(0, end - self._portal.call(self._both.now)))
        one = Delete(
            collection=subject[0], key=subject[1], expected=version, guard=Guard.LEASE_EXPIRED
        )
        bystander = self._portal.call(self._both.version, BYSTANDER)
        self._portal.call(self._both.commit, [commit(one, plain(BYSTANDER[1], expected=bystander))])

    @precondition(lambda self: self._timed)
    @rule(seconds=st.sampled_from([-365 * 86400, -3600, 3600, 365 * 86400]))
    def set_wall_clock(self, seconds: int) -> None:
        clock = self._harness.clock
        assert clock is not None
        clock.step_calendar(seconds)
        self._wall_clock_moved += seconds

    @invariant()
    def everything_agrees(self) -> None:
        self._steps += 1
        if self._changed:  # by anything but a look
            self._portal.call(self._both.compare)
        self._changed = True

    def _draw_commit(self, data: st.DataObject) -> Commit:
        now = self._portal.call(self._both.now)
        some = data.draw(st.lists(subjects, min_size=1, max_size=3, unique=True))
        versions = {subject: self._portal.call(self._both.version, subject) for subject in some}
        chosen = [
            data.draw(writes(subject, version, now, timed=self._timed))
            for subject, version in versions.items()
        ]
        if not any(isinstance(item, Put) for item in chosen):
            version = self._portal.call(self._both.version, BYSTANDER)
            chosen.append(plain(BYSTANDER[1], expected=version))
        events = [
            self._event(item, version)
            for item in chosen
            if isinstance(item, Put)
            for version in data.draw(event_versions(item.expected))
        ]
        amounts = data.draw(st.lists(st.tuples(counter_names, st.integers(-2, 3)), max_size=2))
        increments = [Increment(name, amount) for name, amount in amounts]
        return commit(*chosen, events=events, increments=increments)

    def _event(self, put: Put, version: int | None) -> EventWrite:
        self._events += 1
        return EventWrite(
            collection=put.collection,
            key=put.key,
            version=version,
            ordinal=self._events,
            body=f"event {self._events}".encode(),
        )


def store_machine(
    harness_factory: Callable[[], StoreHarness], *, backend: str = "asyncio"
) -> type[RuleBasedStateMachine]:
    """Return a machine that runs a store in lockstep with the memory store.

    pytest collects its ``TestCase``; the Hypothesis profile sets the effort. Each example opens its
    own namespace on a harness from ``harness_factory``, which should be cheap, or return the same
    harness each time.
    """
    examples = Examples(getattr(harness_factory, "__name__", "the machine"))

    class StoreMachine(_Machine):
        def __init__(self) -> None:
            super().__init__(harness_factory(), backend)

        def note_example(self, steps: int) -> None:
            examples.add(steps, StoreMachine.TestCase.settings.max_examples)

    case = StoreMachine.TestCase
    # One finding at a time: shrinking several takes minutes, and most have the same cause.
    case.settings = settings(case.settings, stateful_step_count=30, report_multiple_bugs=False)
    return StoreMachine
