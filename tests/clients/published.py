"""The Python SDK 2.x as a client of a gateway before published servers (`everything`, `files`, `memory`, `time`):
uses each of them and says what it saw, as JSON: the same as `published.mjs`.

usage: published.py [--mode legacy|modern] --url URL, in the directory that is its only root
"""

import asyncio
import json
from pathlib import Path

import anyio
from mcp import Client, types

import steps

MODES = {"legacy": "legacy", "modern": "2026-07-28"}
HERE = Path.cwd()
GRAPH = "memory+memory://knowledge-graph"
PATIENCE_SECONDS = 20


async def elicit(_context, _params):
    return types.ElicitResult(action="accept", content={**steps.NAME, "check": True})


async def sample(_context, _params):
    answer = types.TextContent(type="text", text=steps.SUMMARY)
    return types.CreateMessageResult(role="assistant", model="test-model", stop_reason="endTurn", content=answer)


async def roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri=HERE.as_uri(), name="here")])


def texts(result):
    return [getattr(block, "text", block.type) for block in result.content]


def entity(name):
    return {"entities": [{"name": name, "entityType": "person", "observations": ["writes"]}]}


async def told_of_a_change(client, mode, told):
    """Watches the graph, changes it, and says which resource was told to have changed."""
    change = client.call_tool("memory.create_entities", entity("Grace"))
    if mode == "modern":
        async with client.listen(resource_subscriptions=[GRAPH]) as watch:
            await change
            return (await anext(aiter(watch))).uri
    await client.subscribe_resource(GRAPH)
    await change
    uri = await told.get()
    await client.unsubscribe_resource(GRAPH)
    return uri


async def cancelled(client):
    with anyio.CancelScope() as scope:

        async def give_up(_progress, _total, _message):
            scope.cancel()

        given = {"duration": 60, "steps": 300}
        await client.call_tool("everything.trigger-long-running-operation", given, progress_callback=give_up)
    return "cancelled" if scope.cancelled_caught else "it ran to its end"


async def saw(options):
    told = asyncio.Queue()

    async def heard(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            await told.put(message.params.uri)

    client = Client(
        options.url,
        mode=MODES[options.mode],
        elicitation_callback=elicit,
        sampling_callback=sample,
        list_roots_callback=roots,
        message_handler=heard,
        client_info=types.Implementation(**steps.CLIENT),
    )
    seen = []

    async def progressed(progress, _total, _message):
        seen.append(progress)

    async with client:

        async def call(name, given=None, **how):
            return await client.call_tool(name, given or {}, **how)

        # The server asks for roots when it starts, and answers calls meanwhile.
        for _ in range(100):
            if str(HERE) in texts(await call("files.list_allowed_directories"))[0]:
                break
        note = str(HERE / "note.txt")
        long = {"duration": 0.4, "steps": 4}
        return {
            "tools": [tool.name for tool in (await client.list_tools()).tools],
            "prompts": [prompt.name for prompt in (await client.list_prompts()).prompts],
            "resources": [str(resource.uri) for resource in (await client.list_resources()).resources],
            "echo": texts(await call("everything.echo", {"message": "hello ☃"})),
            "long": texts(await call("everything.trigger-long-running-operation", long, progress_callback=progressed)),
            "steps": seen,
            "elicited": texts(await call("everything.trigger-elicitation-request")),
            "sampled": texts(await call("everything.trigger-sampling-request", {"prompt": "What?", "maxTokens": 20})),
            "roots": texts(await call("everything.get-roots-list")),
            "written": texts(await call("files.write_file", {"path": note, "content": "written by a client"})) and None,
            "file": texts(await call("files.read_text_file", {"path": note})),
            "outside": (await call("files.read_text_file", {"path": "/etc/hostname"})).is_error,
            "created": texts(await call("memory.create_entities", entity("Ada"))) and None,
            "graph": [it["name"] for it in (await call("memory.read_graph")).structured_content["entities"]],
            "time": json.loads(texts(await call("time.get_current_time", {"timezone": "Europe/Zurich"}))[0])["timezone"],
            "document": (await client.read_resource("everything+demo://resource/static/document/features.md"))
            .contents[0]
            .uri,
            "dynamic": (await client.read_resource("everything+demo://resource/dynamic/text/7")).contents[0].uri,
            "prompt": (await client.get_prompt("everything.args-prompt", {"city": "Bern"})).messages[0].content.text,
            "completed": (
                await client.complete(
                    types.PromptReference(type="ref/prompt", name="everything.completable-prompt"),
                    {"name": "department", "value": "E"},
                )
            ).completion.values,
            "updates": [await asyncio.wait_for(told_of_a_change(client, options.mode, told), PATIENCE_SECONDS)],
            "cancelled": await cancelled(client),
            "again": texts(await call("everything.echo", {"message": "still here"})),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(saw(steps.parse_arguments(list(MODES))))))
