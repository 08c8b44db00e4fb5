"""Names of images: `NAME[:TAG][@sha256:DIGEST]`, and the well-known ones that a sample stands in for.

Counterpart: distribution/reference, and the tag resolution of Knative's revision controller.
"""

import re
from dataclasses import dataclass

DEFAULT_TAG = "latest"
STAND_INS = {
    "gcr.io/cloudrun/hello": "hello",
    "us-docker.pkg.dev/cloudrun/container/hello": "hello",
    "gcr.io/cloudrun/job": "job",
    "us-docker.pkg.dev/cloudrun/container/job": "job",
    "gcr.io/google-samples/hello-app": "hello",
    "us-docker.pkg.dev/google-samples/containers/gke/hello-app": "hello",
    "gcr.io/knative-samples/helloworld-go": "hello",
    "ghcr.io/knative/helloworld-go": "hello",
    "gcr.io/knative-samples/autoscale-go": "sleep",
    "ghcr.io/knative/autoscale-go": "sleep",
}
"""The public images of Cloud Run's and Knative's first pages, and the sample that is run in their place."""

_GRAMMAR = re.compile(
    r"(?P<name>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]+(?=/))?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


class ImageNotFound(LookupError):  # noqa: N818
    """No bundle of that name or digest is here."""


class ImageNotRunnable(LookupError):  # noqa: N818
    """It is an image of a registry, which a process can't run."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference; `digest` is empty where none was given."""

    name: str
    tag: str = DEFAULT_TAG
    digest: str = ""

    @property
    def in_registry(self) -> bool:
        """Whether the first part is a host, by Docker's rule: it has a dot or a port, or is localhost."""
        host, slash, _ = self.name.partition("/")
        return bool(slash) and ("." in host or ":" in host or host == "localhost")

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """Parses a reference. Raises ValueError with a sentence when it is none."""
    match = _GRAMMAR.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not an image reference; write NAME, NAME:TAG or NAME@sha256:DIGEST.")
    return Reference(match["name"], match["tag"] or DEFAULT_TAG, match["digest"] or "")
