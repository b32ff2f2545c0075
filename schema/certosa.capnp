@0xd1a3c0a9b5e7f264;
# The manifest of a Certosa house: what runs in it, what each thing may do and who may ask for it.
#
# A manifest is Cap'n Proto text that imports this file and defines exactly one constant:
#
#     @0x9f1c7a52d3b80e46;                        # any number of your own: `certosa check` proposes one
#     using Certosa = import "/certosa.capnp";
#
#     const house :Certosa.Manifest = (
#       bundles = [( name = "hello", file = "hello.wasm" )],
#       routes  = [( path = "/mcp", tools = ["bundle/hello/**"], callers = ["anonymous/loopback"] )],
#     );
#
# `certosa check` reads it, checks everything and explains what is wrong, all at once. Nothing else
# configures a house: no environment variable widens what is declared here.
#
# Two rules hold everywhere. **Deny by default**: what is not declared is not allowed, and an empty list
# allows nobody. **Every limit has a default**: leaving a limit out never means "unlimited", and zero is
# refused. A limit carries its unit in its name; 1 MiB is 1,048,576 bytes.
#
# The manifest and every file that it imports or embeds lie in one folder or below it: at most 64 files,
# imports at most 8 deep, 1 MiB of text for each file, 64 MiB in all.

struct Manifest {
  # A whole house.

  listen @0 :Text = "127.0.0.1:8787";
  # Where the house answers: an IP address and a port. As long as callers are anonymous this must be a
  # loopback address, and everything else is refused: whoever reaches the port may use the tools.
  # Port 0 takes any free port and prints it.

  bundles @1 :List(Bundle);
  # What runs here. At least 1, at most 10,000, with distinct names.

  routes @2 :List(Route);
  # What can be reached from outside, and by whom. A bundle that no route names is loaded and checked,
  # and nobody can call it. At most 100, with distinct paths.

  limits @3 :HouseLimits;
  # Bounds of the house as a whole. The defaults suit a small machine.

  tls @4 :Tls;
  # Encrypts connections (TLS 1.2 and 1.3) and offers HTTP/2 beside HTTP/1.1. Left out: plain HTTP/1.1.

  telemetry @5 :Telemetry;
  # Where to send what the house sees. `/metrics` is always there, for those who may reach the port.

  credentials @6 :List(Credential);
  # What bundles may use without ever reading it: rules only. Values come with `certosa vault set NAME` and are
  # sealed together with the rule of that time. At most 10,000, with distinct names.

  vault @7 :Vault;
  # Where the key of the vault comes from. It matters to houses with credentials only.

  roots @8 :List(Text);
  # Files with certificates (PEM) of authorities that requests of bundles, and of the vault, trust beside those of
  # Mozilla, which are built in. Paths are absolute, or relative to the manifest's folder. At most 16.
}

struct Vault {
  kek @0 :Text;
  # The key that encrypts keys: 32 bytes from exactly one source (docs/vault.md). One of
  #   "file:///absolute/path"              a file of mode 0600; made on the first start if it is not there
  #   "env://NAME"                         a variable
  #   "passphrase"                         asked for at each start
  #   "exec:///absolute/path?arg=a&arg=b"  what a program prints
  #   "openbao+https://host/v1/MOUNT/data/PATH#FIELD"
  # Left out: the file `kek` in the state folder, which protects nothing from who can read that folder.
}

struct Credential {
  # A secret that the host uses for a bundle, and what it may be used for. The rule here can be narrower than the one
  # that was sealed with the value, never wider: `certosa vault allow NAME` seals the value again under this one.

  name @0 :Text;
  # 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or a digit.

  allowedSubs @1 :List(Text);
  # Patterns of the tools, prompts and resources that may use it: the subject `bundle/NAME/TOOL`.
  # Examples: "bundle/github/**" (all of a bundle), "bundle/github/create_issue" (one tool).

  allowedCallers @2 :List(Text);
  # Patterns of the callers on whose behalf. Left out: whoever may call the bundle. An empty list: nobody.

  union {
    # What it is for; one of the three.

    send @3 :Send;
    # It goes into requests, on their last hop.

