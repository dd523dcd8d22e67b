"""HEAD wherever there is GET: the same status and headers, no body (RFC 9110, 9.3.2)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class AnswerHead:
    """Lets a HEAD through as a GET and takes the body from its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            """Pass a message on, without a body."""
            has_body = message["type"] == "http.response.body"
            await send({**message, "body": b""} if has_body else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)
