"""What a write passes through before the store: decoding, defaults, and the rules of Kubernetes and Knative.

Counterparts: kube-apiserver's field validation and name checks (422), and Knative's admission webhooks for
resources and for ConfigMaps (400). What they depend on is read from the store at each write: the ConfigMaps
of `knative-serving`, and the profile of the object's namespace.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple, cast

from minirun.api.requests import USER, Target
from minirun.api.status import StatusError, denied, invalid, not_found, terminating
from minirun.autoscaling.annotations import check_annotations
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.model.core_validation import check_core, check_times
from minirun.model.decoding import DecodingError, UnknownField, decode
from minirun.model.defaults import set_defaults
from minirun.model.field_errors import FieldError, describe
from minirun.model.meta import Resource, replace, with_meta
from minirun.model.names import check_metadata
from minirun.model.profiles import Profile, profile_of
from minirun.model.resources import KIND_OF, ConfigMap, Configuration, Kind, Namespace, Service
from minirun.model.settings import CONFIG_MAPS, SYSTEM_NAMESPACE, DefaultsSettings, FeaturesSettings
from minirun.model.validation import FORBIDDEN, Rules, validate
from minirun.store.store import Store

CONFIG_PARSERS: Final = {name: type_.parse for name, type_ in CONFIG_MAPS.items()} | {
    "config-autoscaler": AutoscalerSettings.from_config_map
}


class Admitted(NamedTuple):
    """An object that may be stored, and what to warn its writer of."""

    resource: Resource
    warnings: list[str]


def admit(
    store: Store,
    target: Target,
    document: dict[str, object],
    old: Resource | None,
    field_validation: str,
    duplicates: Iterable[str] = (),
    user: str = USER,
) -> Admitted:
    """The resource in a document, complete.

    Args:
        store: gives the settings and the namespace.
        target: what the address names; an empty name leaves the document's.
        document: what the client wants to be stored.
        old: what is stored; a write of it keeps its status, a write of `/status` all else. None on create.
        field_validation: Strict refuses unknown fields, Warn (and empty) warns, Ignore drops them.
        duplicates: the paths of members that the client's text had twice.
        user: who writes.

    Raises:
        StatusError
    """
    kind, (namespace, name) = target.kind, target.key
    said = document.get("apiVersion") or kind.api_version, document.get("kind") or kind.kind
    if said != (kind.api_version, kind.kind):
        raise StatusError(
            400,
            f"the object in the body is {said[0]}, Kind={said[1]}; "
            f"this address takes {kind.api_version}, Kind={kind.kind}",
        )
    try:
        new, unknown = decode(document, kind.type, without="spec" if target.subresource else "status")
    except DecodingError as error:
        raise invalid(kind, name, [str(error)]) from None
    warnings = _field_errors(kind, unknown, duplicates, field_validation)
    new = _placed(new, namespace, name)
    if wrong := [*check_times(new)]:
        raise invalid(kind, name, wrong)
    if target.subresource:
        status, version = getattr(new, target.subresource), new.metadata.resource_version
        kept = with_meta(cast("Resource", old), resource_version=version)
        return Admitted(replace(kept, **{target.subresource: status}), warnings)
    if old is not None and hasattr(old, "status"):
        new = replace(new, status=old.status)
    return Admitted(_checked(store, target, new, old, unknown, user), warnings)


def ensure_open(store: Store, target: Target) -> None:
    """Lets a new object into its namespace. Raises StatusError: it is not there (404) or is going (403)."""
    namespace = target.namespace
    if not target.kind.namespaced:
        return
    found = _namespace_of(store, target)
    if found is None:
        raise not_found(KIND_OF[Namespace], namespace or "")
    if found.metadata.deletion_timestamp:
        raise terminating(target.kind, target.name, namespace or "")


def _namespace_of(store: Store, target: Target) -> Namespace | None:
    return store.find(Namespace, "", target.namespace or "") or target.opens


def _placed(new: Resource, namespace: str, name: str) -> Resource:
    """The object under the name and the namespace of its address, which it may repeat."""
    meta = new.metadata
    if meta.namespace not in ("", namespace):
        raise StatusError(
            400,
            f"the namespace of the provided object ({meta.namespace}) does not match "
            f"the namespace sent on the request ({namespace})",
        )
    if name and meta.name not in ("", name):
        raise StatusError(
            400, f"the name of the object ({meta.name}) does not match the name on the URL ({name})"
        )
    return with_meta(new, namespace=namespace, name=meta.name or name)


def _checked(
    store: Store, target: Target, new: Resource, old: Resource | None, unknown: list[UnknownField], user: str
) -> Resource:
    """The object with its defaults, when no rule is against it."""

    def config(name: str) -> Mapping[str, str]:
        found = store.find(ConfigMap, SYSTEM_NAMESPACE, name)
        return found.data if found else {}

    profile = profile_of(_namespace_of(store, target))
    settings = profile.defaults_settings(DefaultsSettings.parse(config("config-defaults")))
    new = set_defaults(_completed(new, profile), old, settings, user, profile.signs_metadata)
    if wrong := [*check_metadata(target.kind, new.metadata), *check_core(new, old)]:
        raise invalid(target.kind, new.metadata.name, wrong)
    autoscaler = AutoscalerSettings.from_config_map(config("config-autoscaler"))
    features = FeaturesSettings.parse(config("config-features"))
    pod_fields = features.pod_fields | profile.pod_fields
    rules = Rules(
        settings,
        partial(check_annotations, settings=autoscaler),
        pod_fields,
        check_template=profile.check,
        email_accounts=profile.email_accounts,
        signs_metadata=profile.signs_metadata,
    )
    if errors := validate(new, old, rules, unknown):
        raise refusal(errors)
    if isinstance(new, ConfigMap) and new.metadata.namespace == SYSTEM_NAMESPACE:
        try:
            if parse := CONFIG_PARSERS.get(new.metadata.name):
                parse(new.data)
        except ValueError as error:
            raise denied("config.webhook.serving.knative.dev", str(error)) from None
    return new


def refusal(errors: list[FieldError]) -> StatusError:
    """What is said of an object with such errors."""
    fields = [(path, " ".join((e.message, e.details)).strip()) for e in errors for path in e.paths]
    return denied("validation.webhook.serving.knative.dev", describe(errors), fields)


def _completed(new: Resource, profile: Profile) -> Resource:
    """The object with what the profile fills into templates of revisions."""
    if not isinstance(new, (Service, Configuration)):
        return new
    template = profile.complete(new.spec.template, new.metadata.namespace)
    return replace(new, spec=replace(new.spec, template=template))


def _field_errors(
    kind: Kind, unknown: list[UnknownField], duplicates: Iterable[str], field_validation: str
) -> list[str]:
    """The warnings about fields that nobody knows, or that are there twice.

    Those that are known and forbidden have a rule instead.
    """
    texts = [f'duplicate field "{path}"' for path in duplicates]
    texts += [f'unknown field "{u.path}"' for u in unknown if u.name not in FORBIDDEN.get(u.owner, ())]
    if texts and field_validation == "Strict":
        version = kind.api_version.rpartition("/")[2]
        raise StatusError(
            400,
            f'{kind.kind} in version "{version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {', '.join(texts)}",
        )
    return [] if field_validation == "Ignore" else texts
