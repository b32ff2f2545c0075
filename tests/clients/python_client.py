"""The official Python SDK against a house with the demo tools, in both eras of the protocol.

    python python_client.py URL                      everything, over HTTP
    python python_client.py CERTOSA MANIFEST URL     a little of everything, over its stdio transport

The second form starts the binary CERTOSA as `certosa stdio MANIFEST` and, as a bridge to the house at URL, as
`certosa stdio --url URL`.
"""

import asyncio
import json
import logging
import re
import sys

from mcp import Client, MCPError, StdioServerParameters
from mcp.types import INVALID_PARAMS, ElicitResult, EmptyResult, PromptReference, ResourceTemplateReference

TIME_MAX_S = 60

ERAS = [("auto", "2026-07-28"), ("legacy", "2025-11-25")]
# What the demo house offers.
TOOLS = [
    *("calc_bases", "calc_convert", "calc_evaluate"),
    *("hello_echo", "hello_greet", "hello_introduce", "jq_query"),
    *("page_article", "page_links", "page_outline", "page_to_html", "page_to_markdown"),
    *("table_describe", "table_query"),
    *("text_best_matches", "text_compare", "text_diff", "text_replace", "text_search"),
    *("time_add", "time_convert", "time_difference", "time_format", "time_now"),
]
PROMPTS = ["hello_welcome", "table_explore_table", "text_review_changes"]
RESOURCES = ["calc://syntax", "calc://units", "hello://about", "table://sql", "time://zones"]
TEMPLATES = ["hello://greeting/{language}", "time://zones/{+zone}"]
SALES = {"name": "sales", "data": "city,amount\nRome,3\nBari,4.5\nRome,1"}
TOTALS = "SELECT city, SUM(amount) AS total FROM sales GROUP BY city ORDER BY total DESC"
# A call of each bundle: the tool, its arguments, what its text has in it, and a member of its structured content.
CALLS = [
    ("calc_evaluate", {"expression": "1/3 + 1/6 to fraction"}, "1/2", None),
    ("hello_greet", {"name": "Ana"}, "Hello, Ana!", None),
    ("jq_query", {"filter": ".a", "input": {"a": [1, {"b": None}]}}, '[1,{"b":null}]', None),
    ("page_to_markdown", {"html": "<h1>Hi</h1><p>a <b>b</b></p>"}, "# Hi\n\na **b**", None),
    ("table_query", {"tables": [SALES], "sql": TOTALS}, "Bari", ("rows", [["Bari", 4.5], ["Rome", 4]])),
    ("text_diff", {"old": "a\nb\n", "new": "a\nc\n"}, "-b\n+c", None),
    (
        "time_add",
        {"time": "2024-01-31", "duration": "1 month"},
        "2024-02-29",
        ("time", "2024-02-29T00:00:00+00:00[UTC]"),
    ),
]
LANGUAGES = ["english", "french", "german", "italian", "spanish"]
# What the older era says of a resource that is not there.
RESOURCE_NOT_FOUND = -32002


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


async def refusal(request):
    """The protocol error that a request ends with, or what it returned instead."""
    try:
        return await request
    except MCPError as error:
        return error


def refused(outcome, code, problem):
    return isinstance(outcome, MCPError) and outcome.code == code and problem in outcome.message


class Person:
    """Who is at the client: answers every form in the same way, and keeps what was asked."""

    def __init__(self, action, content=None):
        self.answer = ElicitResult(action=action, content=content)
        self.asked = []

    async def __call__(self, _context, params):
        self.asked.append(params)
        return self.answer

    def was_asked_the_form(self):
        if len(self.asked) != 1:
            return False
        [form] = self.asked
        schema = form.requested_schema
        right = form.mode == "form" and form.message == "What is your name?"
        return right and schema["properties"]["name"]["type"] == "string" and schema["required"] == ["name"]


async def use(url, mode, version):
    # Left to choose ("auto"), the client must come to the newer era.
    async with Client(url, mode=mode, read_timeout_seconds=10) as client:
        expect(f"{version}: version", client.protocol_version == version, client.protocol_version)
        server = client.server_info
        expect(f"{version}: the server says who it is", server is not None and server.name == "certosa", server)
        await use_tools(client, version)
        await use_prompts(client, version)
        await use_resources(client, version, INVALID_PARAMS if mode == "auto" else RESOURCE_NOT_FOUND)
        await use_every_bundle(client, version)
        if mode == "legacy":
            # The newer era has no ping.
            pong = await client.session.send_ping()
            expect(f"{version}: ping", isinstance(pong, EmptyResult), pong)


