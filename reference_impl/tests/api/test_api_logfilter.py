"""Filters of Cloud Logging."""

import pytest

from minirun.api.logfilter import FilterError, parse_filter

ENTRY = {
    "severity": "WARNING",
    "timestamp": "2026-11-24T10:00:00.123456789Z",
    "textPayload": "Disk is nearly full",
    "httpRequest": {"status": 503, "latency": "0.2s"},
    "labels": {"run.googleapis.com/job": "j1"},
    "resource": {"type": "cloud_run_revision", "labels": {"service_name": "a1"}},
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("resource.type = cloud_run_revision \n AND resource.labels.service_name = a1", True),
        ('resource.type="cloud_run_revision" resource.labels.service_name="a2"', False),
        ("severity >= DEFAULT", True),
        ("severity>=ERROR", False),
        ("severity=warning", True),
        ('timestamp>="2026-11-24T09:59:59Z"', True),
        ('timestamp<"2026-11-24T11:00:00+02:00"', False),
        ("httpRequest.status >= 500", True),
        ("httpRequest.status < 60", False),
        ("textPayload:NEARLY", True),
        ('textPayload=~"n.arly"', True),
        ("textPayload !~ disk", True),
        ("NOT textPayload:disk", False),
        ("severity=ERROR OR httpRequest.status=503", True),
        ("severity=WARNING (severity=ERROR OR httpRequest.status=200)", False),
        ("nearly", True),
        ('"no such text"', False),
        ("jsonPayload.user = x", False),
        ("jsonPayload.user != x", True),
        ("httpRequest:*", True),
        ('labels."run.googleapis.com/job" = j1', True),
        ("-- a remark\nseverity=WARNING", True),
    ],
)
def test_a_filter_lets_pass_what_it_says(text: str, passes: bool) -> None:
    assert parse_filter(text)(ENTRY) is passes


@pytest.mark.parametrize(
    "text", ["severity >=", "(severity=ERROR", "severity=ERROR)", "= 3", 'textPayload=~"("', '"']
)
def test_what_is_no_filter_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(FilterError, match=r"filter|expression"):
        parse_filter(text)