    sign @4 :Text;
    # It signs (Ed25519, RFC 8032) what the bundle hands over, behind this context: 1 to 255 bytes that say what such
    # a signature is for. The value is a seed of 32 bytes. Example: "example.com release 1"

    mac @5 :Text;
    # It authenticates (HMAC-SHA256, RFC 2104) in the same manner.
  }

  perMinuteMax @6 :UInt32 = 600;
  # Uses in any minute, all bundles together. Further ones are refused. Uses are counted in seconds, so one may count for
  # 61. Each process counts its own: `certosa serve` those of all its clients, each `certosa stdio` or `call` those of its
  # one. 1 to 1,000,000.
}

struct Send {
  to @0 :Reach;
  # Where it may be sent. The bundle's own `egress` has to allow it, too.

  union {
    # How it is sent; one of these.

    bearer @1 :Void;        # Authorization: Bearer VALUE (RFC 6750)
    basic @2 :Text;         # Authorization: Basic, with this user name; the value is the password (RFC 7617)
    header @3 :Header;      # a header
    query @4 :Text;         # the parameter of the query with this name
    json @5 :Text;          # the member of this name at the top of a body that is a JSON object
    form @6 :Text;          # the field of this name of a body that is application/x-www-form-urlencoded
  }

  struct Header {
    name @0 :Text;          # Example: "x-api-key"
    prefix @1 :Text;        # What stands before the value. Example: "token "
  }
}

struct Reach {
  # Where requests may go. Each of the five has to allow it, and an empty list allows nothing.

  schemes @0 :List(Text) = ["https"];
  # "https", "http".

  hosts @1 :List(Text);
  # Names in lower case, or addresses. `*.example.com` stands for one label more: `api.example.com`, and neither
  # `example.com` nor `a.b.example.com`.

  ports @2 :List(UInt16) = [443];

  methods @3 :List(Text) = ["GET", "HEAD"];
  # Methods in capital letters. What changes something has to be named.

  paths @4 :List(Text) = ["/**"];
  # Paths without the query. `*` stands for one segment, `**`, last only, for whatever is left. Where paths are named, a
  # request has to spell its path in the one plain way: no `..`, no `//`, no escaped letters.
}

struct Egress {
  # What a bundle may reach over HTTP (docs/egress.md).

  to @0 :Reach;

  addresses @1 :List(Text);
  # Ranges of addresses that may be connected to beside the global ones. Examples: "10.1.0.0/16", "127.0.0.1/32".
  # Left out: none, so neither this machine nor its network nor the metadata of a cloud can be reached.

  requestKibMax @2 :UInt32 = 8192;
  # Body of a request. 1 to 1,048,576.

  responseKibMax @3 :UInt32 = 32768;
  # Body of a response, unpacked. 1 to 1,048,576.

  connectMsMax @4 :UInt32 = 10000;
  # Time to look up the host, and again time to connect to it with TLS. 1 to 600,000.

  firstByteMsMax @5 :UInt32 = 60000;
  # Time from the last byte that was sent to the head of the response. 1 to 600,000.

  betweenBytesMsMax @6 :UInt32 = 30000;
  # Time between two pieces of a response's body. 1 to 600,000.

  redirectsMax @7 :UInt32 = 0;
  # Redirects that the host follows by itself, inside of what the bundle may reach. 0: the bundle sees them. 0 to 20.

  exchangesMax @8 :UInt32 = 64;
  # Exchanges of the bundle at the same time. Further ones wait; the time of the call goes on. 1 to 10,000.
}

struct Tls {
  # A certificate and its key, in PEM. Both files are looked at every second: a new pair serves new
  # connections, open ones go on, and a pair that cannot be used changes nothing and is logged.
  # Paths are absolute, or relative to the manifest's folder.

  certificate @0 :Text;
  # The certificate, followed by those of the authorities up to the root. Example: "tls/fullchain.pem"

  key @1 :Text;
  # The private key (PKCS #8, PKCS #1 or SEC1). Example: "tls/key.pem"
}

struct Telemetry {
  otlp @0 :Text;
  # A collector of OpenTelemetry traces (OTLP over HTTP, protobuf): one span for each call, under the
  # caller's `traceparent` where it sent one. Example: "http://127.0.0.1:4318/v1/traces". Left out: none.
}

