-- SPDX-License-Identifier: Apache-2.0
-- How memory and time grow with the number of filters and of sessions: the in-process benches in
-- several sizes, their numbers as a table and as JSON, and the figures in docs/img made of them.
local cjson = require "cjson"
local Host = require "support.host"
local plot = require "plot"
local report = require "report"

local M = {}

local FILTERS = { 10000, 100000, 1000000, 10000000 }
local SESSIONS = { 10000, 100000, 1000000 }
local RUNS = 3
local LONG = 10000000 -- from here on once

local MOST_BYTES = 2.5e9 -- promised for ten million filters

-- @return { [what] = median }
local function measure(program, n)
  local results = {}
  for run = 1, n < LONG and RUNS or 1 do
    io.stderr:write(("  growth, run %d: %s %d\n"):format(run, program, n))
    local code, out, err = Host.run(program, { tostring(n) }, { ms = 300000 })
    if code ~= 0 then error(("%s failed: %s%s"):format(program, out, err), 0) end
    report.collect(results, out)
  end
  local row = { n = n }
  for _, r in ipairs(results) do
    row[r.name:match "^%d+ %a+: (.+)$"] = report.median(r.values)
  end
  return row
end

local function rows_of(program, sizes)
  local rows = {}
  for i, n in ipairs(sizes) do rows[i] = measure(program, n) end
  return rows
end

local function points(rows, what, times)
  local list = {}
  for i, row in ipairs(rows) do
    local v = row[what]
    list[i] = { row.n, times and times / v or v }
  end
  return list
end

local MEMORY = "memory of each, subscription included"

local function router_figure(rows)
  return plot.svg {
    { x = "filters", y = "memory of a filter and its subscription, bytes", legend = "low",
      series = { { points = points(rows, MEMORY) } } },
    { x = "filters", y = "processor time, ns", series = {
      { name = "a topic matched (2.75 receivers)", points = points(rows, "topics matched", 1e9) },
      { name = "subscribed and unsubscribed",
        points = points(rows, "subscribe and unsubscribe", 1e9) },
    } },
  }
end

local function session_figure(rows)
  return plot.svg {
    { x = "sessions", y = "memory of an idle session, bytes", legend = "low", series = {
      { name = "connected, one subscription",
        points = points(rows, "connected, one subscription") },
      { name = "offline, one subscription", points = points(rows, "offline, one subscription") },
    } },
    { x = "sessions", y = "processor time, µs", series = {
      { name = "opened, with a subscription",
        points = points(rows, "opened, with a subscription") },
      { name = "a message to one, delivered",
        points = points(rows, "a message to one, delivered") },
      { name = "expired", points = points(rows, "expired") },
    } },
  }
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

--- Measures, prints tables, writes <build>/growth.json and <docs>/*-growth.svg.
---@return integer broken how many promises were not kept
function M.run(build, docs)
  local filters = rows_of(build .. "/bench/router", FILTERS)
  local sessions = rows_of(build .. "/bench/sessions", SESSIONS)
  report.growth("filters", filters, { { MEMORY, "bytes" }, { "topics matched", "/s and core" },
    { "subscribe and unsubscribe", "/s" }, { "p99 of a match", "ns" },
    { "p99 while another core subscribes and unsubscribes", "ns" } })
  report.growth("sessions", sessions, { { "connected, one subscription", "bytes" },
    { "offline, one subscription", "bytes" }, { "opened, with a subscription", "µs", 2 },
    { "a message to one, delivered", "µs", 2 }, { "expired", "µs", 2 } })
  write(build .. "/growth.json", cjson.encode { filters = filters, sessions = sessions })
  write(docs .. "/router-growth.svg", router_figure(filters))
  write(docs .. "/session-growth.svg", session_figure(sessions))
  local last = filters[#filters]
  return last[MEMORY] * last.n <= MOST_BYTES and 0 or 1
end

return M
