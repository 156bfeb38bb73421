"""Serve the API over HTTP."""

import asyncio
import errno
import inspect
import math
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import click

from bellbird.app import Bellbird
from bellbird.core.settings import PREFIX, Settings, load
from bellbird.entrypoints import cli

# How many connections a process may have at once.
FILES: Final = 65_536


@click.command()
@click.option("--host", help="The address to listen on; default: BELLBIRD_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on; default: BELLBIRD_PORT.")
@click.option("--workers", type=click.IntRange(1, 64), help="How many processes; default: BELLBIRD_WORKERS.")
@click.option("--with-worker", is_flag=True, help="Do the queue's jobs too, as `bellbird worker` does; one process.")
@click.option("--access-log", is_flag=True, help="Log every request.")
def command(host: str | None, port: int | None, workers: int | None, with_worker: bool, access_log: bool) -> None:
    """Serve the API over HTTP, until Ctrl-C or SIGTERM.

    Requests under way are finished first. Without BELLBIRD_DATABASE_URL the embedded PostgreSQL runs as long as this.

    \b
    Example: bellbird serve --port 8080 --workers 4
             bellbird serve --with-worker
    """
    given = {"host": host, "port": port, "workers": workers, "access_log": access_log or None}
    given["with_worker"] = with_worker or None
    settings = load(**{name: value for name, value in given.items() if value is not None})
    if settings.with_worker and settings.workers > 1:
        raise cli.Refusal(
            f"The worker runs in the server's one process, and these are {settings.workers}: "
            "leave --with-worker (BELLBIRD_WITH_WORKER) out, and run `bellbird worker` beside."
        )
    claim(settings)
    # Held open here, so that workers that come and go neither stop the embedded database nor migrate it.
    bellbird = Bellbird(settings)
    try:
        bellbird.open()
        cli.note(
            f"Bellbird serves on {url(settings)} (its description: {url(settings)}/docs). Ctrl-C stops it.\n"
            "To sign in: bellbird token --tenant SLUG"
            + ("" if settings.with_worker else "\nWhat is done in the background needs: bellbird worker")
        )
        serve(settings)
    finally:
        asyncio.run(bellbird.close())


def url(settings: Settings) -> str:
    """Where the server is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{settings.port}"


def claim(settings: Settings, instead: str = "--port") -> None:
    """Check that the address is free, before anything is started. Raises Refusal."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise cli.Refusal(_why_not(error, settings, instead)) from None


def _why_not(error: OSError, settings: Settings, instead: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {settings.port} of {settings.host} is in use by another program: choose another with {instead}."
    if error.errno == errno.EACCES:
        return f"You may not listen on port {settings.port}; choose one above 1023 with {instead}."
    return f"{settings.host} is not an address of this machine ({error.strerror}): choose another with --host."


def serve(settings: Settings) -> None:
    """Serve in the foreground until a signal."""
    import signal

    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from bellbird.core import logs

    class Workers(Multiprocess):
        def terminate_all(self) -> None:
            # Else the system would go on taking connections, which nobody will ever answer.
            for each in self.sockets:
                each.close()
            super().terminate_all()

    # uvicorn raises SIGTERM again when it has ended; by default that would end us before the database is let go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config = uvicorn.Config(
        "bellbird.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        # What a client of a WebSocket says is a ping.
        ws_max_size=65_536,
        # A little longer than any request may take: what was begun is finished, or was given up by itself.
        timeout_graceful_shutdown=math.ceil(settings.request_timeout) + 2,
        log_config=logs.config(settings.log_level, settings.log_format, access=settings.access_log),
    )
    _allow_connections()
    with _shared_numbers(settings), _told(settings), suppress(KeyboardInterrupt):
        if settings.workers > 1:
            # Older ones have to be told what a worker does.
            takes = inspect.signature(Multiprocess).parameters
            more: dict[str, Any] = {"target": uvicorn.Server(config).run} if "target" in takes else {}
            Workers(config, sockets=[config.bind_socket()], **more).run()
        else:
            config.load()
            uvicorn.Server(config).run()


@contextmanager
def _told(settings: Settings) -> Iterator[None]:
    """The server reads its settings itself: what was said on the command line it is told in the environment."""
    said = {"HOST": settings.host, "PORT": str(settings.port), "WITH_WORKER": str(settings.with_worker).lower()}
    told = {f"{PREFIX}{name}": value for name, value in said.items()}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _allow_connections() -> None:
    """Each live stream is an open file, and the 1,024 that a process may have by default are for programs that use
    select(): take as many as we are allowed.
    """
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _shared_numbers(settings: Settings) -> Iterator[None]:
    """A folder in which several workers share their metrics, told to them in the environment."""
    if settings.workers == 1 or not settings.metrics or settings.metrics_dir is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bellbird-metrics-") as folder:
        os.environ[f"{PREFIX}METRICS_DIR"] = folder
        try:
            yield
        finally:
            del os.environ[f"{PREFIX}METRICS_DIR"]
