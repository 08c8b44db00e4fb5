"""What stands for a Route: Services under its names, its Ingress, and domains of the users' own."""

from controlworld import NS, World, play

from minirun.model.labels import ROUTE
from minirun.model.meta import ObjectMeta, replace, with_meta
from minirun.model.resources import (
    ClusterDomainClaim,
    ClusterDomainClaimSpec,
    CoreService,
    DomainMapping,
    DomainMappingSpec,
    Ingress,
    ObjectReference,
    Service,
    TrafficTarget,
)
from minirun.store.store import edit

DOMAIN = "shop.example.com"


def tagged(*tags: str) -> list[TrafficTarget]:
    named = [TrafficTarget(tag=tag, revision_name="hello-00001", latest_revision=False) for tag in tags]
    return [TrafficTarget(latest_revision=True, percent=100), *named]


def map_domain(world: World, ref: str = "hello", namespace: str = NS, kind: str = "Service") -> DomainMapping:
    reference = ObjectReference(api_version="serving.knative.dev/v1", kind=kind, name=ref)
    meta = ObjectMeta(name=DOMAIN, namespace=namespace)
    return world.store.create(DomainMapping(metadata=meta, spec=DomainMappingSpec(ref=reference)))


def mapping(world: World, namespace: str = NS) -> DomainMapping:
    return world.store.get(DomainMapping, namespace, DOMAIN)


def verdicts(found: DomainMapping) -> dict[str, str]:
    return {c.type: c.status for c in found.status.conditions}


def names_of_services(world: World) -> list[str]:
    return [service.metadata.name for service in world.store.select(CoreService, NS)]


def test_a_route_and_its_tags_have_services_that_lead_to_the_gateway() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello", labels={"team": "a"}, own={"note": "x"})
        service = await world.until_ready("hello")
        world.deploy("hello", traffic=tagged("blue", "green"), labels={"team": "b"})
        await world.until(lambda: len(names_of_services(world)) == 3)
        await world.until_ready("hello")
        assert names_of_services(world) == ["blue-hello", "green-hello", "hello"]
        own = world.store.get(CoreService, NS, "hello")
        assert (own.spec.type, own.spec.external_name) == (
            "ExternalName",
            "istio-ingressgateway.istio-system.svc.cluster.local",
        )
        labels = own.metadata.labels
        assert (labels[ROUTE], labels["serving.knative.dev/service"], labels["team"]) == (
            "hello",
            "hello",
            "b",
        )
        assert own.metadata.annotations["note"] == "x", (
            "what a Service no longer has stays on its placeholder"
        )
        assert "note" not in world.route("hello").metadata.annotations
        world.deploy("hello", traffic=tagged("blue"))
        await world.until(lambda: names_of_services(world) == ["blue-hello", "hello"])
        world.store.delete(CoreService, NS, "hello")
        await world.until(lambda: names_of_services(world) == ["blue-hello", "hello"])
        world.store.delete(Service, NS, service.metadata.name)
        await world.until(lambda: not names_of_services(world))
        assert not world.store.select(Ingress)

    play(scene)


def test_a_service_of_somebody_else_is_in_the_way() -> None:
    async def scene(world: World) -> None:
        world.store.create(CoreService(metadata=ObjectMeta(name="hello", namespace=NS)))
        world.deploy("hello")
        await world.until(lambda: world.verdict("hello") == "False")
        seen = world.condition(world.route("hello"), "IngressReady")
        assert (seen.reason, seen.message) == (
            "NotOwned",
            'There is an existing placeholder Service "hello" that we do not own.',
        )
        world.store.delete(CoreService, NS, "hello")
        world.deploy("hello", labels={"again": "1"})
        await world.until_ready("hello")

    play(scene)


def test_the_ingress_says_what_is_programmed() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        ingress = world.store.get(Ingress, NS, "hello")
        inside, outside = ingress.spec.rules
        assert inside.hosts == ["hello.default", "hello.default.svc", "hello.default.svc.cluster.local"]
        assert (outside.hosts, outside.visibility) == (["hello.default.localhost"], "ExternalIP")
        (split,) = outside.http.paths[0].splits
        assert (split.service_name, split.percent) == ("hello-00001", 100)
        assert world.condition(ingress).status == "True"

    play(scene)


