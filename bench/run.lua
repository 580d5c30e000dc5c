-- SPDX-License-Identifier: Apache-2.0
-- All that we promise about speed and memory, measured: `make bench`, or one part of it with
-- `lua5.4 bench/run.lua build/release inproc|router|gt06|mqtt|growth`. Servers take turns and each
-- number is the median of its runs, so that a busy moment of the machine touches both and decides
-- nothing. `growth` takes minutes and 2 GB, and runs only when it is asked for.
package.path = "./spec/?.lua;./bench/?.lua;" .. package.path

local build, part = arg[1] or "build/release", arg[2]

local Host = require "support.host"
Host.build, Host.binary = build, build .. "/tidegate"
local servers = require "servers"
local report = require "report"
local growth = require "growth"

local RUNS = 3
local wrong = 0

-- name → arguments of `tidegate bench`. `fresh`: in a server that has done nothing else.
local MQTT = {
  { "1:1, QoS 0", { "pairs", "--count", 100000 } },
  { "1:1, QoS 1", { "pairs", "--qos", 1, "--count", 60000 } },
  { "1:1, QoS 2", { "pairs", "--qos", 2, "--count", 20000 } },
  { "1:1, QoS 0, one at a time", { "pairs", "--window", 1, "--count", 40000 } },
  { "1:1, QoS 0, 1 KiB", { "pairs", "--payload", 1024, "--count", 60000 } },
  { "1 to 500", { "fanout", "--clients", 500, "--count", 200 } },
  { "200 to 1, wildcard", { "fanin", "--clients", 200, "--count", 80000,
    "--window", 8 } },
  { "20,000 wildcard filters", { "filters", "--filters", 20000, "--subs", 20,
    "--count", 40000 } },
  { "5,000 retained to a new `#`", { "retained", "--count", 5000,
    "--clients", 10 } },
  { "connect storm", { "connect", "--clients", 2000, "--connecting", 32 } },
  { "idle connections", { "idle", "--clients", 4000, "--duration", "1s" },
    fresh = true },
}

local function check(name, who, r)
  if r.good then return end
  wrong = wrong + 1
  print(("%s, %s: %d lost, %d doubled, %d reordered"):format(
    name, who, r.lost, r.doubled, r.reordered))
  for kind, n in pairs(r.errors) do print(("  %d × %s"):format(n, kind)) end
end

local function measure(who, server, scenario, samples)
  local r, instructions = servers.instructions(server.pid, function()
    return servers.bench(scenario[2], server)
  end)
  check(scenario[1], who, r)
  r.instructions = instructions and instructions / math.max(r.received, 1)
  r.cpu_us, r.bytes_per_connection = r.server.cpu_us, r.server.bytes_per_connection
  r.p99_us = r.latency_us.p99
  report.add(samples, scenario[1], who, r)
end

local function run_mqtt(who, samples)
  for _, fresh in ipairs { false, true } do
    local server = servers[who]()
    for _, scenario in ipairs(MQTT) do
      if (scenario.fresh or false) == fresh then measure(who, server, scenario, samples) end
    end
    server.stop()
  end
end

local function mqtt()
  local samples = {}
  for n = 1, RUNS do
    local first, second = "tidegate", "mosquitto"
    if n % 2 == 0 then first, second = second, first end
    for _, who in ipairs { first, second } do
      io.stderr:write(("  mqtt, run %d of %d: %s\n"):format(n, RUNS, who))
      run_mqtt(who, samples)
    end
  end
  report.against_mosquitto(MQTT, samples)
end

-- Trackers through the Lua adapter, their positions out to an MQTT subscriber.
local function gt06()
  local samples = {}
  for n = 1, RUNS do
    io.stderr:write(("  gt06, run %d of %d\n"):format(n, RUNS))
    local server = servers.tidegate()
    local r = servers.load(build, "gt06_load", { "--port", server.gt06, "--mqtt-port", server.mqtt,
      "--trackers", 200, "--frames", 100000 }, server)
    server.stop()
    if r.answers ~= r.heartbeats or r.deliveries < r.frames then
      wrong = wrong + 1
      print(("gt06: %d of %d heartbeats answered, %d of %d positions delivered"):format(
        r.answers, r.heartbeats, r.deliveries, r.frames))
    end
    report.add(samples, "gt06", "tidegate", r)
  end
  report.trackers(samples)
end

-- Programs that print {"name":…,"value":…,"unit":…,"target":…,"better":"more"|"less"} a line.
-- @param cpus the list for taskset
local function promises(what, programs, cpus)
  local results = {}
  for n = 1, RUNS do
    io.stderr:write(("  %s, run %d of %d\n"):format(what, n, RUNS))
    for _, name in ipairs(programs) do
      local program = build .. "/bench/" .. name
      local code, out, err = Host.run("taskset", { "-c", cpus, program }, { ms = 60000 })
      if code ~= 0 then error(("%s failed: %s%s"):format(program, out, err), 0) end
      report.collect(results, out)
    end
  end
  wrong = wrong + report.promises(what, results)
end

local function inproc()
  promises("in process", { "layout", "frames", "guard", "idle" }, servers.LOAD_CPU)
end

local function router()
  promises("the router alone", { "router" }, servers.SERVER_CPU .. "," .. servers.LOAD_CPU)
end

local parts = {
  inproc = inproc, router = router, mqtt = mqtt, gt06 = gt06,
  growth = function() wrong = wrong + growth.run(build, "docs/img") end,
}

local function main()
  for _, name in ipairs(part and { part } or { "inproc", "router", "gt06", "mqtt" }) do
    parts[name]()
  end
end

local ok, err = xpcall(main, debug.traceback)
Host.cleanup()
if not ok then io.stderr:write(err, "\n") end
os.exit(ok and wrong == 0)
