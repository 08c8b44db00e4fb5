"""What the API offers: /version, /api, /apis and each group's resources, from the table of kinds.

Counterpart: kube-apiserver's discovery in its older, unaggregated form, which every client understands.
"""

from typing import Final

from minirun.model.resources import KINDS, Kind

READ: Final = ("get", "list", "watch")
WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")
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


def documents() -> dict[str, dict[str, object]]:
    """Address → document."""
    versions = sorted({kind.api_version for kind in KINDS} - {"v1"})
    return {
        "/version": dict(VERSION),
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(v) for v in versions]},
        "/api/v1": _resources("v1"),
        **{f"/apis/{version}": _resources(version) for version in versions},
    }


def _group(group_version: str) -> dict[str, object]:
    group, _, version = group_version.rpartition("/")
    this = {"groupVersion": group_version, "version": version}
    return {"name": group, "versions": [this], "preferredVersion": this}


def _resources(group_version: str) -> dict[str, object]:
    of_version = [_resource(kind) for kind in KINDS if kind.api_version == group_version]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return head | {"resources": of_version}


def _resource(kind: Kind) -> dict[str, object]:
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(READ if kind.read_only else READ + WRITE),
        **({"shortNames": kind.short_names} if kind.short_names else {}),
        **({"categories": kind.categories} if kind.categories else {}),
    }
