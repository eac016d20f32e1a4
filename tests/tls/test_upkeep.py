"""What is ordered when: with a clock that the test sets, real files, and an authority that does as it is told."""

import datetime
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_pair
from thrust.errors import OrderError, StorageError
from thrust.tls.renewal import Window
from thrust.tls.shelf import Shelf
from thrust.tls.storage import Notes, Storage
from thrust.tls.upkeep import LONGEST_WAIT_S, STORAGE_PAUSE_S, Authority, Upkeep
from thrust.tls.validity import fingerprint

CA = "https://ca.example/directory"
NAME = "a.example"
DAY_S = 24 * 3600.0
LIFETIME = datetime.timedelta(days=90)


@dataclass
class Issued:
    pem: str
    challenge: str


@dataclass
class FakeAuthority:
    """Issues what it is asked for, or raises `error`; notes every question."""

    error: OrderError | None = None
    window: Window | None = None
    pause_s: float = 6 * 3600.0
    lifetime: datetime.timedelta = LIFETIME
    orders: list[tuple[str, tuple[str, ...], bool]] = field(default_factory=list)
    window_questions: int = 0
    pem: str = ""

    def order(self, domain: str, challenge_types: Sequence[str], replaced_pem: str = "") -> Issued:
        self.orders.append((domain, tuple(challenge_types), bool(replaced_pem)))
        if self.error is not None:
            raise self.error
        return Issued(self.pem or pem_for(domain, self.lifetime), challenge_types[-1])

    def renewal_window(self, pem: str) -> tuple[Window | None, float]:
        assert "BEGIN CERTIFICATE" in pem
        self.window_questions += 1
        if self.error is not None:
            raise self.error
        return self.window, self.pause_s

    def close(self) -> None: ...


@dataclass
class FakeLog:
    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def info(self, message: str, /, **fields: object) -> None:
        self.lines.append(("info", message, fields))

    def warning(self, message: str, /, **fields: object) -> None:
        self.lines.append(("warning", message, fields))

    def error(self, message: str, /, **fields: object) -> None:
        self.lines.append(("error", message, fields))

    def about(self, message: str) -> list[dict[str, Any]]:
        return [fields for _, said, fields in self.lines if said == message]


class Instance:
    """A thrust, as far as its certificates go, on a volume that others may share."""

    def __init__(self, root: Path, authority: Authority, *domains: str) -> None:
        # Certificates begin at the real now, so the clock starts there and jumps ahead.
        self.now_s = datetime.datetime.now().timestamp()
        self.log = FakeLog()
        self.shelf = Shelf(("http/1.1",))
        self.storage = Storage(root, CA)
        self.stopped = threading.Event()
        self.upkeep = Upkeep(
            domains or (NAME,), self.shelf, self.storage, lambda: authority, self.stopped, lambda: self.now_s
        )
        self.upkeep.load()
        self.upkeep.tell(self.log)

    def work(self, after_s: float = 0.0) -> float:
        """Lets time pass, and has done what is due then."""
        self.now_s += after_s
        return self.upkeep.work()


def pem_for(domain: str, lifetime: datetime.timedelta = LIFETIME, begins_days: float = 0) -> str:
    begins = datetime.timedelta(days=begins_days)
    pair = make_pair(domain, begins=begins, ends=begins + lifetime)
    return (pair.key + pair.certificate).decode()


def refusal(retry_after_s: float = 0.0) -> OrderError:
    return OrderError("the CA says no; do better", is_refusal=True, retry_after_s=retry_after_s)


@dataclass
class ChoosyAuthority(FakeAuthority):
    """Refuses the names in `refused`."""

    refused: tuple[str, ...] = ()

    def order(self, domain: str, challenge_types: Sequence[str], replaced_pem: str = "") -> Issued:
        self.error = refusal() if domain in self.refused else None
        return super().order(domain, challenge_types, replaced_pem)


