"""Cloud Run's v2 API over gRPC: the functions of `api/cloudrun_v2.py` behind the client library's messages.

The methods are those that the client library has messages for; messages become JSON, and back. It needs the
extra `gcp` (google-cloud-run, grpcio), is imported only for `minirun up --grpc`, and speaks plain text.
Counterpart: run.googleapis.com over gRPC.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import grpc
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from google.protobuf.message import Message

from minirun.api.cloudrun_v2 import COLLECTIONS, Asked, CloudRunV2, Collection
from minirun.api.google import canonical, error_body
from minirun.api.guard import Credentials
from minirun.api.iam import IAM
from minirun.api.managed import DEFAULT_CALLER
from minirun.api.mapping import Document
from minirun.api.status import StatusError

STOP_SECONDS: Final = 0.3
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class Method(NamedTuple):
    """One method: classes of its messages (protobuf's own), and what it does with a message of a caller."""

    request: type[Message]
    response: type[Message]
    call: Callable[[Document, str], Awaitable[Document]]


def methods(api: CloudRunV2, iam: IAM) -> dict[str, Method]:
    """All methods by their full names: what the client library has messages for."""
    found: dict[str, Method] = {}
    for row in COLLECTIONS.values():
        for verb, call in api.verbs.items():
            rpc = f"{verb}{row.message}{'s' * (verb == 'List')}"
            if request := _message(f"{rpc}Request"):
                answer = _message({"Get": row.message, "List": f"{rpc}Response"}.get(verb, ""))
                method = Method(request, answer or operations_pb2.Operation, partial(_ask, call, row))
                found[f"/google.cloud.run.v2.{row.message}s/{rpc}"] = method
    for kind in ("Services", "Jobs"):
        for verb, call_iam in iam.verbs.items():
            request = getattr(iam_policy_pb2, f"{verb}Request")
            response = getattr(iam_policy_pb2, f"{verb}Response", policy_pb2.Policy)
            found[f"/google.cloud.run.v2.{kind}/{verb}"] = Method(
                request, response, partial(_anybody, call_iam)
            )
    pb, kept = operations_pb2, api.operations
    for rpc, call_kept, answer_type in (
        ("GetOperation", kept.get, pb.Operation),
        ("ListOperations", kept.list, pb.ListOperationsResponse),
        ("WaitOperation", kept.wait, pb.Operation),
        ("DeleteOperation", kept.delete, empty_pb2.Empty),
    ):
        method = Method(getattr(pb, f"{rpc}Request"), answer_type, partial(_anybody, call_kept))
        found[f"/google.longrunning.Operations/{rpc}"] = method
    return found


def _message(name: str) -> type[Message] | None:
    """Protobuf's own class of a message of the client library, which may have none."""
    wrapper = getattr(run_v2, name, None)
    return wrapper.pb() if wrapper else None


async def _ask(
    call: Callable[[Asked], Awaitable[Document]], row: Collection, message: Document, caller: str
) -> Document:
    return await call(Asked(row, message, caller))


async def _anybody(call: Callable[[Document], Awaitable[Document]], message: Document, _: str) -> Document:
    return await call(message)


class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Finds methods in the table; others are UNIMPLEMENTED."""

    def __init__(self, table: Mapping[str, Method], credentials: Credentials) -> None:
        self._table, self._credentials = table, credentials

    def service(self, details: Any) -> object:
        method = self._table.get(details.method)
        if method is None:
            return None

        async def unary(request: Message, context: Any) -> Message:
            try:
                caller = self._caller(context)
                answered = await method.call(json_format.MessageToDict(request), caller)
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

    def _caller(self, context: Any) -> str:
        """Raises StatusError (401)."""
        shown = dict(context.invocation_metadata()).get("authorization", "")
        caller = self._credentials.caller(shown)
        if refusal := self._credentials.refusal(shown, caller):
            raise refusal
        return caller or DEFAULT_CALLER


async def serve_grpc(
    api: CloudRunV2, iam: IAM, address: str, credentials: Credentials
) -> Callable[[], Awaitable[None]]:
    """Serves gRPC in plain text and returns what ends it.

    Args:
        address: HOST:PORT.
        credentials: what callers must show.

    Raises:
        OSError: the address can't be listened on.
    """
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(methods(api, iam), credentials),))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"--grpc {address} can't be listened on: {error}") from None
    await server.start()

    async def stop() -> None:
        await server.stop(STOP_SECONDS)

    return stop
