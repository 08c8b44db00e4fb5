"""Gives each instance of a cloudrun namespace its metadata server, which lives as long as the instance.

A wrapper round a runtime: an instance finds its server by GCE_METADATA_HOST and GCE_METADATA_IP, which the
client libraries know. No runtime here keeps one instance from asking another one's server.
Counterpart: Cloud Run, where the server has the address 169.254.169.254 in each sandbox.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import replace

from minirun.api.keyring import Keyring
from minirun.identity.metadata import Facts, MetadataServer
from minirun.model.profiles import profile_of
from minirun.model.regions import place_of, project_number
from minirun.model.resources import Namespace, Pod
from minirun.runtime.base import InstanceSpec, Log, RunningProcess, Runtime
from minirun.store.store import Store

VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_IP")


class MetadataRuntime:
    """A runtime whose instances have metadata servers.

    Args:
        inner: the runtime that starts them.
        store: has their Pods and namespaces.
        keyring: has the issuer of their tokens.
    """

    def __init__(self, inner: Runtime, store: Store, keyring: Keyring) -> None:
        self._inner, self._store, self._keyring = inner, store, keyring
        self._watching: set[asyncio.Task[None]] = set()

    @property
    def own_address(self) -> str:
        return self._inner.own_address

    async def open(self) -> None:
        await self._inner.open()

    async def start(self, spec: InstanceSpec, log: Log) -> RunningProcess:
        """Starts a container, and its server before it; see `Runtime.start`."""
        if not profile_of(self._store.find(Namespace, "", spec.namespace)).metadata_server:
            return await self._inner.start(spec, log)
        server = MetadataServer(self._facts(spec), self._keyring.load)
        address = await server.start(self.own_address)
        given = tuple((name, address) for name in VARIABLES)
        try:
            process = await self._inner.start(replace(spec, env=(*given, *spec.env)), log)
        except BaseException:
            server.close()
            raise
        watching = asyncio.create_task(_close_after(process, server), name="metadata server")
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return process

    async def remove_leftovers(self, identities: Iterable[str]) -> int:
        return await self._inner.remove_leftovers(identities)

    def forget(self, uid: str) -> None:
        self._inner.forget(uid)

    async def close(self) -> None:
        await self._inner.close()
        if self._watching:
            await asyncio.wait(self._watching)

    def _facts(self, spec: InstanceSpec) -> Facts:
        place = place_of(spec.namespace)
        number = project_number(place.project)
        pod = self._store.find(Pod, spec.namespace, spec.name)
        account = pod.spec.service_account_name if pod else ""
        return Facts(
            project=place.project,
            project_number=number,
            region=place.region,
            instance_id=hashlib.sha256(spec.uid.encode()).hexdigest(),
            email=account or f"{number}-compute@developer.gserviceaccount.com",
        )


async def _close_after(process: RunningProcess, server: MetadataServer) -> None:
    await process.wait()
    server.close()
