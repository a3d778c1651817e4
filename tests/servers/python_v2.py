"""A server of the Python SDK 2.x on standard input and output, over HTTP+SSE, or over HTTP."""

import socket
import sys
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp_types import CreateMessageResult, SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("python")


class Name(BaseModel):
    name: str


def who() -> Elicit[Name]:
    return Elicit("Who?", Name)


def what() -> Sample:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="What?"))
    return Sample([asked], max_tokens=20)


@server.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@server.tool()
async def count(ctx: Context) -> str:
    """Counts to three."""
    for at in range(1, 4):
        await ctx.report_progress(at, 3)
    return "three"


@server.tool()
def name(answer: Annotated[Name, Resolve(who)]) -> str:
    """Asks for a name."""
    return answer.name


@server.tool()
def think(said: Annotated[CreateMessageResult, Resolve(what)]) -> str:
    """Asks the model."""
    return said.content.text


if "--stdio" in sys.argv:
    server.run("stdio")
else:
    over_sse = "--sse" in sys.argv
    listening = socket.create_server(("127.0.0.1", 0))
    path = "sse" if over_sse else "mcp"
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/{path}", flush=True)
    app = server.sse_app() if over_sse else server.streamable_http_app()
    config = uvicorn.Config(app, log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])