def test_a_domain_leads_to_its_service_wherever_that_goes() -> None:
    async def scene(world: World) -> None:
        map_domain(world)
        await world.settle()
        seen = world.condition(mapping(world), "ReferenceResolved")
        assert (seen.status, seen.reason) == ("False", "ResolveFailed")
        assert seen.message == 'services.serving.knative.dev "hello" not found'
        assert world.revision_for(DOMAIN) is None
        world.deploy("hello")
        await world.until(lambda: verdicts(mapping(world))["Ready"] == "True")
        await world.until_ready("hello")
        assert set(verdicts(mapping(world)).values()) == {"True"}
        assert mapping(world).status.url == f"http://{DOMAIN}:8080"
        assert await world.request(f"{DOMAIN.upper()}:8080") == "hello-00001"
        world.deploy("hello", env="2")
        await world.until(lambda: world.revision_for(DOMAIN) == "hello-00002")
        world.store.delete(DomainMapping, NS, DOMAIN)
        await world.settle()
        assert world.revision_for(DOMAIN) is None

    play(scene)


def test_a_domain_belongs_to_the_oldest_mapping_of_it() -> None:
    async def scene(world: World) -> None:
        world.deploy("hello")
        await world.until_ready("hello")
        map_domain(world)
        await world.settle()
        map_domain(world, namespace="other")
        await world.settle()
        seen = world.condition(mapping(world, "other"), "DomainClaimed")
        assert (seen.status, seen.reason) == ("False", "DomainAlreadyClaimed")
        assert world.revision_for(DOMAIN) == "hello-00001"
        world.store.delete(DomainMapping, NS, DOMAIN)
        await world.settle()
        assert verdicts(mapping(world, "other"))["DomainClaimed"] == "True"
        assert verdicts(mapping(world, "other"))["ReferenceResolved"] == "False"
        assert world.revision_for(DOMAIN) is None

    play(scene)


def test_a_domain_can_stand_for_a_route_and_change_its_mind() -> None:
    async def scene(world: World) -> None:
        for name in ("hello", "other"):
            world.deploy(name)
            await world.until_ready(name)
        map_domain(world, kind="Route")
        await world.settle()
        assert world.revision_for(DOMAIN) == "hello-00001"
        found = mapping(world)
        ref = replace(found.spec.ref, name="other")
        world.store.update(with_meta(replace(found, spec=replace(found.spec, ref=ref)), labels={"a": "b"}))
        await world.settle()
        assert world.revision_for(DOMAIN) == "other-00001"

    play(scene)


def claim(world: World, namespace: str = NS) -> ClusterDomainClaim:
    spec = ClusterDomainClaimSpec(namespace=namespace)
    return world.store.create(ClusterDomainClaim(metadata=ObjectMeta(name=DOMAIN), spec=spec))


def test_a_mapping_makes_the_claim_of_a_domain_that_nobody_has_and_takes_it_along() -> None:
    async def scene(world: World) -> None:
        made = map_domain(world)
        await world.settle()
        found = world.store.get(ClusterDomainClaim, "", DOMAIN)
        assert found.spec.namespace == NS
        assert found.metadata.owner_references == [made.owner_reference()]
        world.store.delete(DomainMapping, NS, DOMAIN)
        await world.settle()
        assert not world.store.select(ClusterDomainClaim)

    play(scene)


def test_where_mappings_may_not_claim_an_administrator_decides_who_has_a_domain() -> None:
    async def scene(world: World) -> None:
        world.settings("config-network", autocreate_cluster_domain_claims="false")
        world.deploy("hello")
        await world.until_ready("hello")
        map_domain(world)
        await world.settle()
        seen = world.condition(mapping(world), "DomainClaimed")
        assert (seen.status, seen.reason, seen.message) == (
            "False",
            "DomainAlreadyClaimed",
            "The domain name is already in use by another DomainMapping",
        )
        assert not world.store.select(ClusterDomainClaim)
        theirs = claim(world, "other")
        await world.settle()
        assert verdicts(mapping(world))["Ready"] == "False"
        assert world.revision_for(DOMAIN) is None
        ours = edit(world.store, theirs, spec=ClusterDomainClaimSpec(namespace=NS))
        await world.settle()
        assert verdicts(mapping(world))["Ready"] == "True"
        assert world.revision_for(DOMAIN) == "hello-00001"
        edit(world.store, ours, spec=ClusterDomainClaimSpec(namespace="other"))
        await world.settle()
        assert verdicts(mapping(world))["DomainClaimed"] == "False"
        assert world.revision_for(DOMAIN) is None

    play(scene)


def test_a_claim_that_was_made_by_hand_outlives_its_mapping() -> None:
    async def scene(world: World) -> None:
        claim(world)
        map_domain(world)
        await world.settle()
        world.store.delete(DomainMapping, NS, DOMAIN)
        await world.settle()
        assert world.store.find(ClusterDomainClaim, "", DOMAIN) is not None

    play(scene)
