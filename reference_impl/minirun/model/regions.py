"""Projects and regions of Cloud Run, and the namespaces that stand for them.

Project `P` in the home region is namespace `P`; in another region `R` it is `P--R`. The address of a Service
is `NAME-HASH-CODE`, where HASH comes from the project and CODE from the region, as in Cloud Run's
`hello-4b2xk3lmnq-uc.a.run.app`; here under `a.run.localhost`.
"""

import hashlib
from typing import Final, NamedTuple

HOME_REGION: Final = "us-central1"
DATA_DOMAINS: Final = ("a.run.localhost", "a.run.app")
"""Where Services answer; the first one is shown."""

# The code of each region in run.app addresses, as deployed services show it.
REGIONS: Final = {
    "africa-south1": "bq",
    "asia-east1": "de",
    "asia-east2": "df",
    "asia-northeast1": "an",
    "asia-northeast2": "dt",
    "asia-northeast3": "du",
    "asia-south1": "el",
    "asia-south2": "em",
    "asia-southeast1": "as",
    "asia-southeast2": "et",
    "australia-southeast1": "ts",
    "australia-southeast2": "km",
    "europe-central2": "lm",
    "europe-north1": "lz",
    "europe-southwest1": "no",
    "europe-west1": "ew",
    "europe-west2": "nw",
    "europe-west3": "ey",
    "europe-west4": "ez",
    "europe-west6": "oa",
    "europe-west8": "oc",
    "europe-west9": "od",
    "europe-west10": "oe",
    "europe-west12": "og",
    "me-central1": "ww",
    "me-west1": "zf",
    "northamerica-northeast1": "nn",
    "northamerica-northeast2": "pd",
    "southamerica-east1": "rj",
    "southamerica-west1": "tl",
    "us-central1": "uc",
    "us-east1": "ue",
    "us-east4": "uk",
    "us-east5": "ul",
    "us-south1": "vp",
    "us-west1": "uw",
    "us-west2": "wl",
    "us-west3": "wm",
    "us-west4": "wn",
}


class Place(NamedTuple):
    """A project in a region."""

    project: str
    region: str

    @property
    def namespace(self) -> str:
        return self.project if self.region == HOME_REGION else f"{self.project}--{self.region}"

    @property
    def parent(self) -> str:
        """`projects/P/locations/R`."""
        return f"projects/{self.project}/locations/{self.region}"


def place_of(namespace: str) -> Place:
    """The project and region that a namespace stands for; one that names no region is of the home region."""
    project, _, region = namespace.rpartition("--")
    return Place(project, region) if project and region in REGIONS else Place(namespace, HOME_REGION)


def project_number(project: str) -> int:
    """The number of a project, twelve digits that follow from its id."""
    return 10**11 + int(hashlib.sha256(project.encode()).hexdigest()[:12], 16) % (9 * 10**11)


def host_label(name: str, place: Place, tag: str = "") -> str:
    """The first label of a Service's host, or of the host of one of its tags: `[TAG---]NAME-HASH-CODE`."""
    digest = hashlib.sha256(place.project.encode()).hexdigest()[:10]
    label = f"{name}-{digest}-{REGIONS[place.region]}"
    return f"{tag}---{label}" if tag else label
