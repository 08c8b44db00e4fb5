"""The API described by itself: an OpenAPI v3 document for each group and version, from the models.

Schemas come from the typed resources, descriptions from their docstrings (those of fields from `Args`),
addresses from the table of kinds and parameters from the table of verbs below. kubectl looks here before it
writes, for `kubectl explain`, and for whether `fieldValidation` and `dryRun` are understood. Counterpart:
kube-apiserver's /openapi/v3.
"""

import hashlib
import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

import msgspec

from minirun.api.discovery import OFFERED, VERSION
from minirun.api.patching import accepted_patches
from minirun.api.requests import JSON
from minirun.api.reviews import REVIEWS
from minirun.model import meta
from minirun.model.resources import Kind

V2_MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Of OpenAPI v2 only an empty document, which old kubectl needs: swagger, info.title, info.version, no paths.
V2: Final = b"\n\x032.0" + b"\x12\x15" + b"\n\x0aKubernetes\x12\x07v1.32.4" + b"B\x00"
_REF: Final = "#/components/schemas/"
_ARGUMENT: Final = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)
_OF_EVERY_KIND: Final = {
    "apiVersion": "The group and version of this kind.",
    "kind": "What this object is.",
    "metadata": "Its name, labels and annotations, and what the server notes of it.",
    "spec": "What is wanted.",
    "status": "What is observed; the server writes it.",
}
Schema = dict[str, object]

_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
_SELECT: Final[dict[str, Schema]] = {"labelSelector": _TEXT, "fieldSelector": _TEXT}
_LIST: Final[dict[str, Schema]] = {
    **_SELECT,
    "limit": _NUMBER,
    "continue": _TEXT,
    "resourceVersion": _TEXT,
    "resourceVersionMatch": {"type": "string", "enum": ["Exact", "NotOlderThan"]},
    "watch": _FLAG,
    "allowWatchBookmarks": _FLAG,
    "sendInitialEvents": _FLAG,
    "timeoutSeconds": _NUMBER,
}
_DRY_RUN: Final[dict[str, Schema]] = {"dryRun": {"type": "string", "enum": ["All"]}}
_WRITE: Final[dict[str, Schema]] = {
    **_DRY_RUN,
    "fieldManager": _TEXT,
    "fieldValidation": {"type": "string", "enum": ["Ignore", "Warn", "Strict"]},
}
_DELETE: Final[dict[str, Schema]] = {
    **_DRY_RUN,
    "gracePeriodSeconds": _NUMBER,
    "propagationPolicy": {"type": "string", "enum": ["Orphan", "Background", "Foreground"]},
}
_LOG: Final[dict[str, Schema]] = {
    "container": _TEXT,
    "follow": _FLAG,
    "previous": _FLAG,
    "sinceSeconds": _NUMBER,
    "tailLines": _NUMBER,
    "timestamps": _FLAG,
}


class Verb(NamedTuple):
    """What can be done at an address, what is sent (`body`), and what comes (`answer`): see `_content`."""

    action: str
    method: str
    parameters: Mapping[str, Schema]
    body: str = ""
    answer: str = "object"
    codes: tuple[int, ...] = (200,)


_GET, _READ_LIST = Verb("get", "get", {}), Verb("list", "get", _LIST, answer="list")
_PUT, _PATCH = (
    Verb("put", "put", _WRITE, "object"),
    Verb("patch", "patch", _WRITE | {"force": _FLAG}, "patch", codes=(200, 201)),
)
_POST = Verb("post", "post", _WRITE, "object", codes=(201,))
_REMOVE = Verb("delete", "delete", _DELETE, "options", "status")
_REMOVE_ALL = Verb("deletecollection", "delete", _DELETE | _SELECT, "options", "list")


def root() -> bytes:
    """The list of documents; the hash in an address changes with what is there."""
    paths = {}
    for version in dict.fromkeys(kind.api_version for kind in OFFERED):
        place = f"apis/{version}" if "/" in version else f"api/{version}"
        digest = hashlib.sha256(document(place)).hexdigest()[:32].upper()
        paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"}
    return msgspec.json.encode({"paths": paths})


@cache
def document(place: str) -> bytes:
    """The document of `api/v1` or `apis/GROUP/VERSION`; empty if there is no such version."""
    kinds = [kind for kind in OFFERED if _place(kind) == place]
    if not kinds:
        return b""
    paths: dict[str, Schema] = {}
    for kind in kinds:
        paths |= _paths(kind)
    body = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"].partition("+")[0]},
        "paths": paths,
        "components": {"schemas": _schemas(kinds)},
    }
    return msgspec.json.encode(body)


def _place(kind: Kind) -> str:
    return f"{'apis' if kind.group else 'api'}/{kind.api_version}"


# --- schemas -------------------------------------------------------------------------------------------


def _name(kind: Kind) -> str:
    """`dev.knative.serving.v1.Service`: how a kind's schema is called."""
    reversed_group = ".".join(reversed((kind.group or "core.api.k8s.io").split(".")))
    return f"{reversed_group}.{kind.version}.{kind.kind}"


