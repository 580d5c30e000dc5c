-- SPDX-License-Identifier: Apache-2.0
-- What the store on disk costs: acknowledged QoS 1 messages a second to sessions that must be
-- kept, and how many commits share an fsync, with one client and with many. The folder is to
-- lie on the disk that matters: TMPDIR says where. Mosquitto is not beside it: its persistence
-- writes a snapshot now and then, and acknowledges what a crash would lose.
--   lua5.4 bench/store.lua [build/release]
package.path = "./spec/?.lua;./bench/?.lua;" .. package.path

local build = arg[1] or "build/release"
local Host = require "support.host"
local servers = require "servers"
Host.build, Host.binary = build, build .. "/tidegate"

local function folder_on_disk()
  local pipe = assert(io.popen "mktemp -d ${TMPDIR:-/var/tmp}/tidegate-bench-XXXXXX")
  local path = pipe:read "l"
  pipe:close()
  return path
end

local function config(path, durability)
  return {
    workers = 1,
    store = durability ~= "memory"
      and { plugin = "lmdb", path = path, map_size = "4GiB", durability = durability } or "",
    limits = { queue_messages = 1000000, queue_bytes = "256MiB", inflight = 1000 },
    listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } },
    plugins = { mqtt = {} },
  }
end

local function measure(durability, clients, messages)
  local path = folder_on_disk()
  local host = Host.start { config = config(path, durability) }
  local r = servers.bench({ "pairs", "--durable", "--qos", 1, "--clients", clients,
    "--count", messages, "--window", 10 }, { pid = host.pid, mqtt = host.ports.mqtt })
  local groups = host:metric "tidegate_lmdb_groups_total"
  print(("%-8s %4d pairs  %9.0f acknowledged/s  %6s messages an fsync"):format(durability,
    clients, r.received / r.seconds, groups and ("%.1f"):format(r.received / groups) or "-"))
  assert(r.lost == 0 and r.doubled == 0, "messages were lost or doubled")
  host:stop()
  os.execute("rm -r " .. path)
end

for _, durability in ipairs { "memory", "relaxed", "commit" } do
  measure(durability, 1, durability == "commit" and 500 or 10000)
  measure(durability, 100, 20000)
end
Host.cleanup()
