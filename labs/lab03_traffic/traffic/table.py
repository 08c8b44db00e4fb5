# Your part of minirun, lab 3. `lab check 3` says how far it is.
"""Host name -> route: which revisions may serve a request, looked up once per request.

Each route answers on its public host `NAME.NAMESPACE.DOMAIN` and, inside, on `NAME.NAMESPACE`, `.svc` and
`.svc.cluster.local`; each tag on the same hosts with `TAG-NAME`. Counterparts in knative/serving: the hosts
of a Route's KIngress (pkg/reconciler/route/resources/ingress.go) and the header `Knative-Serving-Tag`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from minirun.traffic.split import TrafficSplit

CLUSTER_SUFFIXES = ("", ".svc", ".svc.cluster.local")
CACHED_HOSTS = 4096

Targets = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True, eq=False)
class RouteEntry:
    """One route. Its tags' matches are here too, for the header that selects one."""

    namespace: str
    name: str
    tags: dict[str, "Match"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """What a host stands for: a route or one of its tags, and where its requests go: `match.split.pick()`.

    `rewrite_host`, if any, is the route's own host, which instances see instead of one of the user's own.
    """

    entry: RouteEntry
    tag: str
    split: TrafficSplit
    rewrite_host: str = ""


def normalise_host(host: str) -> str:
    """The host of a `Host` header in lower case, without port and trailing dot."""
    # TODO(you): about 5 lines
    raise NotImplementedError("task 3.1")


def hosts_of(namespace: str, name: str, tag: str, domain: str | None) -> list[str]:
    """The hosts that a route, or one of its tags, wants, in lower case.

    Args:
        tag: empty for the route itself.
        domain: what its public host ends in; None if it answers inside only.
    """
    # TODO(you): about 3 lines
    raise NotImplementedError("task 3.1")


def first_claim(claims: Sequence[Match]) -> Match:
    """Who gets a host that several want, in whatever order they came.

    c's tag a-b and b-c's tag a want the same host as a route a-b-c, which has the first right to it; tags
    come after it, by the namespaces and names of their routes.
    """
    # TODO(you): about 1 line
    raise NotImplementedError("task 3.1")


def selected(match: Match, tag: str) -> Match:
    """What a request with the header `Knative-Serving-Tag: TAG` to a host of `match` is for.

    Only the route's own hosts listen to the header; a tag that the route has not is ignored, as in Knative.
    """
    # TODO(you): about 1 line
    raise NotImplementedError("task 3.1")


class RouteTable:
    """The routes of all namespaces.

    Args:
        domain: what public hosts end in, from ConfigMap config-domain.
    """

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._claims: dict[str, list[Match]] = {}  # by host
        self._hosts: dict[tuple[str, str], dict[str, Match]] = {}  # by route
        self._aliases: dict[str, tuple[str, str]] = {}  # hosts of the users' own, and their routes
        self._cache: dict[str, Match] = {}  # by the host as clients spell it

    def lookup(self, host: str, tag: str | None = None) -> Match | None:
        """What `host` stands for, or None.

        Args:
            host: the request's `Host` header as it came.
            tag: its `Knative-Serving-Tag` header.
        """
        match = self._cache.get(host) or self._find(host)
        return selected(match, tag) if tag and match is not None else match

    def set_route(
        self,
        namespace: str,
        name: str,
        traffic: Targets,
        tags: Mapping[str, Targets] | None = None,
        *,
        cluster_local: bool = False,
        domain: str | None = None,
        aliases: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Add or replace a route; a split that did not change goes on where it was.

        Args:
            traffic: (revision, percent) of the route's own hosts; no host of its own if it has no percent.
            tags: the same for each tag.
            cluster_local: answer on the cluster's hosts only (label networking.knative.dev/visibility).
            domain: instead of the table's, for this route.
            aliases: more hosts, by tag; those of the route itself under an empty tag.
        """
        old = {match.tag: match.split for match in self._hosts.get((namespace, name), {}).values()}
        self.remove_route(namespace, name)
        entry = RouteEntry(namespace, name)
        claimed = self._hosts[namespace, name] = {}
        public = None if cluster_local else domain or self._domain
        for tag, targets in {"": traffic, **(tags or {})}.items():
            if not any(percent for _, percent in targets):
                continue
            split = old.get(tag)
            if split is None or split.targets != tuple(targets):
                split = TrafficSplit(targets, previous=split)
            match = Match(entry, tag, split)
            if tag:
                entry.tags[tag] = match
            hosts = hosts_of(namespace, name, tag, public)
            claimed |= dict.fromkeys((*hosts, *(aliases or {}).get(tag, ())), match)
        for host, match in claimed.items():
            self._claims.setdefault(host, []).append(match)

    def set_alias(self, host: str, route: tuple[str, str] | None) -> None:
        """Makes `host` one more host of the route (namespace, name), whenever that is there; None ends it."""
        self._aliases.pop(host, None)
        if route is not None:
            self._aliases[host] = route
        self._cache.clear()

    def remove_route(self, namespace: str, name: str) -> None:
        """Forget a route, known or not."""
        for host, match in self._hosts.pop((namespace, name), {}).items():
            self._claims[host].remove(match)
            if not self._claims[host]:
                del self._claims[host]
        self._cache.clear()

    def _find(self, host: str) -> Match | None:
        name = normalise_host(host)
        claims = self._claims.get(name)
        if claims is None:
            namespace, route = self._aliases.get(name, ("", ""))
            inside = f"{route}.{namespace}{CLUSTER_SUFFIXES[-1]}"
            of_alias = self._hosts.get((namespace, route), {}).values()
            claims = [replace(match, rewrite_host=inside) for match in of_alias if not match.tag][:1]
        if not claims:
            return None
        if len(self._cache) >= CACHED_HOSTS:  # spellings are the clients' choice: bound them
            self._cache.clear()
        match = self._cache[host] = first_claim(claims)
        return match