struct Bundle {
  # One WebAssembly component. It gets nothing but the WASI base (clocks, random numbers, a standard error
  # whose end the operator sees when it breaks off; files and sockets that refuse) and its own memory; and what is
  # granted to it: `egress` here, and credentials that name it. A component that imports more than it was granted is
  # refused before the house starts.

  name @0 :Text;
  # The bundle's name in tool names (`hello_greet`), subjects (`bundle/hello/greet`) and records.
  # 1 to 40 characters: a lower-case letter or a digit, then lower-case letters, digits, `.`, `_`, `-`.
  # A `.` becomes `_` in tool names, because clients refuse it there.

  union {
    # Where the component comes from; one of the two.

    file @1 :Text;
    # A file, relative to the folder of the manifest; it may not leave it. Example: "bundles/hello.wasm".

    bytes @2 :Data;
    # The component itself. Example: bytes = embed "hello.wasm"
  }

  digest @3 :Text;
  # Pins the component: "sha256:" and 64 hex digits. When it is set and the component is another one,
  # the house does not start. `certosa inspect FILE.wasm` prints it. Default: not pinned.

  limits @4 :CellLimits;
  # Bounds of each cell of this bundle.

  listsChange @5 :Bool = false;
  # What a bundle offers is fixed when the house opens: a tool whose description or schema changes after
  # somebody has looked at it and approved it is a known attack. `true` lets this bundle change its lists while
  # the house is open: when a call of it says that lists have changed, the house asks it again, at most once a
  # second, checks the answer as at the start, and tells those who listen. Names of bundles that are declared
  # before it stay theirs; it may hide names of those that are declared after it. `false`: what it says of its
  # lists is dropped, and counted in the record of the call.

  reuse @6 :Reuse = once;
  # Whether a cell outlives its call. What a tool keeps in memory, the next call in the same cell finds.

  enum Reuse {
    once @0;     # A fresh cell for each call. Nothing crosses from one call to another.
    serial @1;   # One cell for all callers; their calls come one after the other. For tools that keep nothing
                 # of one caller that another must not see, and take long to start.
    caller @2;   # A cell for each caller; the calls of one caller come one after the other.
  }

  reuseIdleMsMax @7 :UInt32 = 60000;
  # How long a reused cell may wait for its next call; then it ends and its memory is free. A call that
  # goes past a limit or breaks off ends its cell too. 1 to 86,400,000.

  egress @8 :Egress;
  # What the bundle may reach over HTTP, with any library that speaks wasi:http 0.2. Left out: nothing, and a
  # component that imports wasi:http is refused.
}

struct CellLimits {
  # What one cell may use. A cell is made for one call and ends with it, so these are bounds of a call. In a cell
  # that is reused memory and handles add up over its calls; everything else is counted for each call.
  # Going past one ends the call with an error that names the limit; the house and its other cells go on.

  memoryMibMax @0 :UInt32 = 64;
  # Memory, summed over all linear memories and tables of the cell. 1 to 4,096.
  # A Rust tool needs 2; a Python or JavaScript runtime 32 to 128. The schemas of its tools may take as much of the
  # house, and 16 in any case.

  cpuMsMax @1 :UInt32 = 2000;
  # Time on the processor, of the guest and of the host on its behalf; waiting does not count. 1 to 600,000.

  wallMsMax @2 :UInt32 = 30000;
  # Time from the start of the cell to its end, waiting included. 1 to 3,600,000.

  outputKibMax @3 :UInt32 = 4096;
  # Size of a result: all content, structured content and state; and of what the guest hands to one call of a
  # host function (15 times as much where the functions of a component are its tools). 1 to 65,536.

  concurrencyMax @4 :UInt32 = 64;
  # Cells of this bundle that run at the same time. Further calls wait in line. 1 to 10,000.

  queueMax @5 :UInt32 = 256;
  # Calls that may wait in line. Callers take turns, and each is served in the order of its own calls. One call
  # more is refused at once with an error that says when to try again. 1 to 100,000.

  callerConcurrencyMax @6 :UInt32 = 64;
  # Cells of this bundle that run for one caller at the same time. Further calls of that caller wait in line.
  # 1 to 10,000.

