"""The pages `/docs` and `/redoc`, whose scripts and styles come from this server.

FastAPI's own pages load them from the internet, and are blank inside a private network.
"""

from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from optunapi.errors import RouteNotFound

ASSETS = "/docs/assets"
# Both scripts would ask other servers for a picture. Redoc indexes its search in a worker from a blob.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; worker-src blob:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self' data:"
}


def install(app: FastAPI) -> None:
    """Add the pages to an application that has none of its own."""

    async def swagger_ui(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # a service on the internet
        )
        page.headers.update(HEADERS)
        return page

    async def redoc(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        page = get_redoc_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
        page.headers.update(HEADERS)
        return page

    async def asset(request: Request) -> FileResponse:
        path = assets.get(request.path_params["name"])
        if path is None:
            raise RouteNotFound(f"there is no route {request.url.path}")
        return FileResponse(path, headers={"Cache-Control": "max-age=3600"})

    assets = {path.name: str(path) for path in (files("fastapi_offline") / "static").iterdir()}
    app.add_route("/docs", swagger_ui, include_in_schema=False)
    app.add_route("/redoc", redoc, include_in_schema=False)
    app.add_route(f"{ASSETS}/{{name}}", asset, include_in_schema=False)
