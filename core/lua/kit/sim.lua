-- SPDX-License-Identifier: Apache-2.0
-- require "tidegate.sim": what the simulators of all protocols have in common. A protocol's
-- sim.lua says how its device logs in, reports and answers; who reports when, along which
-- route, and who misbehaves is decided here. Devices that are logged in stand in one ring, and
-- a clock takes the next ones from it, so that many devices cost no timer each.
local tg = require "tidegate"
local route = require "tidegate.route"

local M = {}

local ticks, now = tg.time.ticks, tg.time.now

local TICK_MS = 20
local GIVE_UP_MS = 10000 -- for an acknowledgement
local DAY_MS = 86400000
local WITHIN_MS = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000 }
local WAYS = {
  split = "frames come in two pieces", noise = "bytes of no frame between frames",
  checksum = "every tenth report is damaged", twice = "each report comes twice",
  mute = "commands are not answered", vanish = "gone after 50 reports, and back again",
  early = "a report before the login", clock = "a clock that is a day behind",
}

--- The options of a simulator: those that all have, and its own.
---@param port integer where servers of the protocol listen, mostly
---@param own? table<string, tg.Option>
---@return table<string, tg.Option>
function M.options(port, own)
  local all = {
    host = { type = "string", default = "127.0.0.1", help = "where the devices connect to" },
    port = { type = "integer", default = port, min = 1, max = 65535 },
    tls = { type = "boolean", default = false },
    ca_file = { type = "string", default = "", help = "who signed the server's certificate" },
    insecure = { type = "boolean", default = false, help = "any certificate will do" },
    devices = { type = "integer", default = 1, min = 1, max = 1000000 },
    first = { type = "integer", default = 1, min = 1, max = 99000000, help = "first number" },
    rate = {
      type = "number", default = 1, min = 0, max = 1000,
      help = "reports a second and device; 0: as fast as they are acknowledged",
    },
    window = {
      type = "integer", default = 1, min = 1, max = 1000,
      help = "reports of a device that may wait for their acknowledgement",
    },
    connects = { type = "integer", default = 500, min = 1, max = 100000, help = "a second" },
    route = { type = "string", default = "", help = "the text of a route file" },
    speed_kmh = { type = "number", default = 40, min = 0, max = 1000 },
    misbehave = { type = "list", default = {}, help = "ways: split, noise, …" },
    share = {
      type = "integer", default = 100, min = 0, max = 100, help = "per cent that misbehave",
    },
  }
  for name, option in pairs(own or {}) do all[name] = option end
  return all
end