def test_who_has_failed_before_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Checks of a domain that leads elsewhere may take minutes, whenever they are tried."""
    authority = ChoosyAuthority(refused=("a.example",))
    instance = Instance(tmp_path, authority, "a.example", "b.example", "c.example")
    instance.work()
    instance.work(LIFETIME.total_seconds() * 0.75)
    assert [domain for domain, _, _ in authority.orders] == [
        *("a.example", "b.example", "c.example"),
        *("b.example", "c.example", "a.example"),
    ]


@pytest.fixture
def authority() -> FakeAuthority:
    return FakeAuthority()


@pytest.fixture
def instance(tmp_path: Path, authority: FakeAuthority) -> Instance:
    return Instance(tmp_path, authority)


def test_a_missing_certificate_is_ordered_stored_and_served(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    assert authority.orders == [(NAME, ("http-01", "tls-alpn-01"), False)]
    assert instance.shelf.get(NAME) is not None
    assert "PRIVATE KEY" in instance.storage.read_pair(NAME)
    (line,) = instance.log.about("certificate ordered")
    assert line["domain"] == NAME
    assert line["expires"] > line["renewal"]


def test_a_stored_certificate_is_served_at_once_and_not_ordered_again(
    instance: Instance, authority: FakeAuthority, tmp_path: Path
) -> None:
    instance.work()
    again = Instance(tmp_path, authority)
    assert again.shelf.get(NAME) is not None
    again.work()
    assert len(authority.orders) == 1


def test_a_start_with_a_fresh_certificate_talks_to_nobody(
    instance: Instance, authority: FakeAuthority, tmp_path: Path
) -> None:
    instance.work()
    instance.work()  # asks for the renewal window
    questions = authority.window_questions
    again = Instance(tmp_path, authority)
    assert again.work() > 60
    assert authority.window_questions == questions


def test_a_certificate_is_renewed_in_its_last_third(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    instance.work(59 * DAY_S)
    assert len(authority.orders) == 1
    old = instance.shelf.get(NAME)
    instance.work(5 * DAY_S)
    assert authority.orders[1:] == [(NAME, ("tls-alpn-01", "http-01"), True)]
    assert instance.shelf.get(NAME) is not old


def test_the_challenge_that_worked_is_tried_first_after_a_restart(
    instance: Instance, authority: FakeAuthority, tmp_path: Path
) -> None:
    instance.work()
    Instance(tmp_path, authority).work(65 * DAY_S)
    assert authority.orders[-1][1] == ("tls-alpn-01", "http-01")


def test_the_window_of_the_ca_moves_a_renewal(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    authority.window = Window(instance.now_s + 10 * DAY_S, instance.now_s + 11 * DAY_S)
    instance.work()
    instance.work(9 * DAY_S)
    assert len(authority.orders) == 1
    instance.work(2.5 * DAY_S)
    assert len(authority.orders) == 2


def test_the_ca_is_asked_for_its_window_only_as_often_as_it_wants(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    for _ in range(5):
        instance.work(3600)
    assert authority.window_questions == 1
    instance.work(authority.pause_s)
    assert authority.window_questions == 2


def test_a_ca_that_is_away_when_asked_for_its_window_changes_nothing(
    instance: Instance, authority: FakeAuthority
) -> None:
    instance.work()
    authority.error = OrderError("the CA cannot be reached", is_refusal=False)
    instance.work()
    instance.work()
    assert authority.window_questions == 1
    assert len(authority.orders) == 1
    assert instance.log.about("the CA does not say when to renew")


@pytest.mark.parametrize(("is_refusal", "questions"), [(False, 4), (True, 1)])
def test_a_ca_that_is_away_is_asked_for_its_window_ever_more_rarely_and_one_that_refuses_after_hours(
    instance: Instance, authority: FakeAuthority, is_refusal: bool, questions: int
) -> None:
    instance.work()
    authority.error = OrderError("no window", is_refusal=is_refusal)
    for _ in range(120):
        instance.work(1)  # after 1, 16, 46 and 106 seconds
    assert authority.window_questions == questions


def test_a_refusal_is_told_with_its_cure_and_not_repeated_at_once(instance: Instance, authority: FakeAuthority) -> None:
    authority.error = refusal()
    instance.work()
    assert instance.work(10) > 60
    assert len(authority.orders) == 1
    (line,) = instance.log.about("order failed")
    assert line["reason"] == "the CA says no; do better"
    assert line["old_one_serves"] == "no"


def test_a_pause_survives_a_restart(instance: Instance, authority: FakeAuthority, tmp_path: Path) -> None:
    authority.error = refusal(retry_after_s=7200)
    instance.work()
    again = Instance(tmp_path, authority)
    again.work(7100)
    assert len(authority.orders) == 1
    (line,) = again.log.about("no certificate yet")
    assert line["reason"] == "the CA says no; do better"
    again.work(200)
    assert len(authority.orders) == 2


def test_failures_in_a_row_are_counted_across_restarts(authority: FakeAuthority, tmp_path: Path) -> None:
    authority.error = refusal()
    now_s = 0.0
    for count in range(1, 4):
        instance = Instance(tmp_path, authority)
        instance.work(now_s)
        now_s += 4 * 3600
        trouble = instance.storage.read_notes(NAME).trouble
        assert trouble is not None
        assert trouble.failures == count


def test_a_success_ends_the_trouble(instance: Instance, authority: FakeAuthority) -> None:
    authority.error = refusal()
    instance.work()
    authority.error = None
    instance.work(3600)
    assert instance.shelf.get(NAME) is not None
    assert instance.storage.read_notes(NAME).trouble is None


def test_the_old_certificate_serves_while_renewal_fails(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    old = instance.shelf.get(NAME)
    authority.error = refusal()
    for _ in range(25):
        instance.work(3 * DAY_S)
    assert instance.shelf.get(NAME) is old
    assert instance.log.about("order failed")[0]["old_one_serves"].startswith("until 2")


def test_a_certificate_whose_key_is_another_is_not_put_in_place(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    old, stored = instance.shelf.get(NAME), instance.storage.read_pair(NAME)
    one, other = pem_for(NAME), pem_for(NAME)
    authority.pem = one[: one.index("-----BEGIN CERT")] + other[other.index("-----BEGIN CERT") :]
    instance.work(65 * DAY_S)
    assert instance.shelf.get(NAME) is old
    assert instance.storage.read_pair(NAME) == stored
    assert instance.log.about("order failed")


def test_one_domain_that_fails_does_not_keep_others_from_theirs(tmp_path: Path) -> None:
    class Choosy(FakeAuthority):
        def order(self, domain: str, challenge_types: Sequence[str], replaced_pem: str = "") -> Issued:
            self.error = refusal() if domain == "bad.example" else None
            return super().order(domain, challenge_types, replaced_pem)

    instance = Instance(tmp_path, Choosy(), "bad.example", "good.example")
    instance.work()
    assert instance.shelf.get("good.example") is not None
    assert instance.shelf.get("bad.example") is None


def test_two_instances_on_one_volume_order_once(instance: Instance, authority: FakeAuthority, tmp_path: Path) -> None:
    other = Instance(tmp_path, authority)
    instance.work()
    other.work()
    assert len(authority.orders) == 1
    assert other.shelf.get(NAME) is not None


def test_an_instance_that_waited_for_the_lock_takes_what_was_ordered_meanwhile(
    instance: Instance, authority: FakeAuthority, tmp_path: Path
) -> None:
    other = Instance(tmp_path, authority)
    instance.storage.prepare()
    thread = threading.Thread(target=other.work)
    with instance.storage.lock(threading.Event()):
        thread.start()
        instance.storage.write_pair(NAME, pem_for(NAME))
    thread.join(20)
    assert authority.orders == []
    assert other.shelf.get(NAME) is not None


def test_the_trouble_of_one_instance_is_known_to_the_other(
    instance: Instance, authority: FakeAuthority, tmp_path: Path
) -> None:
    authority.error = refusal()
    other = Instance(tmp_path, authority)
    instance.work()
    other.work()
    assert len(authority.orders) == 1


def test_a_renewal_by_another_instance_is_taken_from_the_volume(
    instance: Instance, authority: FakeAuthority, tmp_path: Path
) -> None:
    instance.work()
    other = Instance(tmp_path, authority)
    instance.work(65 * DAY_S)
    before = other.shelf.get(NAME)
    other.work(65 * DAY_S)
    assert other.shelf.get(NAME) is not before
    assert len(authority.orders) == 2
    assert other.log.about("certificate taken from storage")


def test_an_expired_certificate_is_renewed_at_once_and_served_until_then(tmp_path: Path) -> None:
    authority = FakeAuthority(error=refusal())
    storage = Storage(tmp_path, CA)
    storage.prepare()
    storage.write_pair(NAME, pem_for(NAME, begins_days=-100))
    instance = Instance(tmp_path, authority)
    assert instance.shelf.get(NAME) is not None
    assert instance.work() > 60
    assert (len(authority.orders), authority.window_questions) == (1, 0)


def test_a_clock_that_jumps_ahead_orders_once_and_not_over_and_over(
    instance: Instance, authority: FakeAuthority
) -> None:
    instance.work()
    instance.now_s += 300 * DAY_S
    for _ in range(10):
        instance.work(60)
    assert len(authority.orders) == 2


def test_a_clock_that_jumps_back_orders_nothing(instance: Instance, authority: FakeAuthority) -> None:
    instance.work()
    for _ in range(5):
        instance.work(-30 * DAY_S)
    assert len(authority.orders) == 1


def test_a_failure_noted_in_the_future_does_not_keep_orders_away(instance: Instance, authority: FakeAuthority) -> None:
    authority.error = refusal()
    instance.now_s += 1000 * DAY_S
    instance.work()
    instance.work(-1000 * DAY_S)
    assert len(authority.orders) == 2


def test_there_is_a_look_at_the_clock_every_hour(instance: Instance) -> None:
    instance.work()
    assert instance.work() == LONGEST_WAIT_S


def test_a_damaged_certificate_is_ordered_anew(tmp_path: Path, authority: FakeAuthority) -> None:
    storage = Storage(tmp_path, CA)
    storage.prepare()
    storage.write_pair(NAME, pem_for(NAME)[:300])
    instance = Instance(tmp_path, authority)
    assert instance.shelf.get(NAME) is None
    (line,) = instance.log.about("stored certificate cannot be used: it is ordered anew")
    assert "no key and certificate" in line["error"]
    instance.work()
    assert instance.shelf.get(NAME) is not None
    assert len(instance.log.about("stored certificate cannot be used: it is ordered anew")) == 1


@pytest.mark.parametrize("is_restarted", [False, True])
def test_notes_that_a_crash_has_left_beside_a_newer_certificate_are_ignored(
    instance: Instance, authority: FakeAuthority, tmp_path: Path, is_restarted: bool
) -> None:
    """Else its predecessor's window, which has passed, has it ordered once more."""
    instance.work()
    stale = instance.storage.read_notes(NAME)
    window = Window(instance.now_s - 3 * DAY_S, instance.now_s - 2 * DAY_S)
    instance.storage.write_notes(NAME, stale._replace(window=window, ordered_at_s=0.0, ask_again_at_s=9e12))
    instance.storage.write_pair(NAME, pem_for(NAME))
    authority.error = OrderError("the CA cannot be reached", is_refusal=False)
    (Instance(tmp_path, authority) if is_restarted else instance).work()
    assert len(authority.orders) == 1


