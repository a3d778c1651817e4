"""A server of the Python SDK 1.x on standard input and output, or over HTTP."""

import socket
import sys

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

server = FastMCP("python")


class Name(BaseModel):
    name: str


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
async def name(ctx: Context) -> str:
    """Asks for a name."""
    answer = await ctx.elicit("Who?", Name)
    return answer.data.name if answer.action == "accept" else answer.action


@server.tool()
async def think(ctx: Context) -> str:
    """Asks the model."""
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="What?"))
    said = await ctx.session.create_message([asked], max_tokens=20, related_request_id=ctx.request_id)
    return said.content.text


if "--stdio" in sys.argv:
    server.run("stdio")
else:
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])
