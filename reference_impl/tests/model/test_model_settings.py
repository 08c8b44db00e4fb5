"""ConfigMaps become typed settings, and a wrong value is refused with a sentence that names it."""

import pytest

from minirun.model.clock import SECOND_NS
from minirun.model.settings import (
    CONFIG_MAPS,
    DefaultsSettings,
    DeploymentSettings,
    DomainSettings,
    GCSettings,
    NetworkSettings,
    ObservabilitySettings,
)

LONG_DOMAIN = ".".join(["a" * 63] * 4)  # 255 characters; DNS allows 253


@pytest.mark.parametrize("parser", CONFIG_MAPS.values(), ids=CONFIG_MAPS)
def test_an_empty_config_map_gives_the_defaults_and_unknown_keys_are_ignored(parser: type) -> None:
    assert parser.parse({}) == parser.parse({"_example": "########"}) == parser()  # type: ignore[attr-defined]


def test_values_are_read_by_the_type_of_their_field() -> None:
    data = {
        "retain-since-create-time": "disabled",
        "retain-since-last-active-time": "1h30m",
        "min-non-active-revisions": "0",
        "max-non-active-revisions": "Disabled",
    }
    assert GCSettings.parse(data) == GCSettings(-1, 5400 * SECOND_NS, 0, -1)
    assert ObservabilitySettings.parse({"logging.enable-request-log": "true"}).logging_enable_request_log
    assert NetworkSettings.parse({"rollout-duration": "380"}).rollout_duration == 380
    assert DeploymentSettings.parse({"progress-deadline": "2m"}).progress_deadline_ns == 120 * SECOND_NS
    assert DomainSettings.parse({"_example": "x", "example.com": ""}).domain == "example.com"


def test_the_response_start_timeout_follows_the_revision_timeout() -> None:
    settings = DefaultsSettings.parse({"revision-timeout-seconds": "100"})
    assert settings.revision_response_start_timeout_seconds == 100
    explicit = {"revision-timeout-seconds": "100", "revision-response-start-timeout-seconds": "30"}
    assert DefaultsSettings.parse(explicit).revision_response_start_timeout_seconds == 30


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (
            "config-defaults",
            {"revision-timeout-seconds": "601"},
            "revision-timeout-seconds (601) cannot be greater than max-revision-timeout-seconds (600)",
        ),
        (
            "config-defaults",
            {"revision-response-start-timeout-seconds": "301"},
            "revision-response-start-timeout-seconds (301) cannot be greater than "
            "revision-timeout-seconds (300)",
        ),
        (
            "config-defaults",
            {"container-concurrency": "1001"},
            "expected 0 <= 1001 <= 1000: container-concurrency",
        ),
        (
            "config-defaults",
            {"container-concurrency-max-limit": "0"},
            "expected 1 <= 0 <= 2147483647: container-concurrency-max-limit",
        ),
        (
            "config-defaults",
            {"container-concurrency": "many"},
            'failed to parse "container-concurrency": "many" is not a whole number',
        ),
        (
            "config-defaults",
            {"enable-service-links": "perhaps"},
            'failed to parse "enable-service-links": "perhaps" is neither true nor false',
        ),
        (
            "config-defaults",
            {"revision-timeout-seconds": ""},
            'failed to parse "revision-timeout-seconds": "" is not a whole number',
        ),
        (
            "config-gc",
            {"min-non-active-revisions": "21", "max-non-active-revisions": "20"},
            "min-non-active-revisions(21) must be <= max-non-active-revisions(20)",
        ),
        (
            "config-gc",
            {"min-non-active-revisions": "-1"},
            "min-non-active-revisions must be non-negative, was: -1",
        ),
        (
            "config-network",
            {"rollout-duration": "-1"},
            "rollout-duration must be a positive integer, but was -1",
        ),
        (
            "config-domain",
            {"Example.com": ""},
            '"Example.com" is not a domain name: it may have a-z, 0-9, "-" and "."',
        ),
        (
            "config-domain",
            {LONG_DOMAIN: ""},
            f'"{LONG_DOMAIN}" is not a domain name: it may have a-z, 0-9, "-" and "."',
        ),
        (
            "config-domain",
            {"example.com": "selector:\n  app: x"},
            'the domain "example.com" has a selector; one domain serves all: leave it empty',
        ),
        (
            "config-deployment",
            {"progress-deadline": "0s"},
            "progress-deadline cannot be a non-positive duration, was 0s",
        ),
        (
            "config-deployment",
            {"progress-deadline": "1500ms"},
            "progress-deadline must be rounded to a whole second, was: 1.5s",
        ),
        (
            "config-deployment",
            {"progress-deadline": "1 hour"},
            'failed to parse "progress-deadline": time: unknown unit " hour" in duration "1 hour"',
        ),
    ],
)
def test_a_wrong_value_is_refused_with_one_sentence(name: str, data: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the whole text is compared
        CONFIG_MAPS[name].parse(data)
    assert str(refused.value) == sentence
