@0xe8b1d9c0a7f65432;
# The house that the official conformance suite is pointed at. The suite's fixtures have no prefix, so the
# route drops it. They are a bundle like any other.
#
# It is compiled in the folder that also holds the built bundles, so the test copies it there.

using Certosa = import "/certosa.capnp";

const house :Certosa.Manifest = (
  listen = "127.0.0.1:0",
  bundles = [
    (name = "conformance", file = "conformance.wasm", listsChange = true),
    (name = "hello", file = "hello.wasm"),
    (name = "jq", file = "jq.wasm"),
  ],
  routes = [(path = "/mcp", tools = ["bundle/**"], prompts = ["bundle/**"], resources = ["bundle/**"], callers = ["anonymous/loopback"], toolNames = bare)],
);
