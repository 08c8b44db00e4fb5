"""Cloud Run's v2 API over gRPC: the functions of `api/cloudrun_v2.py` behind the client library's messages.

A table names each method, its messages and its function; messages become the documents that REST has, and
back. It needs the extra `gcp` (google-cloud-run, grpcio), is imported only for `minirun up --grpc`, and
speaks plain text. Counterpart: run.googleapis.com over gRPC.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import grpc
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from google.protobuf.message import Message

from minirun.api.cloudrun_v2 import COLLECTIONS, CloudRunV2, mask_of, paged, parse_name
from minirun.api.google import canonical, error_body
from minirun.api.iam import IAM
from minirun.api.mapping import Document
from minirun.api.rest_v2 import WAIT_MAX_SECONDS
from minirun.api.status import StatusError

STOP_SECONDS: Final = 0.3
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class Method(NamedTuple):
    """One method: classes of its messages (protobuf's own), and what it does with a request's document."""

    request: type[Message]
    response: type[Message]
    call: Callable[[Document], Awaitable[Document]]


Call = Callable[[Document], Awaitable[Document]]


def methods(api: CloudRunV2) -> dict[str, Method]:
    """All methods by their full names: what the client library has messages for."""
    found = _operation_methods(api)
    for path, row in COLLECTIONS.items():
        kind, plural = row.message, path.rpartition("/")[2]
        operation, reads = operations_pb2.Operation, _reads(api, plural)
        calls: dict[str, tuple[Call, type[Message]]] = {
            f"Get{kind}": (reads[0], _message(kind)),
            f"List{kind}s": (reads[1], _message(f"List{kind}sResponse")),
        } | {verb + kind: (call, operation) for verb, call in _writes(api, plural, kind.lower()).items()}
        for verb, (call, answer) in calls.items():
            if hasattr(run_v2, f"{verb}Request"):
                method = Method(_message(f"{verb}Request"), answer, call)
                found[f"/google.cloud.run.v2.{kind}s/{verb}"] = method
    return found


def _message(name: str) -> type[Message]:
    """Protobuf's own class of a message of the client library, which may have none: Empty."""
    wrapper = getattr(run_v2, name, None)
    found: type[Message] = wrapper.pb() if wrapper else empty_pb2.Empty
    return found


def _reads(api: CloudRunV2, plural: str) -> tuple[Call, Call]:
    async def get(r: Document) -> Document:
        return await api.get(r["name"])

    async def listed(r: Document) -> Document:
        return await api.list(r["parent"], plural, r.get("pageSize", 0), r.get("pageToken", ""))

    return get, listed


def _writes(api: CloudRunV2, plural: str, field: str) -> dict[str, Call]:
    """Verbs that answer with an operation; `field` of a request has the object."""

    async def create(r: Document) -> Document:
        body, tried = r.get(field, {}), r.get("validateOnly", False)
        return await api.create(r["parent"], plural, r.get(f"{field}Id", ""), body, validate_only=tried)

    async def update(r: Document) -> Document:
        body = r.get(field, {})
        return await api.update(
            body.get("name", ""),
            body,
            mask=mask_of(r),
            allow_missing=r.get("allowMissing", False),
            validate_only=r.get("validateOnly", False),
        )

    async def delete(r: Document) -> Document:
        return await api.delete(r["name"], etag=r.get("etag", ""), validate_only=r.get("validateOnly", False))

    def act(action: str) -> Call:
        return lambda r: api.act(r["name"], action, r)

    return {
        "Create": create,
        "Update": update,
        "Delete": delete,
        "Run": act("run"),
        "Cancel": act("cancel"),
    }


def iam_methods(iam: IAM) -> dict[str, Method]:
    """The methods on policies."""

    async def get(r: Document) -> Document:
        return iam.get_policy(r.get("resource", ""))

    async def set_(r: Document) -> Document:
        return iam.set_policy(r.get("resource", ""), r.get("policy"))

    async def test(r: Document) -> Document:
        return iam.test_permissions(r.get("resource", ""), r.get("permissions"))

    pb = iam_policy_pb2
    verbs = {
        "GetIamPolicy": Method(pb.GetIamPolicyRequest, policy_pb2.Policy, get),
        "SetIamPolicy": Method(pb.SetIamPolicyRequest, policy_pb2.Policy, set_),
        "TestIamPermissions": Method(pb.TestIamPermissionsRequest, pb.TestIamPermissionsResponse, test),
    }
    return {
        f"/google.cloud.run.v2.{kind}/{verb}": method
        for kind in ("Services", "Jobs")
        for verb, method in verbs.items()
    }


def _operation_methods(api: CloudRunV2) -> dict[str, Method]:
    operations, kept = "/google.longrunning.Operations/", api.operations

    async def get(r: Document) -> Document:
        parts = parse_name(r["name"])
        return kept.get(parts.place, parts.name)

    async def listed(r: Document) -> Document:
        found = kept.list(parse_name(r["name"].removesuffix("/operations")).place)
        page, token = paged(found, lambda o: str(o["name"]), r.get("pageSize", 0), r.get("pageToken", ""))
        return {"operations": page, "nextPageToken": token}

    async def wait(r: Document) -> Document:
        parts = parse_name(r["name"])
        seconds = float(r.get("timeout", f"{WAIT_MAX_SECONDS}s").removesuffix("s"))
        return await kept.wait(parts.place, parts.name, min(seconds, WAIT_MAX_SECONDS))

    async def delete(r: Document) -> Document:
        parts = parse_name(r["name"])
        kept.delete(parts.place, parts.name)
        return {}

    pb = operations_pb2
    return {
        f"{operations}GetOperation": Method(pb.GetOperationRequest, pb.Operation, get),
        f"{operations}ListOperations": Method(pb.ListOperationsRequest, pb.ListOperationsResponse, listed),
        f"{operations}WaitOperation": Method(pb.WaitOperationRequest, pb.Operation, wait),
        f"{operations}DeleteOperation": Method(pb.DeleteOperationRequest, empty_pb2.Empty, delete),
    }


class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Finds methods in the table; others are UNIMPLEMENTED.

    Args:
        token: as `Guard` has it.
    """

    def __init__(self, table: Mapping[str, Method], token: str) -> None:
        self._table, self._token = table, token

    def service(self, details: Any) -> object:
        method = self._table.get(details.method)
        if method is None:
            return None

        async def unary(request: Message, context: Any) -> Message:
            try:
                self._authenticate(context)
                document = json_format.MessageToDict(request)
                answered = await method.call(document)
            except StatusError as error:
                fields = error_body(error)
                text = str(fields["message"])
                for violation in fields.get("details", []):  # type: ignore[attr-defined]
                    text += "".join(
                        f"\n{f['field']}: {f['description']}" for f in violation["fieldViolations"]
                    )
                await context.abort(_CODES[canonical(error).number], text)
            return json_format.ParseDict(answered, method.response(), ignore_unknown_fields=True)

        return grpc.unary_unary_rpc_method_handler(
            unary,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    def _authenticate(self, context: Any) -> None:
        shown = dict(context.invocation_metadata()).get("authorization", "")
        if self._token and not hmac.compare_digest(shown.encode(), f"Bearer {self._token}".encode()):
            raise StatusError(401, "Unauthorized: send authorization: Bearer TOKEN")


async def serve_grpc(
    api: CloudRunV2, iam: IAM, address: str, token: str = ""
) -> Callable[[], Awaitable[None]]:
    """Serves gRPC in plain text and returns what ends it.

    Args:
        address: HOST:PORT.
        token: what clients must know; empty where only this machine can reach the address.

    Raises:
        OSError: the address can't be listened on.
    """
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(methods(api) | iam_methods(iam), token),))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"--grpc {address} can't be listened on: {error}") from None
    await server.start()

    async def stop() -> None:
        await server.stop(STOP_SECONDS)

    return stop