async def use_tools(client, version):
    tools = sorted(tool.name for tool in (await client.list_tools()).tools)
    expect(f"{version}: tools/list", tools == TOOLS, tools)

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
        outcome = await client.call_tool("hello_greet", arguments)
        named = outcome.is_error and re.search(problem, text(outcome))
        expect(f"{version}: {what} is a tool error that says what is wrong", named, outcome)

    failed = await client.call_tool("jq_query", {"filter": ".items[", "input": {}})
    why = failed.is_error and "character" in text(failed)
    expect(f"{version}: what a tool cannot do is a tool error that says why", why, failed)

    unknown = await refusal(client.call_tool("nothing_here", {}))
    known = refused(unknown, INVALID_PARAMS, "nothing_here")
    expect(f"{version}: an unknown tool is a protocol error", known, unknown)


async def use_every_bundle(client, version):
    for tool, arguments, said, structured in CALLS:
        result = await client.call_tool(tool, arguments)
        right = not result.is_error and said in text(result)
        if structured:
            member, value = structured
            right = right and result.structured_content[member] == value
        expect(f"{version}: {tool}", right, result)
    [message] = (await client.get_prompt("text_review_changes", {"old": "a\n", "new": "b\n"})).messages
    expect(f"{version}: a prompt of another bundle", "+b" in message.content.text, message)
    for uri in RESOURCES:
        [content] = (await client.read_resource(uri)).contents
        expect(f"{version}: resources/read of {uri}", len(content.text) > 100, content)
    [rome] = (await client.read_resource("time://zones/Europe/Rome")).contents
    expect(f"{version}: a template of another bundle", re.search(r"\+0[12]", rome.text), rome)
    reference = ResourceTemplateReference(uri="time://zones/{+zone}")
    completed = (await client.complete(reference, {"name": "zone", "value": "europe/r"})).completion
    expect(f"{version}: completion in another bundle", "Europe/Rome" in completed.values, completed)


async def use_prompts(client, version):
    prompts = (await client.list_prompts()).prompts
    known = [(a.name, bool(a.required)) for a in prompts[0].arguments]
    names = [prompt.name for prompt in prompts]
    listed = names == PROMPTS and known == [("name", True), ("language", False)]
    expect(f"{version}: prompts/list", listed, prompts)

    for what, arguments, beginning in [
        ("without the optional argument", {"name": "Ana"}, "Hello, Ana!"),
        ("with it", {"name": "Ana", "language": "french"}, "Bonjour, Ana!"),
    ]:
        [message] = (await client.get_prompt("hello_welcome", arguments)).messages
        said = message.role == "user" and message.content.text.startswith(beginning)
        expect(f"{version}: prompts/get {what}", said, message)

    for what, name, arguments, problem in [
        ("an unknown language", "hello_welcome", {"name": "Ana", "language": "klingon"}, "klingon"),
        ("a needed argument left out", "hello_welcome", {}, "name"),
        ("an unknown prompt", "nothing_here", {}, "nothing_here"),
    ]:
        outcome = await refusal(client.get_prompt(name, arguments))
        expect(f"{version}: {what} is a protocol error", refused(outcome, INVALID_PARAMS, problem), outcome)

    prompt = PromptReference(name="hello_welcome")
    for value, values in [("", LANGUAGES), ("g", ["german"]), ("x", [])]:
        completed = (await client.complete(prompt, {"name": "language", "value": value})).completion
        expect(f"{version}: completion of a prompt's argument from {value!r}", completed.values == values, completed)


