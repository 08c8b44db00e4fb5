"""The decisions of an instance's life, without any process."""

from hypothesis import given
from hypothesis import strategies as st

from minirun.runtime.base import ExitStatus, Probe, ProbeResult, Stage
from minirun.runtime.ending import deadline_words, exit_words, last_words
from minirun.runtime.lifecycle import MOVES, back_off_seconds, next_stage, phase_of
from minirun.runtime.probing import Tally, count_probe

EVENTS = ["start", "pass", "fail", "exit", "stop", "deadline"]


def after(*events: str) -> Stage:
    stage = Stage.PENDING
    for event in events:
        stage = next_stage(stage, event)
    return stage


def test_the_usual_life_is_pending_starting_ready_draining_gone() -> None:
    assert [after(), after("start"), after("start", "pass"), after("start", "pass", "stop")] == [
        Stage.PENDING,
        Stage.STARTING,
        Stage.READY,
        Stage.DRAINING,
    ]
    assert after("start", "pass", "stop", "exit") is Stage.GONE


def test_an_instance_that_loses_readiness_goes_on_and_may_regain_it() -> None:
    assert after("start", "pass", "fail") is Stage.STARTING
    assert after("start", "pass", "fail", "pass") is Stage.READY


def test_a_container_that_ends_by_itself_waits_and_starts_again() -> None:
    assert after("start", "exit") is Stage.CRASH_LOOP_BACK_OFF
    assert after("start", "pass", "exit", "start") is Stage.STARTING


def test_a_draining_instance_never_gets_ready_again() -> None:
    assert after("start", "stop", "pass") is Stage.DRAINING


def test_the_deadline_ends_only_what_is_not_ready() -> None:
    assert after("start", "deadline") is Stage.GONE
    assert after("start", "exit", "deadline") is Stage.GONE
    assert after("start", "pass", "deadline") is Stage.READY


@given(st.lists(st.sampled_from(EVENTS)), st.lists(st.sampled_from(EVENTS)))
def test_gone_is_for_good_and_stop_always_leads_there(before: list[str], later: list[str]) -> None:
    stage = after(*before, "stop", "exit")
    assert stage is Stage.GONE
    assert after(*before, "stop", "exit", *later) is Stage.GONE


@given(st.lists(st.sampled_from([event for event in EVENTS if event != "pass"])))
def test_nothing_is_ready_without_a_passed_probe(events: list[str]) -> None:
    assert after(*events) is not Stage.READY


def test_every_stage_has_its_row_in_the_table() -> None:
    assert set(MOVES) == set(Stage)


def test_phases_are_those_of_a_pod() -> None:
    assert phase_of(Stage.PENDING, "") == "Pending"
    assert phase_of(Stage.CRASH_LOOP_BACK_OFF, "ExitCode1") == "Running"
    assert phase_of(Stage.GONE, "") == "Succeeded"
    assert phase_of(Stage.GONE, "ProgressDeadlineExceeded") == "Failed"


def test_the_first_restart_is_at_once_and_the_pauses_double_up_to_five_minutes() -> None:
    assert [back_off_seconds(n) for n in range(1, 13)] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert back_off_seconds(10_000) == 300


@given(st.lists(st.booleans(), min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_a_verdict_is_the_last_run_of_outcomes_that_was_long_enough(
    outcomes: list[bool], successes: int, failures: int
) -> None:
    probe = Probe(success_threshold=successes, failure_threshold=failures)
    tally = Tally()
    for ok in outcomes:
        tally = count_probe(probe, tally, ok)
    expected = None
    for end in range(1, len(outcomes) + 1):
        for ok, threshold in ((True, successes), (False, failures)):
            if outcomes[max(0, end - threshold) : end] == [ok] * threshold:
                expected = ok
    assert tally.verdict is expected


def test_an_exit_is_told_in_the_words_of_knative() -> None:
    assert exit_words(ExitStatus(3), "boom") == ("ExitCode3", "Container failed with: boom")
    assert exit_words(ExitStatus(1), "")[1] == "Container failed with: exit code 1 and no output"
    assert exit_words(ExitStatus(137, oom=True), "boom")[0] == "OOMKilled"


def test_last_words_are_lines_cut_to_a_termination_message() -> None:
    assert last_words([b"one", b"\xfftwo"]) == "one\n\ufffdtwo"
    assert len(last_words([b"x" * 5000])) == 2048


def test_a_missed_deadline_says_whether_the_app_did_not_listen_or_was_not_ready() -> None:
    deaf = deadline_words(41234, 240, ProbeResult(ok=False, listening=False), "starting")
    assert deaf == ("The app did not listen on $PORT (PORT=41234) within 240 s. Its last log lines: starting")
    assert "HTTP 503" in deadline_words(1, 240, ProbeResult(ok=False, detail="HTTP 503"), "")
