-- SPDX-License-Identifier: Apache-2.0
-- The MQTT table: what a message costs us, Mosquitto, and a bare forwarder ("floor"), each on
-- one core with the load on the other. The servers take turns and change their order from run
-- to run; a number is the median of its runs. What cannot be compared in absolute terms, because
-- the machine and its neighbours differ, is promised as a share of Mosquitto's in the same run.
local report = require "report"
local servers = require "servers"

local M = {}

-- The most that a message may cost us: instructions where the machine counts them, else a share
-- of the processor time of Mosquitto. `count` is for the fast servers, `slow` for Mosquitto.
M.rows = {
  { name = "100 pairs, QoS 0, 10 in flight each", args = { "pairs", "-c", 100, "-w", 10 },
    count = 200000, slow = 50000, floor = true, instructions = 6500, share = 0.235 },
  { name = "100 pairs, QoS 1, 10 in flight each", args = { "pairs", "-c", 100, "-w", 10, "-q", 1 },
    count = 150000, slow = 30000, floor = true, instructions = 9500, share = 0.187 },
  { name = "100 pairs, QoS 2, 10 in flight each", args = { "pairs", "-c", 100, "-w", 10, "-q", 2 },
    count = 80000, slow = 15000, instructions = 16000, share = 0.170 },
  { name = "500 pairs, QoS 0, one in flight each", args = { "pairs", "-c", 500, "-w", 1 },
    count = 30000, slow = 30000, floor = true, instructions = 24700, share = 0.731 },
  { name = "1 publisher to 1,000 subscribers", args = { "fanout", "-c", 1000, "-w", 10 },
    count = 300, slow = 60, floor = true, instructions = 2900, share = 0.088 },
  { name = "1,000 publishers to 1 wildcard subscriber",
    args = { "fanin", "-c", 1000, "-w", 10 },
    count = 200000, slow = 50000, floor = true, instructions = 3900, share = 0.171 },
  { name = "100,000 wildcard filters, 1,000 subscribers",
    args = { "filters", "-c", 100, "-s", 1000, "-f", 100000, "-w", 10 },
    count = 60000, slow = 20000, instructions = 17400, share = 0.615 },
  { name = "10,000 retained messages to a new wildcard subscriber",
    args = { "retained", "-c", 4 }, count = 10000, slow = 10000,
    instructions = 4000, share = 0.308 },
  { name = "one connect", args = { "connect", "-c", 2000 }, floor = true,
    instructions = 66000, share = 0.904 },
}

-- What the rows do not say: times at a given pace, and what a server takes for who is idle.
-- Memory is measured in servers that have done nothing else.
local PACED = { "pairs", "-c", 100, "-r", 20000, "-d", "1500ms" }
local IDLE = { "idle", "-c", 8000, "-f", 100000, "-d", "100ms" }
local IDLE_TLS = { "idle", "-c", 2000, "-d", "100ms" }
local TLS = { "--tls", "--insecure" }
local HANDSHAKES = {
  full = { "connect", "-c", 600 },
  resumed = { "connect", "-c", 600, "--tls-resume" },
}

local wrong = 0

local function check(name, who, r)
  if r.good then return end
  wrong = wrong + 1
  print(("%s, %s: %d lost, %d doubled, %d reordered"):format(
    name, who, r.lost, r.doubled, r.reordered))
  for kind, n in pairs(r.errors) do print(("  %d × %s"):format(n, kind)) end
end