local function ways_of(config)
  local ways = {}
  for _, name in ipairs(config.misbehave) do
    if not WAYS[name] then
      local known = {}
      for way in pairs(WAYS) do known[#known + 1] = way end
      table.sort(known)
      error(("misbehave: no way '%s'; there are %s"):format(name, table.concat(known, ", ")), 0)
    end
    ways[name] = true
  end
  return ways
end

local function counters()
  local c = {}
  local function add(name, help) c[name] = tg.metric.counter(name, help) end
  add("connected", "connections that came up")
  add("logins", "logins that were taken")
  add("refused", "logins that were not")
  add("reports", "reports sent")
  add("acked", "reports acknowledged")
  add("unacked", "reports whose acknowledgement never came")
  add("late", "reports not sent as too many waited")
  add("damaged", "reports made wrong on purpose")
  add("commands", "commands that came")
  add("closed", "connections that ended")
  for _, ms in ipairs(WITHIN_MS) do
    add("acked_within_" .. ms, "acknowledgements that took at most so many ms")
  end
  return c
end

--- Fills in the handlers of a simulator's adapter and starts its devices.
---@param adapter tg.Adapter its config has M.options
---@param protocol tg.sim.Protocol
function M.run(adapter, protocol)
  local config = adapter.config
  if config.transport == "udp" and config.tls then error("udp carries no TLS", 0) end
  local count, ways = counters(), ways_of(config)
  local track = route.new(config.route)
  local worker, workers = tg.worker()
  local devices, ring = {}, {}
  local later = {} -- second halves of frames that are split

  -- ---- sending -------------------------------------------------------------------------------

  local function transmit(d, bytes)
    local conn = d.conn
    if d.noise and d.reports % 7 == 3 then conn:send(protocol.noise or "\0noise\255") end
    if d.split and #bytes > 1 then
      local cut = d.reports % (#bytes - 1) + 1
      conn:send(bytes:sub(1, cut))
      later[#later + 1] = { d = d, conn = conn, rest = bytes:sub(cut + 1) }
      d.halved = true -- nothing else may go between the halves
      return
    end
    conn:send(bytes)
    if d.twice then conn:send(bytes) end
  end

  local function finish_halves()
    local halves = later
    later = {}
    for _, half in ipairs(halves) do
      half.conn:send(half.rest)
      half.d.halved = false
    end
  end

  local function damage(bytes)
    local at = #bytes // 2 + 1
    return bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 0x15) .. bytes:sub(at + 1)
  end

  local function fix_of(d)
    local time = now()
    local fix = track:at(d.start + (time - d.born) * config.speed_kmh / 3600)
    fix.speed_kmh, fix.time = config.speed_kmh, d.clock and time - DAY_MS or time
    return fix
  end

  --- Whether another report may go: its window is open, or has stood still for too long.
  local function may_report(d, at)
    if d.halved then return false end
    if d.waiting < config.window then return true end
    if at - d.stalled < GIVE_UP_MS then return false end
    count.unacked(d.waiting)
    d.sent, d.waiting = {}, 0
    return true
  end

  local function report(d, at)
    if not may_report(d, at) then return count.late() end
    d.reports = d.reports + 1
    local bytes, key = protocol.report(d, fix_of(d))
    if d.checksum and d.reports % 10 == 0 then
      bytes, key = damage(bytes), nil
      count.damaged()
    else
      count.reports()
    end
    transmit(d, bytes)
    if key then
      d.sent[key], d.waiting, d.stalled = at, d.waiting + 1, at
    end
    if d.vanish and d.reports % 50 == 0 then d.conn:close() end
  end

  local function acked(d, key)
    local since, at = d.sent[key], ticks()
    if not since then return end
    d.sent[key], d.waiting, d.stalled = nil, d.waiting - 1, at
    count.acked()
    for _, ms in ipairs(WITHIN_MS) do
      if at - since <= ms then
        count["acked_within_" .. ms]()
        break
      end
    end
    if config.rate == 0 and d.slot then report(d, at) end
  end

  -- ---- the ring ------------------------------------------------------------------------------

  local function join(d)
    ring[#ring + 1] = d
    d.slot = #ring
  end

  local function leave(d)
    if not d.slot then return end
    local last = table.remove(ring)
    if last ~= d then
      ring[d.slot], last.slot = last, d.slot
    end
    d.slot = nil
  end

  local place, due, last_tick = 0, 0, ticks()

  --- What a stall of the machine has left out is not made up for.
  local function run_ring(at)
    due = math.min(due + config.rate * #ring * (at - last_tick) / 1000, #ring)
    for _ = 1, due // 1 do
      place = place % #ring + 1
      report(ring[place], at)
      due = due - 1
      if #ring == 0 then return end
    end
  end

  -- ---- connections ---------------------------------------------------------------------------

  local next_device, dials = 1, 0

  local function device(n)
    local d = protocol.device(config.first + n - 1, config)
    d.n, d.born, d.reports, d.waiting, d.sent = n, now(), 0, 0, {}
    d.start = track:start(n)
    if n % 100 < config.share then
      for way in pairs(ways) do d[way] = true end
    end
    return d
  end

  local function dial(n)
    devices[n] = devices[n] or device(n)
    tg.dial {
      host = config.host, port = config.port, adapter = adapter.id, tls = config.tls,
      insecure = config.insecure, ca_file = config.ca_file ~= "" and config.ca_file or nil,
      udp = config.transport == "udp" or nil, backoff = "1s", options = { n = n },
    }
  end

  local function dial_some(at)
    dials = math.min(dials + config.connects * (at - last_tick) / 1000 / workers, 200)
    while dials >= 1 and next_device <= config.devices do
      if next_device % workers == worker then
        dial(next_device)
        dials = dials - 1
      end
      next_device = next_device + 1
    end
  end

  tg.timer.every(TICK_MS / 1000, function()
    local at = ticks()
    if #later > 0 then finish_halves() end
    if next_device <= config.devices then dial_some(at) end
    if config.rate > 0 then run_ring(at) end
    last_tick = at
  end)

  -- ---- handlers ------------------------------------------------------------------------------

  local function start(d)
    join(d)
    if config.rate == 0 then
      for _ = 1, config.window do report(d, ticks()) end
    end
  end

  function adapter.on_open(conn, options)
    local d = devices[options.n]
    conn.state.n, d.conn = options.n, conn
    d.sent, d.waiting, d.stalled, d.halved = {}, 0, ticks(), false
    count.connected()
    if d.early then conn:send((protocol.report(d, fix_of(d)))) end
    local ok, why = protocol.login(conn, d)
    if not conn.open then return end
    if not ok then
      count.refused()
      tg.log.debug("%s: %s", d.id, tostring(why))
      return conn:close "auth"
    end
    count.logins()
    start(d)
  end

  function adapter.on_message(conn, msg)
    local d = devices[conn.state.n]
    local what, key = protocol.message(conn, d, msg)
    if what == "ack" then
      acked(d, key)
    elseif what == "command" then
      count.commands()
    end
  end

  --- Whoever ended it, a device comes back.
  function adapter.on_close(conn, reason)
    local d = devices[conn.state.n]
    if not d then return end
    leave(d)
    count.closed()
    if reason ~= "SHUTDOWN" then tg.timer.after(1, function() dial(d.n) end) end
  end
end

return M
