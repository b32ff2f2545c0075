@0xb2f0c3d4e5a69788;
# The demo house: what the README's first command runs. `certosa check` explains what is wrong with it,
# and `schema/certosa.capnp` is the manual of everything that can be said here.

using Certosa = import "/certosa.capnp";

const house :Certosa.Manifest = (
  listen = "127.0.0.1:8787",

  bundles = [
    # The smallest tools there are. They get less than the defaults, because they need less.
    (
      name = "hello",
      file = "target/bundles/hello.wasm",
      limits = (memoryMibMax = 8, cpuMsMax = 100, wallMsMax = 1000, outputKibMax = 1024),
    ),

    # jq filters over the caller's JSON: a filter can compute for long and hold much, so it is bounded.
    (
      name = "jq",
      file = "target/bundles/jq.wasm",
      limits = (memoryMibMax = 128, cpuMsMax = 2000, wallMsMax = 10000),
    ),

    # Exact numbers and units. A calculation stops itself after 1.2 s.
    (
      name = "calc",
      file = "target/bundles/calc.wasm",
      limits = (memoryMibMax = 64, cpuMsMax = 2000, wallMsMax = 5000, outputKibMax = 256),
    ),

    # Dates, durations and time zones, with the zones built in.
    (
      name = "time",
      file = "target/bundles/time.wasm",
      limits = (memoryMibMax = 16, cpuMsMax = 300, wallMsMax = 2000, outputKibMax = 256),
    ),

    # Search, differences and comparison of texts.
    (
      name = "text",
      file = "target/bundles/text.wasm",
      limits = (memoryMibMax = 192, cpuMsMax = 4000, wallMsMax = 15000, outputKibMax = 8192),
    ),

    # HTML and Markdown into what a model reads well.
    (
      name = "page",
      file = "target/bundles/page.wasm",
      limits = (memoryMibMax = 192, cpuMsMax = 4000, wallMsMax = 15000),
    ),

    # Tables (CSV, JSON lines) asked with SQL.
    (
      name = "table",
      file = "target/bundles/table.wasm",
      limits = (memoryMibMax = 256, cpuMsMax = 5000, wallMsMax = 20000),
    ),
  ],

  routes = [
    # Everything, for everybody on this machine.
    (
      path = "/mcp",
      tools = ["bundle/**"],
      prompts = ["bundle/**"],
      resources = ["bundle/**"],
      callers = ["anonymous/loopback"],
    ),
  ],
);