def test_nothing_is_ordered_that_could_not_be_kept(tmp_path: Path, authority: FakeAuthority) -> None:
    (tmp_path / "file").write_text("")
    instance = Instance(tmp_path / "file", authority)
    assert instance.work() == STORAGE_PAUSE_S
    instance.work(STORAGE_PAUSE_S)
    assert authority.orders == []
    (line,) = instance.log.about("certificates cannot be ordered")
    assert "STORAGE_PATH has to be a folder" in line["reason"]


def test_a_volume_that_fills_up_during_an_order_costs_no_certificate(
    instance: Instance, authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise StorageError("STORAGE_PATH is full")

    monkeypatch.setattr(Storage, "_write", full)
    instance.work()
    instance.work()
    assert instance.shelf.get(NAME) is not None
    assert len(authority.orders) == 1
    assert instance.log.about("certificate cannot be kept: a restart orders it again")


def test_a_read_only_volume_serves_what_it_holds(tmp_path: Path, authority: FakeAuthority) -> None:
    storage = Storage(tmp_path, CA)
    storage.prepare()
    storage.write_pair(NAME, pem_for(NAME))
    notes = Notes(ask_again_at_s=9e12, certificate=fingerprint(storage.read_pair(NAME)))
    storage.write_notes(NAME, notes)
    (storage.folder / "lock").mkdir()  # what fails for root too
    instance = Instance(tmp_path, authority)
    instance.work()
    assert instance.shelf.get(NAME) is not None
    assert authority.orders == []


def test_an_order_that_was_called_off_is_no_failure(instance: Instance, authority: FakeAuthority) -> None:
    authority.error = OrderError("called off", is_refusal=False)
    instance.stopped.set()
    instance.work()
    assert not instance.log.about("order failed")
    assert instance.storage.read_notes(NAME).trouble is None
