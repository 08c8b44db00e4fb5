"""Questions about oneself: who am I, and may I do this? Created, answered, and not kept.

Whoever gets past the guard may do everything, as the owner of the machine may. Counterparts: kube-apiserver's
SelfSubjectReview (`kubectl auth whoami`) and SelfSubjectAccessReview (`kubectl auth can-i`).
"""

from typing import Final

import msgspec

from minirun.api.status import invalid
from minirun.model.decoding import DecodingError, decode
from minirun.model.meta import Part, Resource, replace
from minirun.model.resources import Kind

GROUPS: Final = ["system:masters", "system:authenticated"]


class UserInfo(Part, frozen=True):
    username: str = ""
    groups: list[str] = []


class SelfSubjectReviewStatus(Part, frozen=True):
    user_info: UserInfo = UserInfo()


class SelfSubjectReview(Resource, frozen=True):
    """Who sends the request."""

    api_version: str = "authentication.k8s.io/v1"
    kind: str = "SelfSubjectReview"
    status: SelfSubjectReviewStatus = SelfSubjectReviewStatus()


class SelfSubjectReviewBeta(SelfSubjectReview, frozen=True):
    """The same, as kubectl 1.27 asks."""

    api_version: str = "authentication.k8s.io/v1beta1"


class ResourceAttributes(Part, frozen=True):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class NonResourceAttributes(Part, frozen=True):
    path: str = ""
    verb: str = ""


class SelfSubjectAccessReviewSpec(Part, frozen=True):
    """What one wants to do, with objects or with a path."""

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class AccessReviewStatus(msgspec.Struct, frozen=True, rename="camel"):
    allowed: bool = False
    reason: str = ""


class SelfSubjectAccessReview(Resource, frozen=True):
    """Whether the sender may do something."""

    api_version: str = "authorization.k8s.io/v1"
    kind: str = "SelfSubjectAccessReview"
    spec: SelfSubjectAccessReviewSpec = SelfSubjectAccessReviewSpec()
    status: AccessReviewStatus = AccessReviewStatus()


REVIEWS: Final = (
    Kind(SelfSubjectReview, "selfsubjectreviews", namespaced=False),
    Kind(SelfSubjectReviewBeta, "selfsubjectreviews", namespaced=False),
    Kind(SelfSubjectAccessReview, "selfsubjectaccessreviews", namespaced=False),
)


def answer(kind: Kind, document: dict[str, object], user: str) -> Resource:
    """The review in a document with its answer for `user`. Raises StatusError (422)."""
    try:
        review = decode(document, kind.type).resource
    except DecodingError as error:
        raise invalid(kind, "", [str(error)]) from None
    status: object = SelfSubjectReviewStatus(user_info=UserInfo(username=user, groups=GROUPS))
    if isinstance(review, SelfSubjectAccessReview):
        status = AccessReviewStatus(True, "whoever may use this API may do everything")
        given = review.spec.resource_attributes, review.spec.non_resource_attributes
        if sum(each is not None for each in given) != 1:
            why = (
                "spec: Invalid value: exactly one of resourceAttributes and nonResourceAttributes must be set"
            )
            raise invalid(kind, "", [why])
    return replace(review, status=status)
