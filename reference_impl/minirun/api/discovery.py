"""What the API offers: /version, /api, /apis and each group's resources, from the table of kinds.

The two roots have two forms, which a client chooses by its Accept header: a list of versions, after which it
asks for each version's resources, or everything at once (aggregated). The core group comes first, so that
`services` alone means core/v1's. Counterpart: kube-apiserver's discovery.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from minirun.api.requests import JSON, accepted
from minirun.api.reviews import REVIEWS
from minirun.model.resources import KINDS, Kind

READ: Final = ("get", "list")
WRITE: Final = ("create", "delete", "patch", "update")
VERSION: Final = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4+minirun",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
OFFERED: Final = (*KINDS, *REVIEWS)
AGGREGATED_VERSIONS: Final = ("v2", "v2beta1")


class Discovery:
    """The documents, encoded once. `documents`: address → body of those with one form."""

    def __init__(self) -> None:
        versions = dict.fromkeys(kind.api_version for kind in OFFERED)  # in order, each once
        groups: dict[str, list[str]] = {}
        for version in versions:
            groups.setdefault(version.rpartition("/")[0], []).append(version)
        core = groups.pop("")
        listed = {group: _group(group, members) for group, members in groups.items()}
        client = {"clientCIDR": "0.0.0.0/0", "serverAddress": ""}
        roots: dict[str, dict[str, object]] = {
            "/api": {"kind": "APIVersions", "versions": core, "serverAddressByClientCIDRs": [client]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(listed.values())},
        }
        head = {"kind": "APIGroup", "apiVersion": "v1"}
        documents = {
            "/version": dict(VERSION),
            **{f"/apis/{group}": head | body for group, body in listed.items()},
            **{
                f"/apis/{version}" if "/" in version else f"/api/{version}": _legacy(version)
                for version in versions
            },
        }
        self.documents = {path: msgspec.json.encode(body) for path, body in documents.items()}
        self._roots = {path: msgspec.json.encode(body) for path, body in roots.items()}
        self._aggregated = {"/api": {"": core}, "/apis": groups}

    def root(self, path: str, accept: str) -> tuple[str, bytes]:
        """Media type and body of `/api` or `/apis` in the first form in `accept` that there is."""
        for media_type, asked in accepted(accept):
            if asked.get("as") == "APIGroupDiscoveryList" and asked.get("v") in AGGREGATED_VERSIONS:
                body = _aggregate(self._aggregated[path], asked["v"])
                kind = f"g=apidiscovery.k8s.io;v={asked['v']};as=APIGroupDiscoveryList"
                return f"{media_type};{kind}", msgspec.json.encode(body)
        return JSON, self._roots[path]


def _group(group: str, versions: list[str]) -> dict[str, object]:
    members = [{"groupVersion": version, "version": version.rpartition("/")[2]} for version in versions]
    return {"name": group, "versions": members, "preferredVersion": members[0]}


def _verbs(kind: Kind) -> list[str]:
    if kind in REVIEWS:
        return ["create"]
    read = READ + ("watch",) * kind.watched
    if kind.read_only:
        return sorted(read + ("delete",) * kind.deletable)
    return sorted(read + WRITE + ("deletecollection",) * kind.namespaced)


def _of(group_version: str) -> list[Kind]:
    return [kind for kind in OFFERED if kind.api_version == group_version]


def _legacy(group_version: str) -> dict[str, object]:
    """A version's APIResourceList."""
    resources: list[dict[str, object]] = []
    for kind in _of(group_version):
        common = {"namespaced": kind.namespaced, "kind": kind.kind}
        names = {"name": kind.plural, "singularName": kind.singular}
        resources.append({**names, **common, "verbs": _verbs(kind), **_more(kind)})
        for name, verbs in kind.subresources.items():
            names = {"name": f"{kind.plural}/{name}", "singularName": ""}
            resources.append({**names, **common, "verbs": verbs})
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return head | {"resources": resources}


def _aggregate(groups: Mapping[str, list[str]], version: str) -> dict[str, object]:
    """An APIGroupDiscoveryList of some groups with all of their versions and resources."""
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [
                {
                    "version": member.rpartition("/")[2],
                    "freshness": "Current",
                    "resources": list(map(_resource, _of(member))),
                }
                for member in members
            ],
        }
        for group, members in groups.items()
    ]
    api_version = f"apidiscovery.k8s.io/{version}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _resource(kind: Kind) -> dict[str, object]:
    response = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    below = [
        {"subresource": name, "responseKind": response, "verbs": verbs}
        for name, verbs in kind.subresources.items()
    ]
    return {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
        **_more(kind),
        **({"subresources": below} if below else {}),
    }


def _more(kind: Kind) -> dict[str, object]:
    """What a resource has in both forms, where it has it."""
    more = {"shortNames": kind.short_names, "categories": kind.categories}
    return {name: values for name, values in more.items() if values}
