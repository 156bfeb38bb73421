"""The ASGI application around the features' routes: health, description, errors, request ids."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar import Litestar, MediaType, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from bellbird.core.errors import BellbirdError
from bellbird.entrypoints import docs
from bellbird.entrypoints.rest import EXCEPTION_HANDLERS, Access, RequestIds

API = "/api/v1"


def build(
    access: Access,
    routes: Sequence[Any],
    *,
    version: str,
    body_limit: int,
    ready: Callable[[], Awaitable[None]],
    on_shutdown: Sequence[Callable[[], Awaitable[None]]] = (),
) -> Any:
    """The application; `ready` raises a BellbirdError while it cannot serve."""

    @get("/healthz", tags=["Health"], summary="Is the process alive?", media_type=MediaType.JSON)
    async def healthz() -> dict[str, str]:
        """Answers as long as the process runs, whatever the database does."""
        return {"status": "ok", "version": version}

    @get("/readyz", tags=["Health"], summary="Can it serve?", raises=[])
    async def readyz() -> Response[dict[str, str]]:
        """Answers 200 when the database answers and is at the right revision, 503 otherwise."""
        try:
            await ready()
        except BellbirdError as error:
            answer = {"status": "unavailable", "code": error.code, "detail": error.detail}
            return Response(answer, status_code=503, headers={"Retry-After": "1"})
        return Response({"status": "ready"})

    application = Litestar(
        route_handlers=[
            Router(API, route_handlers=routes, dependencies=access.dependencies(), security=[{"bearer": []}]),
            healthz,
            readyz,
            docs.openapi,
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=body_limit,
        openapi_config=OpenAPIConfig(
            title="Bellbird",
            version=version,
            description="Contacts and calls for many tenants.",
            path="/docs",
            render_plugins=[docs.Page()],
            use_handler_docstrings=True,
            operation_id_creator=_operation_id,
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
            ),
        ),
        on_shutdown=list(on_shutdown),
        logging_config=None,
    )
    return RequestIds(application, access.engine)


def _operation_id(handler: HTTPRouteHandler, method: Any, path: Any) -> str:
    """`contacts_create`: the feature and its verb. A trailing underscore keeps a handler from hiding a decorator."""
    module = handler.fn.__module__.split(".")[-2]
    verb = handler.handler_name.removesuffix("_")
    return verb if module == "entrypoints" else f"{module}_{verb}"