local function join(...)
  local all = {}
  for _, list in ipairs { ... } do
    for _, item in ipairs(list) do all[#all + 1] = item end
  end
  return all
end

--- The row's arguments for a server of that speed.
function M.args(row, count)
  -- Topics that are the same in every run, so that what is hashed and compared is, too.
  return join(row.args, { "-t", "bench/p/%i" }, count and { "-n", count } or {})
end

local function measure_row(samples, who, server, row)
  local args = M.args(row, who == "mosquitto" and row.slow or row.count)
  local r, instructions = servers.instructions(server.pid, function()
    return servers.bench(args, server)
  end)
  check(row.name, who, r)
  local n = math.max(r.received, row.count and 1 or r.connections)
  report.add(samples, row.name, who, {
    rate = r.rate, cpu = r.server.cpu_us, instructions = instructions and instructions / n })
end

local function measure(samples, what, who, server, args)
  local r = servers.bench(args, server)
  check(what, who, r)
  report.add(samples, what, who, {
    p50 = r.latency_us.p50, p99 = r.latency_us.p99, rate = r.rate, cpu = r.server.cpu_us,
    connection = r.server.bytes_per_connection, subscription = r.server.bytes_per_subscription,
    resumed = r.tls_resumed })
end

-- In servers of their own, since a process that was large once does not get smaller.
local function measure_idle(samples, who)
  local server = servers[who]()
  measure(samples, "idle", who, server, IDLE)
  server.stop()
  server = servers[who]()
  server.mqtt = server.tls
  measure(samples, "idle, TLS", who, server, join(IDLE_TLS, TLS))
  for kind, args in pairs(HANDSHAKES) do
    measure(samples, "handshake, " .. kind, who, server, join(args, TLS))
  end
  server.stop()
end

local function run(samples, who)
  local server = servers[who]()
  for _, row in ipairs(M.rows) do
    if who ~= "floor" or row.floor then measure_row(samples, who, server, row) end
  end
  for _ = 1, 3 do measure(samples, "paced", who, server, PACED) end -- a percentile swings
  server.stop()
  if who ~= "floor" then measure_idle(samples, who) end
end

local function print_rows(value)
  local counted = value(M.rows[1].name, "tidegate", "instructions") ~= nil
  print "\n### MQTT: floor (F), Tidegate (T) and Mosquitto (M), one core each\n"
  local titles = { "work", "F µs", "T µs", "M µs", "T/F", "T/M", "T per s", "M per s" }
  for _, title in ipairs(counted and { "F instr", "T instr", "M instr" } or {}) do
    titles[#titles + 1] = title
  end
  report.head(titles)
  for _, row in ipairs(M.rows) do
    local function of(who, key) return value(row.name, who, key) end
    local f, t, m = of("floor", "cpu"), of("tidegate", "cpu"), of("mosquitto", "cpu")
    local cells = { row.name, report.number(f, 2), report.number(t, 2), report.number(m, 2),
      report.ratio(t, f), report.ratio(t, m), report.number(of("tidegate", "rate")),
      report.number(of("mosquitto", "rate")) }
    for _, who in ipairs(counted and { "floor", "tidegate", "mosquitto" } or {}) do
      cells[#cells + 1] = report.number(of(who, "instructions"))
    end
    report.row(cells)
  end
end

local function print_others(value)
  print ""
  report.head { "what", "Tidegate", "Mosquitto" }
  local function line(what, name, key, digits, turn)
    local cells = { what }
    for _, who in ipairs { "tidegate", "mosquitto" } do
      local v = value(name, who, key)
      cells[#cells + 1] = report.number(v and turn and 1e6 / v or v, digits)
    end
    report.row(cells)
  end
  line("deliveries a second and core, QoS 0", M.rows[1].name, "cpu", 0, true)
  line("deliveries a second and core, QoS 1", M.rows[2].name, "cpu", 0, true)
  line("latency at 20,000 messages a second, p50, µs", "paced", "p50")
  line("the same, p99, µs", "paced", "p99")
  line("bytes of an idle TCP connection with its session", "idle", "connection")
  line("bytes of a subscription", "idle", "subscription")
  line("bytes of an idle TLS connection with its session", "idle, TLS", "connection")
  line("TLS handshakes a second and core, full", "handshake, full", "cpu", 0, true)
  line("TLS handshakes a second and core, resumed", "handshake, resumed", "cpu", 0, true)
end

local function share(value, name, key)
  local t, m = value(name, "tidegate", key), value(name, "mosquitto", key)
  return t / math.max(m, 1e-9)
end

-- What bench/report.lua prints and judges: name, value, unit, target, better.
local function promises(value)
  local list = {}
  local function add(name, v, unit, target, better)
    list[#list + 1] = { name = name, values = { v }, unit = unit, target = target,
      better = better or "less" }
  end
  for _, row in ipairs(M.rows) do
    local counted = value(row.name, "tidegate", "instructions")
    if counted then add(row.name, counted, "instructions", row.instructions)
    else add(row.name, share(value, row.name, "cpu"), "of M's processor time", row.share) end
  end
  for qos = 0, 1 do
    add(("deliveries a second and core, QoS %d"):format(qos),
      1 / share(value, M.rows[qos + 1].name, "cpu"), "times M's", 6, "more")
  end
  add("latency at 20,000 messages a second, p50", share(value, "paced", "p50"), "of M's", 1)
  add("latency at 20,000 messages a second, p99", share(value, "paced", "p99"), "of M's", 1)
  add("an idle TCP connection with its session", value("idle", "tidegate", "connection"),
    "bytes", 729)
  add("a subscription", value("idle", "tidegate", "subscription"), "bytes", 430)
  add("an idle TLS connection", share(value, "idle, TLS", "connection"), "of M's bytes", 1)
  for _, kind in ipairs { "full", "resumed" } do
    add("a TLS handshake, " .. kind, share(value, "handshake, " .. kind, "cpu"),
      "of M's processor time", 1)
  end
  return list
end

--- @return how many promises were not kept, or runs went wrong
function M.run(runs)
  local samples, order = {}, { "tidegate", "mosquitto", "floor" }
  for n = 1, runs do
    for _, who in ipairs(order) do
      io.stderr:write(("  mqtt, run %d of %d: %s\n"):format(n, runs, who))
      run(samples, who)
    end
    table.insert(order, table.remove(order, 1))
  end
  local function value(name, who, key) return report.value(samples, name, who, key) end
  print_rows(value)
  print_others(value)
  return wrong + report.promises("MQTT, promised", promises(value))
end

return M
