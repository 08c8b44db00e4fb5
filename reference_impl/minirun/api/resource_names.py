"""Resource names of Google's APIs (`projects/P/locations/R/services/NAME`), and pages of what is listed.

Counterpart: google.aip.dev/122 and /158.
"""

import base64
import re
from operator import itemgetter
from typing import Final, NamedTuple

from minirun.api.mapping import Document
from minirun.api.status import StatusError
from minirun.model.names import LABEL_1123, objections
from minirun.model.regions import REGIONS, Place

PAGE_MAX: Final = 1000
_NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)((?:/[^/]+)*)")


class Name(NamedTuple):
    """A resource name in its parts: collections and names take turns in `path`."""

    project: str
    region: str
    path: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Raises StatusError, as `find_place` does."""
        return find_place(self.project, self.region)

    @property
    def parent(self) -> str:
        """`projects/P/locations/R`."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def collections(self) -> str:
        """`jobs/executions` of an execution, and of all executions of a job."""
        return "/".join(self.path[::2])

    @property
    def name(self) -> str:
        """The last part."""
        return self.path[-1] if self.path else ""


def parse_name(text: object) -> Name:
    """Raises StatusError (400)."""
    match = _NAME.fullmatch(str(text))
    if match is None:
        raise StatusError(400, f"'{text}' is no resource name like projects/P/locations/R/services/NAME")
    project, region, rest = match.groups()
    return Name(project, region, tuple(rest.split("/")[1:]))


def find_place(project: str, region: str) -> Place:
    """Raises StatusError: there is no such region (404), or no project can be called that (403)."""
    if region not in REGIONS:
        raise StatusError(404, f"Location {region} is not found or access is unauthorized.")
    place = Place(project, region)
    if objections(LABEL_1123, place.namespace):
        raise StatusError(403, f"Permission denied on resource project {project}: no project has this name.")
    return place


def violation(field: str, text: str) -> StatusError:
    """One field of a request is wrong."""
    return StatusError(400, "The request has errors", violations=[(field, text)])


def page_of(collection: str, found: list[Document], message: Document) -> Document:
    """One page of what was found, in the order of names, and the token of the next one.

    Args:
        collection: the member of the answer that has the page.
        message: a request with `pageSize` and `pageToken`.

    Raises:
        StatusError (400): the token or the size is none.
    """
    size, token = message.get("pageSize", 0), message.get("pageToken", "")
    try:
        after = base64.b64decode(token, b"-_", validate=True).decode()
    except ValueError:
        raise violation("pageToken", "It is not one that this server gave; list from the start.") from None
    if size < 0:
        raise violation("pageSize", f"{size} is given; it must be 0 or more.")
    rest = sorted((item for item in found if item["name"] > after), key=itemgetter("name"))
    page = rest[: min(size or PAGE_MAX, PAGE_MAX)]
    if len(page) == len(rest):
        return {collection: page}
    return {collection: page, "nextPageToken": base64.urlsafe_b64encode(page[-1]["name"].encode()).decode()}