async def use_resources(client, version, not_found):
    resources = (await client.list_resources()).resources
    listed = [str(resource.uri) for resource in resources] == RESOURCES
    expect(f"{version}: resources/list", listed and resources[2].mime_type == "text/markdown", resources)

    template = "hello://greeting/{language}"
    templates = (await client.list_resource_templates()).resource_templates
    listed = [found.uri_template for found in templates] == TEMPLATES
    expect(f"{version}: resources/templates/list", listed and templates[0].mime_type == "text/plain", templates)

    for uri, mime_type, beginning in [
        ("hello://about", "text/markdown", "# hello\n"),
        ("hello://greeting/french", "text/plain", "Bonjour"),
    ]:
        [content] = (await client.read_resource(uri)).contents
        right = (str(content.uri), content.mime_type) == (uri, mime_type) and content.text.startswith(beginning)
        expect(f"{version}: resources/read of {uri}", right, content)

    for uri in ["hello://greeting/klingon", "hello://nothing"]:
        outcome = await refusal(client.read_resource(uri))
        right = refused(outcome, not_found, uri) and outcome.data == {"uri": uri}
        expect(f"{version}: {uri} is not found", right, outcome)

    reference = ResourceTemplateReference(uri=template)
    completed = (await client.complete(reference, {"name": "language", "value": "it"})).completion
    expect(f"{version}: completion of a template's variable", completed.values == ["italian"], completed)


async def be_asked(url, mode, version):
    """The tool that asks for a name, at clients whose person answers, declines or cannot be asked."""
    for who, person, greeting in [
        ("answers", Person("accept", {"name": "Zoë"}), "Hello, Zoë!"),
        ("declines", Person("decline"), "Hello, whoever you are!"),
        ("cannot be asked", None, "Hello, whoever you are!"),
    ]:
        async with Client(url, mode=mode, read_timeout_seconds=10, elicitation_callback=person) as client:
            greeted = await client.call_tool("hello_introduce", {})
        right = text(greeted) == greeting and not greeted.is_error
        expect(f"{version}: a tool asks a client that {who}", right, greeted)
        if person:
            expect(f"{version}: the one that {who} saw the form", person.was_asked_the_form(), person.asked)


async def use_shortly(what, server, mode, version):
    person = Person("accept", {"name": "Ana"})
    async with Client(server, mode=mode, read_timeout_seconds=10, elicitation_callback=person) as client:
        expect(f"{version}: {what}: version", client.protocol_version == version, client.protocol_version)
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        expect(f"{version}: {what}: tools/list", tools == TOOLS, tools)
        await use_every_bundle(client, f"{version}: {what}")
        # One message is one line: line breaks must stay inside of it.
        said = 'Grüße, 世界 🏔 "\\\r\n\u2028'
        echoed = await client.call_tool("hello_echo", {"text": said})
        expect(f"{version}: {what}: a call", text(echoed) == said, echoed)
        [message] = (await client.get_prompt("hello_welcome", {"name": "Ana", "language": "french"})).messages
        expect(f"{version}: {what}: a prompt", message.content.text.startswith("Bonjour, Ana!"), message)
        [content] = (await client.read_resource("hello://greeting/french")).contents
        expect(f"{version}: {what}: a resource", content.text == "Bonjour", content)
        greeted = await client.call_tool("hello_introduce", {})
        right = text(greeted) == "Hello, Ana!" and person.was_asked_the_form()
        expect(f"{version}: {what}: a question", right, (greeted, person.asked))


async def over_http(url):
    for mode, version in ERAS:
        yield version, use(url, mode, version)
        yield version, be_asked(url, mode, version)


async def over_stdio(certosa, manifest, url):
    for what, args in [("in process", [manifest]), ("bridge", ["--url", url])]:
        server = StdioServerParameters(command=certosa, args=["stdio", *args])
        for mode, version in ERAS:
            yield f"{version}: {what}", use_shortly(what, server, mode, version)


async def main(runs):
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    async with asyncio.timeout(TIME_MAX_S):
        async for name, run in runs:
            await run
            expect(f"{name}: close", not complaints.said, complaints.said)


def first(error):
    """The error itself: the SDK's task groups wrap what comes out of them."""
    return first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    ways = {1: over_http, 3: over_stdio}
    given = sys.argv[1:]
    if len(given) not in ways:
        sys.exit("usage: python python_client.py URL | CERTOSA MANIFEST URL")
    try:
        asyncio.run(main(ways[len(given)](*given)))
    except Exception as error:
        cause = first(error)
        sys.exit(str(cause) if isinstance(cause, Failed) else f"not ok: {type(cause).__name__}: {cause}")
