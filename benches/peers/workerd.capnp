# The echo as a worker. Its port comes out on the control descriptor.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "echo", worker = .echo)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "echo")],
);

const echo :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  modules = [(name = "workerd.mjs", esModule = embed "workerd.mjs")],
);
