-- SPDX-License-Identifier: Apache-2.0
-- User-space instructions of a delivered message, counted by Valgrind: two runs of a server that
-- differ in their number of messages alone, so that starting, connecting and subscribing fall
-- out. It repeats to a percent however busy the machine is, so it is what to optimise by; what
-- the kernel does for a message is not in it.
local report = require "report"
local servers = require "servers"
local mqtt = require "mqtt"

local M = {}

-- row of the table → messages of the short run, and by how many more the long one has.
local COUNTS = { { 2000, 20000 }, { 2000, 10000 }, { 2000, 6000 }, { 2000, 10000 }, { 4, 20 },
  { 5000, 20000 } }

local TOOL = { "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null" }

-- @return instructions of the server's whole life, deliveries
local function count(who, row, messages)
  local server = servers[who](TOOL)
  local args = mqtt.args(row, messages)
  table.move({ "--connecting", 4 }, 1, 2, #args + 1, args) -- it lets in one after the other
  local r = servers.bench(args, server)
  server.stop()
  if not r.good then error(row.name .. ", " .. who .. ": something was lost or out of order", 0) end
  local total = table.concat(server.err, "\n"):match "Collected : (%d+)"
  return tonumber(total), r.received
end

local function per_message(who, row, counts)
  local short, few = count(who, row, counts[1])
  local long, many = count(who, row, counts[1] + counts[2])
  return (long - short) / (many - few)
end

function M.run()
  print "\n### User-space instructions of a delivered message\n"
  report.head { "work", "Tidegate", "Mosquitto", "T/M" }
  for i, counts in ipairs(COUNTS) do
    local row, of = mqtt.rows[i], {}
    for _, who in ipairs { "tidegate", "mosquitto" } do
      io.stderr:write(("  callgrind, %s: %s\n"):format(row.name, who))
      of[who] = per_message(who, row, counts)
    end
    report.row { row.name, report.number(of.tidegate), report.number(of.mosquitto),
      report.ratio(of.tidegate, of.mosquitto) }
  end
  return 0
end

return M
