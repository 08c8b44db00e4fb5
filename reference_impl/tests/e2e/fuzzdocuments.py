"""What may be asked of the API, as OpenAPI documents that requests are made from.

The server describes its Kubernetes face itself. Cloud Run's v1 is that by other addresses and with fewer
verbs. v2 comes of the tables that its addresses are made of and of google-cloud-run's message types. The
operations of a document say in `x-good` which body is taken, in `x-made` with which one there is something
at the address (and in `x-id` which parameter then has its name), and v2's in `x-answer` which message comes.
"""

import copy
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from minirun.api.cloudrun_v2 import COLLECTIONS
from minirun.api.rest_v2 import VERBS

with warnings.catch_warnings():  # of generated code
    warnings.simplefilter("ignore")
    from google.cloud import run_v2

Document = dict[str, Any]

NAMES: Document = {
    "namespace": ["fuzz", "knative-serving"],
    "name": ["a", "b.example.com", "config-autoscaler"],
    "project": ["cloud"],
    "region": ["us-central1", "-"],
}
POINTER = {"enum": ["", "/spec", "/metadata/labels/a", "/metadata/annotations", "/spec/template", "/data/a"]}
PATCH = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
            "path": POINTER,
            "from": POINTER,
            "value": {},
        },
        "required": ["op", "path"],
        "additionalProperties": False,
    },
}
CONTAINERS = {"containers": [{"image": "hello"}]}
SPECS: Document = {
    "Service": {"template": {"spec": CONTAINERS}},
    "Configuration": {"template": {"spec": CONTAINERS}},
    "Revision": CONTAINERS,
    "Route": {"traffic": [{"configurationName": "a", "percent": 100}]},
    "DomainMapping": {"ref": {"name": "a", "kind": "Service"}},
    "Job": {"template": {"spec": {"template": {"spec": CONTAINERS}}}},
}

# --- Kubernetes' face ----------------------------------------------------------------------------------


def closed(document: Document) -> Document:
    """A document in which an object has only the fields that it names."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


def verbs_of(document: Document) -> Iterator[Document]:
    for path in document["paths"].values():
        yield from (verb for verb in path.values() if isinstance(verb, dict))


def narrowed(document: Document) -> Document:
    """A document whose names collide, and whose answers end soon."""
    document = closed(document)
    for name, schema in document["components"]["schemas"].items():
        if "x-kubernetes-group-version-kind" in schema:
            del schema["properties"]["apiVersion"], schema["properties"]["kind"]
        if name.endswith("ObjectMeta"):
            schema["properties"] |= {place: {"enum": NAMES[place]} for place in ("namespace", "name")}
    chosen = {"fieldManager": {"enum": ["one", "another"]}, "timeoutSeconds": {"enum": [1]}}
    for verb in verbs_of(document):
        verb["x-good"] = verb["x-made"] = good_object(verb["x-kubernetes-group-version-kind"])
        for parameter in verb["parameters"]:
            parameter["schema"] = chosen.get(parameter["name"], parameter["schema"])
    for path in document["paths"].values():
        for parameter in path.get("parameters", ()):
            parameter["schema"] = {"enum": NAMES[parameter["name"]]}
        for media_type, content in path.get("patch", {}).get("requestBody", {}).get("content", {}).items():
            whole = path["put"]["requestBody"]["content"]["application/json"]["schema"]
            content["schema"] = PATCH if "json-patch" in media_type else whole
    return document


def good_object(kind: Document) -> Document:
    """An object of a kind that its validation takes, but for its name."""
    version = "/".join(filter(None, (kind["group"], kind["version"])))
    body = {"apiVersion": version, "kind": kind["kind"], "metadata": {}}
    return body | ({"spec": SPECS[kind["kind"]]} if kind["kind"] in SPECS and kind["group"] else {})


# --- Cloud Run, v1 -------------------------------------------------------------------------------------

KNATIVE, PLACED = "/namespaces/{namespace}/", "/v1/projects/{project}/locations/{region}/"
ACTIONS = {"jobs": "run", "executions": "cancel"}


def cloud_run_v1(narrow: Document) -> Document:
    """The v1 addresses for the kinds of a narrowed document of Kubernetes' face."""
    narrow = copy.deepcopy(narrow)
    paths: Document = {}
    for path, verbs in narrow["paths"].items():
        _, inside, below = path.partition(KNATIVE)
        if not inside or below.count("/") > 1:
            continue
        kept = {name: verb for name, verb in verbs.items() if name != "patch"}
        if "{name}" not in below:
            kept.pop("delete", None)
        for verb in kept.values():
            if isinstance(verb, dict):
                watches = ("watch", "sendInitialEvents", "allowWatchBookmarks")
                verb["parameters"] = [p for p in verb["parameters"] if p["name"] not in watches]
                verb["responses"] = {code: {"description": "OK"} for code in ("200", "201")}
        plural, _, name = below.partition("/")
        for place in (path.removesuffix(below), PLACED):
            place = place.replace("namespace}", "project}")
            paths[place + below] = kept | {"parameters": path_parameters(place + below)}
            if name and plural in ACTIONS:
                act = kept["get"] | {"parameters": [], "x-good": {}}
                action = f"{place}{below}:{ACTIONS[plural]}"
                paths[action] = {"post": act, "parameters": path_parameters(action)}
    return narrow | {"paths": paths}


