-- SPDX-License-Identifier: Apache-2.0
-- The config of a Tidegate host: a Lua table. Every option stands here with its default; what
-- is written here may therefore be left out. `tidegate config check FILE` names file, line and
-- option of a mistake, and the nearest right name. SIGHUP reads the file again: log levels,
-- the log file, certificates, listeners and new plugins change in the running host; for the
-- rest it says that a restart is needed.
--
-- Durations: "100ms", "5s", "10m", "2h", "1d", or a number of seconds.
-- Sizes: "64KiB", "2MiB", "1GiB", or a number of bytes.
-- Secrets stay out of this file: password = tg.env "NAME".
return {
  -- Threads that serve connections; 0: one per core.
  workers = 0,

  -- Where the host keeps its token and its copies of plugins, for its owner alone. "": the
  -- environment's TIDEGATE_STATE, else ~/.local/state/tidegate.
  state_dir = "",

  -- Folders that plugins are looked for in, ":" between. "": the environment's
  -- TIDEGATE_PLUGINS, else `plugins` beside the binary and ../lib/tidegate/plugins.
  plugin_path = "",

  -- The store that keeps sessions, retained messages and spools; "": memory, which nothing
  -- survives. On disk: { plugin = "lmdb", path = "/var/lib/tidegate/store" }, with the other
  -- options of plugins/lmdb/README.md. A string is the id of a store that a plugin below brings.
  store = "",

  -- Longest time that ending may take: clients are told, what is queued is flushed, and the
  -- store finishes what it was given.
  shutdown = "10s",

  log = {
    -- Least severe lines that are written: "error", "warn", "info", "debug".
    level = "info",
    -- A level of its own for a module: host, net, tls, hub, plugin, lua, auth, admin, adapter.
    levels = {},
    -- "text", "json", or "auto": text on a terminal, else JSON.
    format = "auto",
    -- "": stderr. A file is appended to, and opened again on SIGHUP (for logrotate).
    file = "",
  },

  -- The REST API, which the command line and the dashboard use.
  admin = {
    enabled = true,
    bind = "127.0.0.1:18083",
    -- The bearer token; made at the first start, mode 0600. "": admin.token in state_dir.
    token_file = "",
    -- Names, besides localhost and addresses, that requests may call this host by.
    hosts = {},
    -- Largest body of a request.
    body_max = "1MiB",
    -- Connections at once; readers of subscriptions take at most half of them.
    connections = 64,
    -- What may wait for one reader of a subscription.
    stream_buffer = "256KiB",
  },

  limits = {
    -- Messages with QoS 1 and 2 on the way to one client.
    inflight = 32,
    -- What those weigh, though one of any size may be on the way; 0: no limit.
    inflight_bytes = "4MiB",
    -- A client that has left one unanswered for so long loses its connection, and keeps its
    -- session; 0: no limit.
    inflight_age = 0,
    -- Messages with QoS 2 from one client that it has not released, 2 bytes each. MQTT 5 clients
    -- are held to the adapter's receive_maximum; MQTT 3 has no word for it, and a client that
    -- exceeds this is closed.
    rx_inflight = 65535,
    -- What may wait for one session, connected or not; more is dropped, and counted.
    queue_messages = 1000,
    queue_bytes = "1MiB",
    -- What waits for longer is dropped; 0: no limit.
    queue_age = 0,
    -- Keep QoS 0 messages for sessions that are away.
    queue_qos0 = false,
    -- Subscriptions of one session.
    subscriptions = 1000,
    -- Retained messages in all; 0: no limit.
    retained_count = 1000000,
    retained_bytes = "1GiB",
    -- Longest time that a session outlives its connection, whatever its client asks for.
    session_expiry = "7d",
    -- Levels of a topic or a filter.
    topic_levels = 128,
    -- Who of a $share group gets a message: "round_robin", "random", "sticky" (one member
    -- until it leaves), "hash_topic", "hash_client".
    share = "round_robin",
    -- Messages on their way to one worker; past it, publishers are not read for a while.
    mailbox = "16MiB",
    -- Keys that the workers share through `kv`, of one plugin.
    kv = "64MiB",
    -- A plugin's callback that takes longer is reported with its name.
    slow_callback = "100ms",
    -- File descriptors kept back for the admin API when devices have taken the rest.
    descriptors = 64,
  },

  -- The host's figures as retained messages under $SYS/broker/, and events under $SYS/events/.
  sys = {
    -- How often the figures are published; 0: never.
    interval = "10s",
    -- Which clients may subscribe to topics under $SYS: "nobody"; "acl", those whose list of
    -- filters (`subscribe` of a user, or what an auth plugin says) has them; "users", those that
    -- showed credentials, and have no list that is without them; "all". The REST API may always.
    readers = "acl",
  },

  -- What devices upload through their adapters: pictures, recordings. A folder a plugin, in it
  -- one a device; files have mode 0640 and are never replaced.
  files = {
    enabled = true,
    -- "": files in state_dir. It is made, its parent must exist.
    path = "",
    -- Of one file.
    max_bytes = "16MiB",
    -- Of all; then writes are refused. A file counts as whole blocks of 4 KiB; 0: no limit.
    total = "10GiB",
    -- Of one device, and how many; 0: no limit. "drop": then its oldest files make room,
    -- "refuse": its newest is refused.
    device_bytes = "256MiB",
    device_files = 10000,
    when_full = "drop",
    -- Older files are removed; 0: never.
    max_age = "30d",
  },

  -- Users known to the host itself. `publish` and `subscribe` are topic filters outside of
  -- which the user may not; without them everything is allowed. ${client_id} and ${user} are
  -- replaced. A password may also be "pbkdf2$sha256$<iterations>$<salt>$<hash>", with salt and
  -- hash in base64.
  --   { user = "meter", password = tg.env "METER_PASSWORD",
  --     publish = { "meter/${client_id}/#" }, subscribe = { "meter/${client_id}/down" } },
  users = {},

  -- Who is asked whether a client may come in, in this order: ids of auth plugins, and "users"
  -- for the list above. Without an answer the client is refused.
  auth = { "users" },

  -- Plugins to load, with their options: by name from plugin_path. Where one is to be loaded
  -- from elsewhere: { { name = "/srv/acme", options = {} }, … }.
  plugins = {
    mqtt = {},
    gt06 = {},
  },

  -- Where devices and clients connect. One adapter may have many listeners.
  --   name       its name in logs, counters and the API
  --   adapter    an adapter that a plugin offers
  --   bind       "127.0.0.1:1883", "[::1]:1883", "*:1883" for every address, port 0 for any
  --   anonymous  let clients in that show no credentials (false)
  --   backlog    connections that may wait to be accepted (1024)
  --   transport  "auto": "tls" where `tls` is given, else "tcp"; "udp": datagrams. The peers of
  --              a UDP listener are connections with the same limits: 65,536 of them where
  --              `connections` says nothing. At the limit those that nothing is bound to make
  --              room, the quietest first, else newcomers are refused.
  --   tls        { cert = "chain.pem", key = "key.pem", ca = "clients.pem",
  --              verify = "none" | "optional" | "required", min_version = "1.2" | "1.3",
  --              ciphers = "" }
  --   limits     { connections = 0, per_address = 0, accept_rate = 0 (a second),
  --              bytes_rate = 0, messages_rate = 0 (a second and connection: its read pauses),
  --              first_frame = "30s", handshake = "10s", write_stall = "60s",
  --              quiet = "3m" (udp: a peer that says nothing for so long is forgotten, unless
  --              its adapter sets a time of its own),
  --              frame = 0 (as the adapter says), junk = "16KiB", bad_frames = 0 (in a row),
  --              write_queue = "1MiB" };
  --              0: no limit
  --   options    of the adapter's plugin, for this listener: { max_packet_size = "64KiB" }
  listeners = {
    { name = "mqtt", adapter = "mqtt", bind = "127.0.0.1:1883", anonymous = true },
    { name = "gt06", adapter = "gt06", bind = "127.0.0.1:5023", anonymous = true },
  },
}
