-- SPDX-License-Identifier: Apache-2.0
-- Where the server's processor time goes in each row of the table: the kernel's share, and the
-- functions of ours that take most. It samples the CPU's clock, which every machine has.
local Host = require "support.host"
local report = require "report"
local servers = require "servers"
local mqtt = require "mqtt"

local M = {}

local TOP, TIMES = 8, 4

local function record(server, row)
  local file = Host.folder() .. "/perf.data"
  local perf = Host.spawn("perf", { "record", "-q", "-e", "cpu-clock", "-F", 4000, "-o", file,
    "-p", server.pid })
  Host.pass(300)
  servers.bench(mqtt.args(row, row.count and row.count * TIMES), server)
  perf:kill "sigint"
  perf:wait(60000)
  local code, out, err = Host.run("perf", { "report", "-i", file, "--stdio", "--no-children",
    "--percent-limit", 0, "--sort", "symbol", "-g", "none" }, { ms = 60000 })
  assert(code == 0, err)
  return out
end

-- @return percent in the kernel, { "function percent", … }
local function read(text)
  local kernel, own = 0, {}
  for percent, where, symbol in text:gmatch "([%d.]+)%%%s+%[(.)%]%s+(%S+)" do
    percent = tonumber(percent)
    if where == "k" then kernel = kernel + percent
    elseif #own < TOP then own[#own + 1] = ("%s %.1f"):format(symbol, percent) end
  end
  return kernel, own
end

function M.run()
  local server = servers.tidegate()
  print "\n### Where the processor time goes, in percent\n"
  report.head { "work", "kernel", "most of ours" }
  for _, row in ipairs(mqtt.rows) do
    local kernel, own = read(record(server, row))
    report.row { row.name, report.number(kernel), table.concat(own, ", ") }
  end
  server.stop()
  return 0
end

return M