def _gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schemas(kinds: list[Kind]) -> Schema:
    """The schemas of some kinds, of their lists, and of all that is in them."""
    _, components = msgspec.json.schema_components(
        [kind.type for kind in kinds], ref_template=_REF + "{name}"
    )
    names = {kind.type.__name__: _name(kind) for kind in kinds}
    for part in components.keys() - names.keys():
        of_meta = hasattr(meta, part)
        names[part] = f"{'io.k8s.apimachinery.pkg.apis.meta.v1' if of_meta else 'dev.minirun.model'}.{part}"
    schemas = {names[part]: _translated(schema, names) for part, schema in components.items()}
    for kind in kinds:
        schemas[_name(kind)] |= {"x-kubernetes-group-version-kind": [_gvk(kind)]}
        items = {"type": "array", "items": {"$ref": _REF + _name(kind)}}
        schemas[f"{_name(kind)}List"] = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": _TEXT,
                "kind": _TEXT,
                "metadata": {"type": "object"},
                "items": items,
            },
        }
    return dict(schemas)


def _translated(schema: object, names: Mapping[str, str]) -> Schema:
    """A JSON schema in OpenAPI 3.0's and Kubernetes' dialect: no defaults, references by `names`."""
    assert isinstance(schema, dict)
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        done = _translated(choices[0], names)
        return done if "$ref" in done else done | {"nullable": True}
    if choices:
        return {"anyOf": choices, "x-kubernetes-int-or-string": True}
    if "$ref" in schema:
        return {"$ref": _REF + names[str(schema["$ref"]).removeprefix(_REF)]}
    done = {"type": schema["type"]} if "type" in schema else {}
    description, of_fields = _described(schema.get("description", ""))
    if description:
        done["description"] = description
    if required := schema.get("required"):
        done["required"] = required
    if schema.get("contentEncoding") == "base64":
        done["format"] = "byte"
    if "properties" in schema:
        done["properties"] = {
            name: _field(_translated(inner, names), of_fields.get(name, _OF_EVERY_KIND.get(name)))
            for name, inner in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(inner := schema.get(key), dict):
            done[key] = _translated(inner, names)
    return done


def _described(docstring: str) -> tuple[str, dict[str, str]]:
    """What a type's docstring says of it, and of its fields."""
    text = re.sub("`[a-z_]+`", lambda name: _camel(name[0]), inspect.cleandoc(docstring))
    whole, _, arguments = text.partition("\n\nArgs:\n")
    of_fields = {
        _camel(name): " ".join((said[0].upper() + said[1:]).split())
        for names, said in _ARGUMENT.findall(arguments)
        for name in names.split(", ")
    }
    return whole, of_fields


def _field(schema: Schema, description: str | None) -> Schema:
    """A field's schema with its description, which a reference can't have beside it."""
    if description is None:
        return schema
    return ({"allOf": [schema]} if "$ref" in schema else schema) | {"description": description}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


# --- addresses -----------------------------------------------------------------------------------------


def _paths(kind: Kind) -> dict[str, Schema]:
    """The addresses of a kind with what can be done there."""
    everywhere = f"/{_place(kind)}/{kind.plural}"
    here = f"/{_place(kind)}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else everywhere
    if kind in REVIEWS:
        return {here: _at(kind, here, [_POST])}
    item = f"{here}/{{name}}"
    listed = _READ_LIST if kind.watched else _READ_LIST._replace(parameters={})
    verbs = {here: [listed, _POST], item: [_GET, _PUT, _PATCH, _REMOVE]}
    if kind.namespaced:
        verbs[here].append(_REMOVE_ALL)
        verbs[everywhere] = [_READ_LIST]
    if "status" in kind.subresources:
        verbs[f"{item}/status"] = [_GET, _PUT, _PATCH]
    if "log" in kind.subresources:
        verbs[f"{item}/log"] = [Verb("connect", "get", _LOG, answer="text")]
    return {path: _at(kind, path, allowed) for path, allowed in verbs.items()}


def _at(kind: Kind, path: str, verbs: list[Verb]) -> Schema:
    """One address: what is in it, and each verb."""
    inside = [name for name in ("namespace", "name") if f"{{{name}}}" in path]
    here: Schema = {
        verb.method: _operation(kind, path, verb)
        for verb in verbs
        if not kind.read_only or verb.method == "get" or (kind.deletable and verb.action == "delete")
    }
    if inside:
        here["parameters"] = [{"name": n, "in": "path", "required": True, "schema": _TEXT} for n in inside]
    return here


def _operation(kind: Kind, path: str, verb: Verb) -> Schema:
    answer = {"description": "OK", "content": _content(kind, verb.answer)}
    words = [word.strip("{}") for word in path.split("/")[1:]]
    done: Schema = {
        "operationId": "_".join((verb.action, *words)).replace(".", "_"),
        "x-kubernetes-action": verb.action,
        "x-kubernetes-group-version-kind": _gvk(kind),
        "parameters": [{"name": n, "in": "query", "schema": s} for n, s in verb.parameters.items()],
        "responses": {str(code): answer for code in verb.codes},
    }
    if verb.body:
        done["requestBody"] = {"content": _content(kind, verb.body), "required": verb.body != "options"}
    return done


def _content(kind: Kind, what: str) -> Schema:
    """Media types with their schemas, of a body or an answer."""
    itself: Schema = {"$ref": _REF + _name(kind)}
    match what:
        case "object":
            return {JSON: {"schema": itself}}
        case "list":
            return {JSON: {"schema": {"$ref": f"{_REF}{_name(kind)}List"}}}
        case "text":
            return {"text/plain": {"schema": _TEXT}}
        case "patch":
            return {media_type: {"schema": {}} for media_type in accepted_patches(kind)}
        case _:
            return {JSON: {"schema": {"type": "object"}}}
