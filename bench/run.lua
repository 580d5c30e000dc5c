-- SPDX-License-Identifier: Apache-2.0
-- All that we promise about speed and memory, measured: `make bench`, or one part of it with
-- `lua5.4 bench/run.lua build/release inproc|router|devices|mqtt|growth|callgrind|profile|other`.
-- Servers take turns and each number is the median of its runs, so that a busy moment of the
-- machine touches both and decides nothing. The last four run only when they are asked for:
-- `growth` takes minutes and 2 GB, `callgrind` minutes, `profile` promises nothing, `other`
-- fetches another server of JT/T 808, for which it needs Go and the net.
package.path = "./spec/?.lua;./bench/?.lua;" .. package.path

local build, part = arg[1] or "build/release", arg[2]

local Host = require "support.host"
Host.build, Host.binary = build, build .. "/tidegate"
local servers = require "servers"
local report = require "report"
local growth = require "growth"
local mqtt = require "mqtt"
local peer = require "peer"
local callgrind = require "callgrind"
local profile = require "profile"

local RUNS = 3
local wrong = 0

-- Devices through Lua adapters. GT06: positions out to an MQTT subscriber, on one core. JT/T 808:
-- each report acknowledged, server and devices on all cores; and terminals that do nothing.
local FLEETS = {
  { name = "GT06, 200 trackers, to an MQTT subscriber, one core", protocol = "gt06",
    args = { "--devices", 200, "--reports", 100000 }, subscriber = true },
  { name = "JT/T 808, 1,000 terminals, ten reports in flight each", protocol = "jt808", workers = 2,
    args = { "--devices", 1000, "--reports", 300000, "--window", 10 }, rate = 100000 },
  { name = "JT/T 808, 1,000 terminals, one report in flight each", protocol = "jt808", workers = 2,
    args = { "--devices", 1000, "--reports", 100000, "--window", 1 }, rate = 45000 },
  { name = "JT/T 808, idle terminals", protocol = "jt808",
    args = { "--devices", 5000, "--reports", 0 }, bytes = 2048 },
}

local function run_fleet(fleet, samples)
  local server = servers.tidegate(nil, fleet.workers)
  local args = { "--port", server[fleet.protocol], table.unpack(fleet.args) }
  if fleet.subscriber then table.move({ "--mqtt-port", server.mqtt }, 1, 2, #args + 1, args) end
  local r = servers.devices(build, fleet.protocol, args, server)
  server.stop()
  if r.answers ~= r.fences or fleet.subscriber and r.deliveries < r.reports then
    wrong = wrong + 1
    print(("%s: %d of %d answered, %d of %d delivered"):format(fleet.name, r.answers, r.fences,
      r.deliveries, r.reports))
  end
  r.bytes = (r.rss_after - r.rss_before) / r.devices
  report.add(samples, fleet.name, "tidegate", r)
end

local function devices()
  local samples = {}
  for n = 1, RUNS do
    io.stderr:write(("  devices, run %d of %d\n"):format(n, RUNS))
    for _, fleet in ipairs(FLEETS) do run_fleet(fleet, samples) end
  end
  wrong = wrong + report.fleets(samples, FLEETS)
end

-- Terminals of JT/T 808 at our server and at another one, in turns: that of peer.lua, or one that
-- the command OTHER starts and that listens on OTHER_PORT. It need not know more than one report
-- in flight.
local function other()
  local command, port = peer.command()
  if not command then return print("other: skipped: " .. port) end
  local samples = {}
  for n = 1, RUNS do
    for _, run in ipairs { { "tidegate", 1 }, { "other", 1 }, { "tidegate", 10 } } do
      io.stderr:write(("  run %d of %d: %s, %d in flight\n"):format(n, RUNS, run[1], run[2]))
      local server = run[1] == "other" and servers.other(command, port) or servers.tidegate()
      local r = servers.devices(build, "jt808", { "--port", server.jt808, "--devices", 1000,
        "--reports", 60000, "--window", run[2] }, server)
      server.stop()
      if r.answers ~= r.fences then wrong = wrong + 1 end
      report.add(samples, run[2], run[1], r)
    end
  end
  report.beside(samples, { 1, 10 })
  report.ratios(samples, { 1, 10 })
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
  inproc = inproc, router = router, devices = devices,
  mqtt = function() wrong = wrong + mqtt.run(RUNS) end,
  callgrind = callgrind.run, profile = profile.run, other = other,
  growth = function() wrong = wrong + growth.run(build, "docs/img") end,
}

local function main()
  for _, name in ipairs(part and { part } or { "inproc", "router", "devices", "mqtt" }) do
    parts[name]()
  end
end

local ok, err = xpcall(main, debug.traceback)
Host.cleanup()
if not ok then io.stderr:write(err, "\n") end
os.exit(ok and wrong == 0)
