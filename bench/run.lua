-- SPDX-License-Identifier: Apache-2.0
-- All that we promise about speed and memory, measured: `make bench`, or one part of it with
-- `lua5.4 bench/run.lua build/release inproc|router|gt06|mqtt|growth|callgrind|profile`. Servers
-- take turns and each number is the median of its runs, so that a busy moment of the machine
-- touches both and decides nothing. The last three run only when they are asked for: `growth`
-- takes minutes and 2 GB, `callgrind` minutes, `profile` promises nothing.
package.path = "./spec/?.lua;./bench/?.lua;" .. package.path

local build, part = arg[1] or "build/release", arg[2]

local Host = require "support.host"
Host.build, Host.binary = build, build .. "/tidegate"
local servers = require "servers"
local report = require "report"
local growth = require "growth"
local mqtt = require "mqtt"
local callgrind = require "callgrind"
local profile = require "profile"

local RUNS = 3
local wrong = 0

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
  inproc = inproc, router = router, gt06 = gt06,
  mqtt = function() wrong = wrong + mqtt.run(RUNS) end,
  callgrind = callgrind.run, profile = profile.run,
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
