"""`minirun up`: the platform in the foreground, until SIGTERM or Ctrl-C; `minirun down`: what it leaves."""

import asyncio
import errno
import signal
from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from platformdirs import user_data_path

from minirun import overlay as overlays

if TYPE_CHECKING:
    from minirun.platform import PlatformOptions

FOLDER = click.Path(path_type=Path)


def _address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    host, _colon, port = value.rpartition(":")
    if not (host and port.isdigit() and int(port) < 65_536):
        raise click.BadParameter(f"{value!r} is given, HOST:PORT is expected, as in 127.0.0.1:8080")
    return value


@click.command()
@click.option("--listen", default="127.0.0.1:8080", show_default=True, callback=_address, help="Requests.")
@click.option("--api", default="127.0.0.1:8081", show_default=True, callback=_address, help="API.")
@click.option("--tls", callback=_address, help="The API with TLS too, under a CA of its own.")
@click.option("--grpc", callback=_address, help="Cloud Run's v2 API over gRPC (extra gcp).")
@click.option("--data-dir", type=FOLDER, default=user_data_path("minirun"), help="Where everything is kept.")
@click.option("--domain", default="localhost", show_default=True, help="Services are NAME.NAMESPACE.DOMAIN.")
@click.option(
    "--sync",
    type=click.Choice(["normal", "full"]),
    default="normal",
    show_default=True,
    help="full: writes survive a power cut too, not only a crash.",
)
@click.option("--settings", type=click.Path(exists=True, path_type=Path), help="YAML file of ConfigMaps.")
@click.option("--warm", type=int, default=2, show_default=True, help="Interpreters, or networks, kept ready.")
@click.option(
    "--runtime",
    type=click.Choice(["process", "docker"]),
    default="process",
    show_default=True,
    help="What instances are: processes, or containers of this machine's Docker (extra docker).",
)
@click.option(
    "--execution-environment",
    type=click.Choice(["gen1", "gen2"]),
    default="gen2",
    show_default=True,
    help="With docker: of those who name none. gen1 is gVisor, gen2 is runc.",
)
@click.option("--token", envvar="MINIRUN_TOKEN", help="What clients of the API must know (MINIRUN_TOKEN).")
@click.option(
    "--overlay",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of parts that you wrote, as autoscaling/decider.py in it; repeatable, the first wins.",
)
def up(overlay: tuple[Path, ...], **options: object) -> None:
    """Ctrl-C ends it, and the instances with it."""
    parts = lay_over(overlay)
    from minirun.platform import PlatformOptions, run
    from minirun.store.errors import StoreUnusableError

    how = PlatformOptions(**options)  # type: ignore[arg-type]
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signal(run(how, lambda line: print(line, *parts, sep="\n  ", flush=True))))
    except (StoreUnusableError, ValueError) as error:
        raise click.ClickException(overlays.where(error) or str(error)) from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise click.ClickException(str(error)) from None
        raise click.ClickException(taken(_flags(how))) from None


def lay_over(more: tuple[Path, ...]) -> list[overlays.Part]:
    """Puts a learner's parts into this process, before anything of the platform is imported."""
    if more:
        overlays.install(more)
    try:
        return overlays.load()
    except overlays.OverlayError as error:
        raise click.ClickException(str(error)) from None


async def _until_signal(platform: Coroutine[object, object, None]) -> None:
    """Runs the platform; SIGTERM and SIGINT end it as one wants: cleanly, and with status 0.

    Only the first counts: to cancel the end itself would leave instances behind.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(platform)
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, lambda: task.cancelling() or task.cancel())
        except NotImplementedError:  # Windows: Ctrl-C cancels this coroutine, and so the task
            pass
    try:
        await task
    except asyncio.CancelledError:
        pass


def _flags(how: "PlatformOptions") -> dict[str, str]:
    flags = {"--listen": how.listen, "--api": how.api, "--tls": how.tls}
    return {flag: address for flag, address in flags.items() if address}


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loops where it is installed."""
    try:
        return cast("Callable[[], asyncio.AbstractEventLoop]", import_module("uvloop").new_event_loop)
    except ImportError:
        return asyncio.new_event_loop


def taken(addresses: Mapping[str, str]) -> str:
    """A sentence that says which of the addresses (by flag) is taken, by whom if the OS tells."""
    from minirun.gateway.server import bind

    for flag, address in addresses.items():
        host, _, port = address.rpartition(":")
        try:
            for sock in bind(host.strip("[]"), int(port)):
                sock.close()
        except OSError:
            return f"port {port} is taken{_holder(int(port))}; choose another with {flag} {host}:PORT"
    return f"a port is taken; choose others with {' and '.join(addresses)}"


def _holder(port: int) -> str:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listening and connection.pid:
                process = psutil.Process(connection.pid)
                return f" by {process.name()} (process {process.pid})"
    except psutil.Error:  # macOS tells only root
        pass
    return ""


@click.command()
@click.option("--all", "everything", is_flag=True, help="The network and the images that were built, too.")
def down(everything: bool) -> None:
    """Stop platforms first, with Ctrl-C. Data directories stay."""
    from minirun.runtime.docker.engine import Engine, EngineError, remove_everything

    try:
        engine = Engine.connect()
        removed = remove_everything(engine, images_too=everything)
    except (ValueError, EngineError) as error:
        raise click.ClickException(f"{error}; stop all platforms first") from None
    engine.close()
    print(f"removed {removed} containers")
