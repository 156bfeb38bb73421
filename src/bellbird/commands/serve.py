"""Serve the API over HTTP."""

import asyncio
import errno
import socket
from typing import Any

import click

from bellbird.app import Bellbird
from bellbird.core.settings import Settings, load
from bellbird.entrypoints import cli

GRACE_SECONDS = 10


@click.command()
@click.option("--host", help="The address to listen on; default: BELLBIRD_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on; default: BELLBIRD_PORT.")
@click.option("--workers", type=click.IntRange(1, 64), help="How many processes; default: BELLBIRD_WORKERS.")
@click.option("--access-log", is_flag=True, help="Log every request.")
def command(host: str | None, port: int | None, workers: int | None, access_log: bool) -> None:
    """Serve the API over HTTP, until Ctrl-C or SIGTERM.

    Requests under way are finished first. Without BELLBIRD_DATABASE_URL the embedded PostgreSQL runs as long as this.

    \b
    Example: bellbird serve --port 8080 --workers 4
    """
    given = {"host": host, "port": port, "workers": workers}
    settings = load(**{name: value for name, value in given.items() if value is not None})
    claim(settings)
    # Held open here, so that workers that come and go neither stop the embedded database nor migrate it.
    bellbird = Bellbird(settings)
    try:
        bellbird.open()
        cli.note(
            f"Bellbird serves on {url(settings)} (its description: {url(settings)}/docs). Ctrl-C stops it.\n"
            "To sign in: bellbird token --tenant SLUG"
        )
        serve(settings, access_log=access_log)
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


def serve(settings: Settings, *, access_log: bool = False) -> None:
    """Serve in the foreground until a signal."""
    import signal

    import uvicorn

    # uvicorn raises SIGTERM again when it has ended; by default that would end us before the database is let go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    uvicorn.run(
        "bellbird.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="auto",
        http="auto",
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=_logging(settings.log_level, access_log),
    )


def _logging(level: str, access_log: bool) -> dict[str, Any]:
    # Its comings and goings are worth a line to uvicorn, but to nobody else.
    quieter = "info" if level == "debug" else "warning"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            "uvicorn.error": {"level": quieter.upper() if level != "error" else "ERROR"},
            "uvicorn.access": {"level": "INFO" if access_log else "WARNING"},
        },
    }
