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