  stackKibMax @7 :UInt32 = 512;
  # Stack of the cell. 64 to 8,192. Each value that a manifest uses sets address space aside for `cellsMax` cells.

  handlesMax @8 :UInt32 = 1024;
  # Handles that the cell holds at the same time, of the host's resources (streams, pollables) and of its own. A timer
  # takes two. 16 to 1,000,000.

  logsMax @9 :UInt32 = 256;
  # Log messages, of at most 4 KiB each. Further ones are dropped and counted in the record. 0 to 100,000.

  compileMsMax @10 :UInt32 = 180000;
  # Time to make code of the component, once for a machine, in a child process of the house; on the processor, summed
  # over its threads, it may take twice as much. 1 to 3,600,000. Bundles of the same component share its code,
  # which is made within the bounds of the first of them.

  compileMibMax @11 :UInt32 = 8192;
  # Address space of that child. 128 to 65,536. On two processors 320 are enough for a Rust tool, and 1,024 for a
  # Python or JavaScript runtime; each further processor takes some more.

  randomKibMax @12 :UInt32 = 64;
  # Random bytes that the cell gets at once; it may ask again. 1 to 65,536.
}

struct Route {
  # A way in from outside.

  path @0 :Text = "/mcp";
  # The path of the endpoint, exactly as the client sends it: `/`, then segments out of
  # `A-Z a-z 0-9 . _ ~ -`. `/health`, `/ready` and `/metrics` belong to the house.

  tools @1 :List(Text);
  # Patterns of the tools that this route shows. A tool is the subject `bundle/NAME/TOOL`; in a pattern
  # `*` stands for one whole segment and `**`, last only, for one or more.
  # Examples: "bundle/**" (every tool), "bundle/hello/**" (one bundle), "bundle/hello/greet" (one tool).

  prompts @4 :List(Text);
  # Patterns of the prompts that this route shows: the subject `bundle/NAME/PROMPT`, as for tools.

  resources @5 :List(Text);
  # Patterns of the resources and templates that this route shows: the subject `bundle/NAME/RESOURCE`, where
  # RESOURCE is the name that the bundle gave it, not its URI.

  callers @2 :List(Text);
  # Patterns of the callers who may use this route. Without authentication the caller is
  # `anonymous/loopback`.

  toolNames @3 :ToolNames = prefixed;
  # How tools and prompts are called here. `bare` drops the bundle's name: pleasant for one bundle. When two
  # bundles on the route have a tool of the same name, the one that is declared later is hidden, and
  # `certosa check` and the start of the house say so.

  enum ToolNames {
    prefixed @0;   # bundle_tool: hello_greet
    bare @1;       # tool: greet
  }
}

struct HouseLimits {
  # Bounds of the whole house, shared by its bundles.

  cellsMax @0 :UInt32 = 256;
  # Cells that run at the same time in all bundles together. 1 to 4,096. Address space is set aside for
  # each of them (4 GiB for each of up to 4 memories, which costs no memory), and a bundle's `concurrencyMax` cannot go beyond.

  requestKibMax @1 :UInt32 = 4096;
  # Size of a request body. 1 to 65,536.

  connectionsMax @2 :UInt32 = 4096;
  # Open connections. Further ones wait in the backlog of the kernel. 1 to 100,000.

  headerMsMax @3 :UInt32 = 10000;
  # Time that a client may take to send a request's headers. 100 to 600,000.

  bodyMsMax @4 :UInt32 = 30000;
  # Time that a client may take to send a request's body. 100 to 600,000.

  sessionsMax @5 :UInt32 = 10000;
  # Sessions of clients that speak MCP 2025-11-25 or older. When all are taken, the one that was idle
  # for longest ends. 1 to 1,000,000.

  sessionIdleSMax @6 :UInt32 = 3600;
  # Time after which an idle session ends. 10 to 604,800.

  drainMsMax @7 :UInt32 = 10000;
  # Time that running calls get to finish when the house is told to stop. 0 is not allowed; 1 to 600,000.

  answerSMax @8 :UInt32 = 600;
  # Time that a client of MCP 2025-11-25 or older may take to answer the questions of one round: there is a
  # person behind it. 1 to 86,400.
}