def path_parameters(path: str) -> list[Document]:
    """Those of an address, with names that collide."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {"enum": NAMES.get(name, ["a", "-"])}}
        for name in re.findall("{(.+?)}", path)
    ]


# --- Cloud Run, v2 -------------------------------------------------------------------------------------

LOCATION = "/v2/projects/{project}/locations/{region}"
MASKS = ["", "template", "template.containers", "labels", "*", "annotations.a", ".", "a.b"]
GOOD: Document = {
    "Service": {"template": CONTAINERS},
    "Job": {"template": {"template": CONTAINERS}},
    "WaitOperationRequest": {"timeout": "0.1s"},
    "SetIamPolicyRequest": {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}},
}
TEXT: Document = {
    "anyOf": [
        {"enum": ["", "a", "hello", "1", "latest", "/x", "roles/viewer", "user:a@b.c", None]},
        {"type": "string", "maxLength": 4},
    ]
}
NUMBER: Document = {
    "anyOf": [
        {"type": "integer", "minimum": -2, "maximum": 5},
        {"enum": [1.5, 80, 1000, 2**31 - 1, -(2**31), "3", None]},
    ]
}
SCALARS = {FieldDescriptor.CPPTYPE_STRING: TEXT, FieldDescriptor.CPPTYPE_BOOL: {"enum": [True, False, None]}}
WELL_KNOWN: Document = {
    "google.protobuf.Duration": {"enum": ["0.2s", "1.5s", "-1s", "x", "", 3]},
    "google.protobuf.Timestamp": {"enum": ["2026-11-24T10:00:00Z", "x", ""]},
    "google.protobuf.FieldMask": {"enum": MASKS},
}


class Method(NamedTuple):
    """An address, and the messages that are sent and that come; `whole` is the member that a body is."""

    http: str
    path: str
    request: type[Message]
    answer: type[Message]
    whole: str = ""


def v2_methods() -> Iterator[Method]:
    """All that the v2 API answers over REST."""
    for row in COLLECTIONS.values():
        collection, item = LOCATION, LOCATION
        for plural in row.path.split("/"):
            collection = f"{item}/{plural}"
            item = f"{collection}/{{{plural}}}"
        for name, verb in VERBS.items():
            rpc = f"{name}{row.message}{'s' * (name == 'List')}"
            if wrapper := getattr(run_v2, f"{rpc}Request", None):
                answer = {"List": f"{rpc}Response", "Get": row.message}.get(name)
                message = getattr(run_v2, answer).pb() if answer else operations_pb2.Operation
                place = collection if name in ("List", "Create") else item
                _, colon, action = verb.addresses[0].partition(":")
                whole = row.field if verb.has_object else ""
                yield Method(verb.http, place + colon + action, wrapper.pb(), message, whole)
        if row.path in ("services", "jobs"):
            pb = iam_policy_pb2
            yield Method("GET", f"{item}:getIamPolicy", pb.GetIamPolicyRequest, policy_pb2.Policy)
            yield Method("POST", f"{item}:setIamPolicy", pb.SetIamPolicyRequest, policy_pb2.Policy)
            tested = pb.TestIamPermissionsResponse
            yield Method("POST", f"{item}:testIamPermissions", pb.TestIamPermissionsRequest, tested)
    lro, kept = operations_pb2, f"{LOCATION}/operations"
    one = f"{kept}/{{operations}}"
    yield Method("GET", kept, lro.ListOperationsRequest, lro.ListOperationsResponse)
    yield Method("GET", one, lro.GetOperationRequest, lro.Operation)
    yield Method("POST", f"{one}:wait", lro.WaitOperationRequest, lro.Operation)
    yield Method("DELETE", one, lro.DeleteOperationRequest, empty_pb2.Empty)


def cloud_run_v2() -> Document:
    """The v2 addresses: of collections and what is in them, of policies and of operations."""
    paths: Document = {}
    schemas: Document = {}
    for method in v2_methods():
        there = paths.setdefault(method.path, {})
        there[method.http.lower()] = v2_verb(method, schemas)
        there["parameters"] = path_parameters(method.path)
    head = {"openapi": "3.1.0", "info": {"title": "Cloud Run Admin API", "version": "v2"}}
    return head | {"paths": paths, "components": {"schemas": schemas}}


def v2_verb(method: Method, schemas: Document) -> Document:
    """An operation; the schemas that it needs go into `schemas`."""
    request = method.request.DESCRIPTOR
    outside = ("name", "parent", "resource")
    verb: Document = {"parameters": [], "responses": {"200": {"description": "OK"}}}
    verb["x-answer"] = method.answer.DESCRIPTOR.full_name
    if method.http in ("POST", "PATCH"):
        body = request.fields_by_name[method.whole].message_type if method.whole else request
        content = {"application/json": {"schema": message_schema(body, schemas)}}
        verb |= {"requestBody": {"required": True, "content": content}, "x-good": GOOD.get(body.name, {})}
    if found := re.search(r"/(services|jobs)/[^/]*$", method.path):
        message = COLLECTIONS[found[1]].message
        verb |= {"x-made": GOOD[message], "x-id": f"{message.lower()}Id"}
    if method.whole or method.http in ("GET", "DELETE"):
        verb["parameters"] = [
            {"name": field.json_name, "in": "query", "schema": field_schema(field, schemas)}
            for field in request.fields
            if field.name not in (*outside, method.whole)
        ]
    return verb


def message_schema(message: Descriptor, schemas: Document) -> Document:
    """Of a message with at most one field, as JSON; what it may not hold comes now and then, too."""
    if message.full_name not in schemas:
        schemas[message.full_name] = schema = {"type": "object", "maxProperties": 1}
        fields = {field.json_name: field_schema(field, schemas) for field in message.fields}
        schema |= {"properties": fields, "additionalProperties": False}
    return {"$ref": f"#/components/schemas/{message.full_name}"}


def field_schema(field: FieldDescriptor, schemas: Document) -> Document:
    """Of a field."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        value = field_schema(message.fields_by_name["value"], schemas)
        return {"type": "object", "additionalProperties": value, "maxProperties": 2}
    if message is not None:
        value = WELL_KNOWN.get(message.full_name) or message_schema(message, schemas)
    elif field.enum_type is not None:
        value = {"anyOf": [NUMBER, {"enum": [each.name for each in field.enum_type.values]}]}
    else:
        value = SCALARS.get(field.cpp_type, NUMBER)
    return {"type": "array", "items": value, "maxItems": 2} if field.is_repeated else value
