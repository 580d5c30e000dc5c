-- SPDX-License-Identifier: Apache-2.0
-- What forwarding to an upper platform costs: reports that a host takes from vehicles of GB/T
-- 32960, alone, and with each handed on to a second host and acknowledged by it, with the spool
-- in memory and on the disk that TMPDIR names. The three take turns, so that a busy moment of the
-- machine touches all; the processor time is that of the forwarding host.
--   lua5.4 bench/forward.lua [build/release]
package.path = "./spec/?.lua;./bench/?.lua;" .. package.path

local build = arg[1] or "build/release"
local uv = require "luv"
local Host = require "support.host"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"
Host.build, Host.binary = build, build .. "/tidegate"

local VEHICLES, REPORTS, RUNS, PATIENCE = 200, 100, 3, 120000
local ALL = VEHICLES * REPORTS
local TICKS = 100 -- of processor time in /proc, a second

-- whole vehicle, a motor, position, extremes, alarms
local BLOCKS = vectors.unhex("010103010272" .. "0002db630de92a794701" .. "2e10181200"
  .. "020101015c659053b64e0de6299f" .. "0500073e210001dc2926" .. "0601110e4001020e2a010146010542"
  .. "0701000000100100000102000000")

local function frame(...) return vectors.unhex(vectors.frame(...)) end

local function vin(i) return ("LTEST%012d"):format(i) end

local function processor_time(pid)
  local words = {}
  for word in Host.read(("/proc/%d/stat"):format(pid)):match("%) (.*)$"):gmatch "%S+" do
    words[#words + 1] = tonumber(word) or word
  end
  return (words[12] + words[13]) / TICKS
end

local function listener() return { name = "gbt32960", adapter = "gbt32960", anonymous = true } end

local function upper()
  return Host.start { config = {
    workers = 1,
    plugins = { gbt32960 = { links = "platform", reissues = 100000 } },
    users = { { user = "operator", password = "secret" } }, listeners = { listener() },
  } }
end

local function lower(port, path)
  local forward = port and { { name = "up", host = "127.0.0.1", port = port, user = "operator",
    password = "secret", platform = "TESTPLATFORM00001", vins = { "*" }, window = 256 } }
  return Host.start { config = {
    workers = 1, store = path and { plugin = "lmdb", path = path } or "",
    plugins = { gbt32960 = { forward = forward } }, listeners = { listener() },
  } }
end

local function vehicle(port, i)
  local conn = Host.connect(port)
  conn:send(vectors.unhex(vectors.login("##", vin(i))))
  conn:expect(frame("##", 1, 1, vin(i), vectors.TIME))
  local report = frame("##", 2, 0xFE, vin(i), vectors.TIME .. BLOCKS)
  return conn, report:rep(REPORTS) .. frame("##", 7, 0xFE, vin(i), "")
end

local function forwarded(host)
  return host:metric 'tidegate_gbt32960_forward_acked{link="up"}' or 0
end

--- Each vehicle sends all that it has; the heartbeat's answer says that it was taken.
--- @return table what the host did in how many seconds: reports taken, and acknowledged
local function measure(port, path)
  local host = lower(port, path)
  if port then
    Host.eventually(function()
      return host:metric 'tidegate_gbt32960_forward_up{link="up"}' == 1
    end, "the link")
  end
  local cars = {}
  for i = 1, VEHICLES do cars[i] = { vehicle(host.ports.gbt32960, i) } end
  local began, spent = uv.hrtime(), processor_time(host.pid)
  for i, car in ipairs(cars) do
    car[1]:send(car[2])
    car.beat = frame("##", 7, 1, vin(i), "")
  end
  local function seconds() return (uv.hrtime() - began) / 1e9 end
  for _, car in ipairs(cars) do
    Host.await(function() return #car[1].data >= #car.beat end, "all reports", PATIENCE)
    assert(car[1].data == car.beat, "a report was refused")
  end
  local r = { taken = seconds() }
  if port then
    Host.eventually(function() return forwarded(host) >= ALL end, "all answers", PATIENCE)
    r.acked = seconds()
  end
  assert(not port or host:metric "tidegate_gbt32960_forward_lost" == 0, "frames were lost")
  r.cpu = (processor_time(host.pid) - spent) / ALL * 1e6
  host:stop(60000)
  return r
end

local function folder_on_disk()
  local pipe = assert(io.popen "mktemp -d ${TMPDIR:-/var/tmp}/tidegate-bench-XXXXXX")
  local path = pipe:read "l"
  pipe:close()
  return path
end

local KINDS = { "received alone", "forwarded, spool in memory", "forwarded, spool on disk" }

local function run_all()
  local all = { {}, {}, {} }
  for _ = 1, RUNS do
    for kind, runs in ipairs(all) do
      local up, path = kind > 1 and upper() or nil, kind == 3 and folder_on_disk() or nil
      runs[#runs + 1] = measure(up and up.ports.gbt32960, path)
      if up then up:stop() end
      if path then os.execute("rm -r " .. path) end
    end
  end
  return all
end

local function median(runs, key)
  local values = {}
  for i, r in ipairs(runs) do values[i] = r[key] end
  table.sort(values)
  return values[(#values + 1) // 2]
end

local results = run_all()
local alone = median(results[1], "cpu")
for kind, runs in ipairs(results) do
  local cpu, done = median(runs, "cpu"), median(runs, kind == 1 and "taken" or "acked")
  print(("%-27s %8.0f reports/s  %6.1f us of processor time each  %4.1f times"):format(
    KINDS[kind], ALL / done, cpu, cpu / alone))
end
Host.cleanup()
