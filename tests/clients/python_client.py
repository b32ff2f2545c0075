"""The official Python SDK against a house with the demo tools, in both eras of the protocol.

    python python_client.py URL
"""

import asyncio
import json
import logging
import re
import sys

from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS

TIME_MAX_S = 30


class Complaints(logging.Handler):
    """What the SDK does not raise it logs: a failed goodbye, an event that cannot be read."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


class Failed(Exception):
    pass


def expect(name, holds, found):
    if not holds:
        raise Failed(f"not ok {name}\nfound: {found!r}")
    print(f"ok {name}", flush=True)


def text(result):
    """The one text of a result."""
    [content] = result.content
    return content.text


async def use(url, mode, version):
    # Left to choose ("auto"), the client must come to the newer era.
    async with Client(url, mode=mode, read_timeout_seconds=10) as client:
        expect(f"{version}: version", client.protocol_version == version, client.protocol_version)
        server = client.server_info
        expect(f"{version}: the server says who it is", server is not None and server.name == "certosa", server)

        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        expect(f"{version}: tools/list", tools == ["hello_echo", "hello_greet", "jq_query"], tools)

        greeted = await client.call_tool("hello_greet", {"name": "Ana"})
        expect(f"{version}: a call", text(greeted) == "Hello, Ana!" and not greeted.is_error, greeted)

        said = 'Grüße, 世界 🏔 "\\\n\u2028'
        echoed = await client.call_tool("hello_echo", {"text": said})
        same = text(echoed) == said
        expect(f"{version}: text beyond ASCII, quotes and line breaks come back as they went", same, echoed)

        items = [{"kind": kind, "price": price} for kind, price in [("a", 11), ("b", 12), ("a", 30), ("c", 1)]]
        query = "[.items[] | select(.price > 10)] | group_by(.kind) | map({(.[0].kind): map(.price) | add}) | add"
        summed = await client.call_tool("jq_query", {"filter": query, "input": {"items": items}})
        expect(f"{version}: a call with nested arguments", json.loads(text(summed)) == {"a": 41, "b": 12}, summed)

        for what, arguments, problem in [
            ("a missing argument", {}, r"name.*required"),
            ("an argument of the wrong type", {"name": 3}, r"name.*string"),
        ]:
            refused = await client.call_tool("hello_greet", arguments)
            named = refused.is_error and re.search(problem, text(refused))
            expect(f"{version}: {what} is a tool error that says what is wrong", named, refused)

        failed = await client.call_tool("jq_query", {"filter": ".items[", "input": {}})
        why = failed.is_error and "character" in text(failed)
        expect(f"{version}: what a tool cannot do is a tool error that says why", why, failed)

        try:
            unknown = await client.call_tool("nothing_here", {})
        except MCPError as error:
            unknown = error
        known = isinstance(unknown, MCPError) and unknown.code == INVALID_PARAMS and "nothing_here" in unknown.message
        expect(f"{version}: an unknown tool is a protocol error", known, unknown)

        if mode == "legacy":
            # The newer era has no ping.
            await client.session.send_ping()
            expect(f"{version}: ping", True, None)


async def main(url):
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    async with asyncio.timeout(TIME_MAX_S):
        for mode, version in [("auto", "2026-07-28"), ("legacy", "2025-11-25")]:
            await use(url, mode, version)
            expect(f"{version}: close", not complaints.said, complaints.said)


def first(error):
    """The error itself: the SDK's task groups wrap what comes out of them."""
    return first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python python_client.py URL")
    try:
        asyncio.run(main(sys.argv[1]))
    except Exception as error:
        cause = first(error)
        sys.exit(str(cause) if isinstance(cause, Failed) else f"not ok: {type(cause).__name__}: {cause}")
