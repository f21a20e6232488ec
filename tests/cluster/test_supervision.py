"""What a supervisor decides, without processes and clocks."""

from __future__ import annotations

import signal

from overshoot_flow_pipelines.supervision import (
    Action,
    End,
    Examine,
    Limits,
    Send,
    Start,
    Supervision,
    Tell,
)

KILLED = -signal.SIGKILL
LOST = 75
LIMITS = Limits(second_signal_s=1, kill_s=5, stop_at_once_s=20, back_off_s=1, barren_deaths=4)


def group(processes: int = 3, *, restartable: bool = True) -> Supervision:
    started = Supervision(processes, restartable=restartable, limits=LIMITS)
    assert started.start() == [Start()]
    return started


def end_of(actions: list[Action]) -> End:
    (end,) = (action for action in actions if isinstance(action, End))
    return end


def text_of(actions: list[Action]) -> str:
    (tell,) = (action for action in actions if isinstance(action, Tell))
    return tell.text


def die(supervision: Supervision, now_s: float, processes: int = 3) -> None:
    supervision.exited(0, KILLED, now_s)
    for number in range(1, processes - 1):
        assert supervision.exited(number, LOST, now_s) == []
    assert supervision.exited(processes - 1, LOST, now_s) == [Examine()]


def test_a_group_that_ends_well_ends_well() -> None:
    supervision = group()
    assert supervision.exited(1, 0, 1) == []
    assert supervision.exited(0, 0, 1) == []
    assert supervision.tick(100) == []
    assert supervision.exited(2, 0, 2) == [End(0)]


def test_an_endless_run_that_ends_well_unasked_begins_again() -> None:
    supervision = Supervision(1, restartable=True, limits=LIMITS, is_endless=True)
    supervision.start()
    assert supervision.exited(0, 0, 1) == [Examine()]
    actions = supervision.examined(progressed=True, now_s=1)
    assert "ended from within" in text_of(actions)
    assert supervision.tick(100) == [Start()]
    supervision.signalled(101)
    assert supervision.exited(0, 0, 102) == [End(0)]


def test_a_death_stops_the_survivors_with_growing_force() -> None:
    supervision = group()
    assert supervision.exited(1, KILLED, 10) == [Send(signal.SIGTERM, (0, 2))]
    assert supervision.tick(10.9) == []
    assert supervision.tick(11) == [Send(signal.SIGTERM, (0, 2))]
    assert supervision.tick(11.5) == []
    assert supervision.exited(2, 130, 12) == []
    assert supervision.tick(15) == [Send(signal.SIGKILL, (0,))]
    assert supervision.exited(0, KILLED, 15) == [Examine()]
    said = text_of(supervision.examined(progressed=True, now_s=15))
    assert "process 1 was ended by SIGKILL" in said
    assert supervision.tick(15) == [Start()]
    assert supervision.restarts == 1


def test_what_the_supervisor_itself_kills_is_no_cause() -> None:
    supervision = group(2)
    # A loss that nobody explains, then our own signals: no process "was ended by SIGTERM".
    supervision.exited(0, LOST, 0)
    assert supervision.exited(1, -signal.SIGTERM, 0) == [Examine()]
    assert "lost each other" in text_of(supervision.examined(progressed=True, now_s=0))


def test_deaths_without_progress_are_answered_later_and_later_and_then_no_more() -> None:
    supervision = group()
    now_s = 0.0
    for pause_s in (0, 1, 2):
        die(supervision, now_s)
        supervision.examined(progressed=False, now_s=now_s)
        if pause_s:
            assert supervision.tick(now_s + pause_s - 0.1) == []
        now_s += pause_s
        assert supervision.tick(now_s) == [Start()]
    die(supervision, now_s)
    actions = supervision.examined(progressed=False, now_s=now_s)
    assert end_of(actions) == End(1)
    assert "death number 4 in a row" in text_of(actions)


def test_progress_begins_the_count_anew() -> None:
    supervision = group()
    for _ in range(20):
        die(supervision, 0)
        supervision.examined(progressed=True, now_s=0)
        assert supervision.tick(0) == [Start()]


def test_without_a_state_nothing_is_started_again() -> None:
    supervision = group(2, restartable=False)
    supervision.exited(0, KILLED, 0)
    actions = supervision.exited(1, LOST, 0)
    assert end_of(actions) == End(1)
    assert "--state" in text_of(actions)


def test_an_ordinary_error_ends_the_group_with_its_code() -> None:
    for code in (1, 2, 3):
        supervision = group()
        assert supervision.exited(2, code, 0) == [Send(signal.SIGTERM, (0, 1))]
        assert supervision.exited(0, LOST, 0) == []
        assert supervision.exited(1, -signal.SIGTERM, 0) == [End(code, cause=2)]


def test_an_ordinary_error_is_the_cause_also_when_its_consequences_are_seen_first() -> None:
    supervision = group()
    supervision.exited(0, LOST, 0)
    supervision.exited(1, LOST, 0)
    assert supervision.exited(2, 2, 0) == [End(2, cause=2)]


def test_an_error_that_follows_a_death_does_not_hide_it() -> None:
    supervision = group(2)
    supervision.exited(0, -signal.SIGSEGV, 0)
    assert supervision.exited(1, 1, 0) == [Examine()]
    assert "SIGSEGV" in text_of(supervision.examined(progressed=True, now_s=0))


def test_the_first_signal_is_passed_on_and_the_group_ends_in_order() -> None:
    supervision = group(2)
    assert supervision.signalled(0) == [Send(signal.SIGTERM, (0, 1))]
    assert supervision.tick(1000) == []
    assert supervision.exited(0, 0, 1000) == []
    assert supervision.exited(1, 0, 1001) == [End(0)]


def test_a_process_that_is_stopped_before_it_handles_signals_has_stopped_in_order() -> None:
    supervision = group(2)
    supervision.signalled(0)
    assert supervision.exited(0, -signal.SIGTERM, 0) == []
    assert supervision.exited(1, 0, 0) == [End(0)]


def test_the_second_signal_stops_at_once_and_then_kills() -> None:
    supervision = group(2)
    supervision.signalled(0)
    assert supervision.signalled(1) == [Send(signal.SIGTERM, (0, 1))]
    assert supervision.exited(0, 130, 2) == [Send(signal.SIGTERM, (1,))]
    assert supervision.tick(50)[-1] == Send(signal.SIGKILL, (1,))
    assert supervision.exited(1, KILLED, 50) == [End(130)]


def test_a_death_while_stopping_is_told_and_not_started_again() -> None:
    supervision = group(2)
    supervision.signalled(0)
    supervision.exited(0, KILLED, 1)
    actions = supervision.exited(1, LOST, 1)
    assert end_of(actions) == End(1)
    assert "while the run was stopping" in text_of(actions)


def test_a_signal_between_two_starts_ends_the_group() -> None:
    supervision = group()
    for _ in range(2):
        die(supervision, 0)
        supervision.examined(progressed=False, now_s=0)
        supervision.tick(0)
    assert end_of(supervision.signalled(0.5)) == End(130)


def test_a_process_that_someone_else_stopped_at_once_ends_the_group() -> None:
    supervision = group(2)
    supervision.exited(0, 130, 0)
    assert supervision.exited(1, LOST, 0) == [End(130)]


def test_survivors_that_our_signals_stop_at_once_do_not_hide_a_loss() -> None:
    supervision = group(2)
    supervision.exited(0, LOST, 0)
    assert supervision.exited(1, 130, 1) == [Examine()]
