"""What the clients of a process remember of its keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from overshoot_flow.config import Secret, Service
from overshoot_flow.errors import AuthenticationError
from overshoot_flow.session.clients import Clients
from overshoot_flow.session.slot_table import REFUSAL_S

SERVICE = Service(key=Secret("ovs-hidden"))
REFUSED = AuthenticationError("refused", status=401)


class ChosenClock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_us(self) -> int:
        return 0


def test_a_refused_key_is_left_alone_for_a_while_whoever_asks() -> None:
    clock = ChosenClock()
    clients = Clients(clock)
    clients.check(SERVICE)
    clients.refuse(SERVICE, REFUSED)
    clients.check(replace(SERVICE, key=Secret("ovs-another")))
    for same in (SERVICE, replace(SERVICE, max_in_flight=1)):
        with pytest.raises(AuthenticationError, match="refused"):
            clients.check(same)
    clock.now_s += REFUSAL_S
    clients.check(SERVICE)


def test_the_next_run_tries_it_at_once() -> None:
    clients = Clients(ChosenClock())
    clients.refuse(SERVICE, REFUSED)
    clients.begin_run()
    clients.check(SERVICE)
