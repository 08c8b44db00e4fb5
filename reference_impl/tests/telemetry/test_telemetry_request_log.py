"""The request log follows `logging.enable-request-log` while the platform runs."""

from random import Random

from minirun.activation.path import RevisionPath
from minirun.api.operator_settings import seed_settings
from minirun.gateway.base import Destination, RequestRecord
from minirun.gateway.heads import RequestHead
from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta, replace
from minirun.model.resources import ConfigMap
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.platform import Telemetry, build
from minirun.runtime.base import InstanceSpec
from minirun.runtime.virtual import Profile, VirtualRuntime, distribution
from minirun.store.store import Store
from minirun.telemetry.logs import LogStore

CLOCK = SystemClock()


def make_record(target: bytes) -> RequestRecord:
    path = RevisionPath("default", "hello-00001", 0, CLOCK, Random(1), lambda path, stat: None)
    to = Destination("default", "hello", "hello", "hello-00001", path, 300)
    head = RequestHead(b"GET", target, b"hello", "hello", [], {}, None, False, False, True, None, False)
    return RequestRecord(to, head, 200, 0, 2, 1_500_000, 0, "127.0.0.1")


def steady(spec: InstanceSpec) -> Profile:
    return Profile(distribution("0.5"), distribution("0.1"))


def test_requests_are_logged_from_the_moment_the_setting_says_so_until_it_says_no() -> None:
    store = Store(CLOCK)
    core = build(store=store, clock=CLOCK, rng=Random(1), runtime=VirtualRuntime(CLOCK, Random(2), steady))
    logs = LogStore(None, CLOCK)
    telemetry = Telemetry(core.ctx, logs)
    telemetry.request_done(make_record(b"/before"))
    seed_settings(store, {"config-observability": {"logging.enable-request-log": "true"}})
    telemetry.request_done(make_record(b"/during"))
    setting = store.get(ConfigMap, SYSTEM_NAMESPACE, "config-observability")
    store.update(
        replace(
            setting, metadata=ObjectMeta(name="config-observability", namespace=SYSTEM_NAMESPACE), data={}
        )
    )
    telemetry.request_done(make_record(b"/after"))
    entries = [entry.json_payload["httpRequest"] for entry in logs.read("default")]
    assert [entry["requestUrl"] for entry in entries] == ["/during"]
    assert entries[0]["latency"] == "0.001500000s"
