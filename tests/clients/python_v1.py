"""The Python SDK 1.x as a client of the demonstration tools: Streamable HTTP, HTTP+SSE, stdio.

usage: python_v1.py [--mode legacy|sse] (--url URL | --stdio CMD ARGS...)
"""

from contextlib import AsyncExitStack

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl

import steps

MODES = ["legacy", "sse"]


async def elicit(_context, _params):
    return types.ElicitResult(action="accept", content=steps.NAME)


async def sample(_context, _params):
    answer = types.TextContent(type="text", text=steps.SUMMARY)
    return types.CreateMessageResult(role="assistant", model="test-model", stopReason="endTurn", content=answer)


def streams_of(options):
    if options.stdio:
        return stdio_client(StdioServerParameters(command=options.stdio[0], args=options.stdio[1:]))
    return sse_client(options.url) if options.mode == "sse" else streamable_http_client(options.url)


class PythonSdk(steps.Host):
    def __init__(self, options):
        super().__init__(options)
        self.options = options
        self.open = AsyncExitStack()

    async def connect(self):
        # Streamable HTTP gives a third thing, a function that tells the session id.
        reading, writing, *_ = await self.open.enter_async_context(streams_of(self.options))
        session = ClientSession(
            reading,
            writing,
            elicitation_callback=elicit,
            sampling_callback=sample,
            client_info=types.Implementation(**steps.CLIENT),
        )
        self.session = await self.open.enter_async_context(session)
        settled = await self.session.initialize()
        return settled.protocolVersion, settled.serverInfo

    async def tools(self):
        return (await self.session.list_tools()).tools

    async def call(self, name, arguments, on_progress=None):
        async def progressed(value, _total, _message):
            await on_progress(value)

        result = await self.session.call_tool(name, arguments, progress_callback=on_progress and progressed)
        return result.isError, result.content

    async def before_giving_up(self):
        # An abandoned call says nothing in 1.x: a host sends the notification itself, and must know that
        # requests are numbered in order, since no call tells its number.
        number = self.session._request_id - 1
        cancelled = types.CancelledNotificationParams(requestId=number, reason="test cancels")
        notification = types.CancelledNotification(method="notifications/cancelled", params=cancelled)
        await self.session.send_notification(types.ClientNotification(notification))

    async def contents(self, uri):
        return (await self.session.read_resource(AnyUrl(uri))).contents

    async def messages(self, prompt, arguments):
        return (await self.session.get_prompt(prompt, arguments)).messages

    async def close(self):
        await self.open.aclose()


if __name__ == "__main__":
    steps.run(PythonSdk(steps.parse_arguments(MODES)))
