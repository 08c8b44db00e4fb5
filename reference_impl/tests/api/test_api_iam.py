"""Policies and tokens over HTTP, as gcloud and the client libraries ask for them."""

import base64
import json
from typing import Any

import httpx
import pytest

from minirun.api.keyring import Keyring
from minirun.identity.account import OWNER
from minirun.identity.keys import Key, key_of, make_pem
from minirun.model.clock import SECOND_NS, SystemClock
from minirun.store.store import Store

RUN = {"host": "run.googleapis.com"}
SERVICE = "/projects/demo/locations/us-central1/services/hello"
SERVICES = "/apis/serving.knative.dev/v1/namespaces/demo/services"
BIND = {"role": "roles/run.invoker", "members": ["user:b@c.d", "allUsers", "allUsers"]}
URL = "http://hello.example"


async def create(client: httpx.AsyncClient, name: str, **headers: str) -> dict[str, Any]:
    """The annotations of a new Service."""
    spec = {"template": {"spec": {"containers": [{"image": "hello"}]}}}
    body = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": spec,
    }
    region = {"host": "us-central1-run.googleapis.com"}
    created = await client.post(SERVICES, json=body, headers=region | headers)
    annotations: dict[str, Any] = created.raise_for_status().json()["metadata"]["annotations"]
    return annotations


@pytest.fixture
async def hello(client: httpx.AsyncClient) -> None:
    """A Service that was created just now."""
    await create(client, "hello")


async def set_policy(client: httpx.AsyncClient, policy: dict[str, Any]) -> httpx.Response:
    return await client.post(f"/v1{SERVICE}:setIamPolicy", json={"policy": policy}, headers=RUN)


@pytest.mark.usefixtures("hello")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_policy_is_empty_set_and_read_in_both_versions(
    client: httpx.AsyncClient, version: str
) -> None:
    address = f"/{version}{SERVICE}"
    empty = await client.get(f"{address}:getIamPolicy?options.requestedPolicyVersion=3&alt=json", headers=RUN)
    assert empty.json() == {"version": 1, "etag": "MA=="}
    body = {"policy": {"bindings": [BIND], "etag": "MA==", "version": 3}}
    was = (await client.post(f"{address}:setIamPolicy", json=body, headers=RUN)).json()
    assert was["bindings"] == [{"role": "roles/run.invoker", "members": ["user:b@c.d", "allUsers"]}]
    base64.b64decode(was["etag"], validate=True)
    assert (await client.get(f"{address}:getIamPolicy", headers=RUN)).json() == was


@pytest.mark.usefixtures("hello")
async def test_a_stale_etag_is_aborted(client: httpx.AsyncClient) -> None:
    first = (await set_policy(client, {"bindings": [BIND], "etag": "MA=="})).json()
    for stale in ("MA==", "b2xk"):
        refused = await set_policy(client, {"bindings": [], "etag": stale})
        assert (refused.status_code, refused.json()["error"]["status"]) == (409, "ABORTED")
    assert (await set_policy(client, {"bindings": [], "etag": first["etag"]})).status_code == 200


@pytest.mark.usefixtures("hello")
@pytest.mark.parametrize(
    ("binding", "said"),
    [
        (BIND | {"members": ["bob@c.d"]}, "The member bob@c.d is of an unknown type."),
        (BIND | {"members": ["user:"]}, "The member user: is of an unknown type."),
        (BIND | {"role": "roles/run.sleeper"}, "Role roles/run.sleeper is not supported for this resource."),
        (BIND | {"condition": {"expression": "true"}}, "Conditions are not supported here"),
        (BIND | {"members": "allUsers"}, "bindings can't be read"),
    ],
)
async def test_what_a_policy_can_not_have_is_refused(
    client: httpx.AsyncClient, binding: dict[str, Any], said: str
) -> None:
    refused = await set_policy(client, {"bindings": [binding]})
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert said in refused.json()["error"]["message"]


@pytest.mark.usefixtures("hello")
async def test_the_owner_has_all_permissions(client: httpx.AsyncClient) -> None:
    asked = {"permissions": ["run.services.setIamPolicy"]}
    answer = await client.post(f"/v1{SERVICE}:testIamPermissions", json=asked, headers=RUN)
    assert answer.json() == asked


async def test_a_service_that_is_not_there_has_no_policy(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1{SERVICE}:getIamPolicy", headers=RUN)
    assert answer.status_code == 404
    assert "Resource 'hello' of kind 'SERVICE'" in answer.json()["error"]["message"]


class Account:
    """Who has the key of the platform's owner, or claims to."""

    def __init__(self, client: httpx.AsyncClient, key: Key) -> None:
        self._client, self.key = client, key

    def assertion(self, **claims: object) -> str:
        now = SystemClock().unix_ns() // SECOND_NS
        aud = "https://oauth2.googleapis.com/token"
        return self.key.sign({"iss": OWNER, "iat": now, "exp": now + 3600, "aud": aud, **claims})

    async def ask(self, assertion: str) -> httpx.Response:
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return await self._client.post("/token", data={"grant_type": grant, "assertion": assertion})


@pytest.fixture
def account(client: httpx.AsyncClient, store: Store) -> Account:
    return Account(client, Keyring(store, SystemClock()).account)


async def test_an_assertion_is_changed_for_an_id_token_that_the_published_key_verifies(
    client: httpx.AsyncClient, account: Account
) -> None:
    import jwt

    token = (await account.ask(account.assertion(target_audience=URL))).json()["id_token"]
    [public] = (await client.get("/oauth2/v3/certs")).json()["keys"]
    assert jwt.get_unverified_header(token)["kid"] == public["kid"]
    claims = jwt.decode(token, jwt.PyJWK(public).key, ["RS256"], audience=URL)
    assert (claims["email"], claims["exp"] - claims["iat"]) == (OWNER, 3600)


async def test_a_token_says_who_creates(client: httpx.AsyncClient, account: Account) -> None:
    answer = (await account.ask(account.assertion(scope="x"))).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    tokens = {"a": answer["access_token"], "b": account.assertion(aud="https://run.googleapis.com/")}
    for name, token in tokens.items():
        made = await create(client, name, authorization=f"Bearer {token}")
        assert made["serving.knative.dev/creator"] == OWNER


async def test_an_assertion_that_is_not_the_accounts_is_no_grant(account: Account) -> None:
    stranger = Account(account._client, key_of(make_pem()))
    for assertion in (stranger.assertion(), account.assertion(exp=1), "x.y.z"):
        answer = await account.ask(assertion)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_impersonation_gives_tokens_of_that_account(client: httpx.AsyncClient) -> None:
    address = "/v1/projects/-/serviceAccounts/robot@demo.iam.gserviceaccount.com"
    host = {"host": "iamcredentials.googleapis.com"}
    token = (await client.post(f"{address}:generateIdToken", json={"audience": URL}, headers=host)).json()
    assert json.loads(base64.urlsafe_b64decode(token["token"].split(".")[1] + "=="))["aud"] == URL
    access = (await client.post(f"{address}:generateAccessToken", json={}, headers=host)).json()
    assert access["expireTime"].endswith("Z")
    assert (await client.post(f"{address}:generateIdToken", json={}, headers=host)).status_code == 400
