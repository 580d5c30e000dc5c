-- SPDX-License-Identifier: Apache-2.0
-- The two servers under test, each with one thread for its clients on one core, so that what
-- is compared is the work that a message costs. Neither limits what the load may queue; both
-- send small packets at once.
local cjson = require "cjson"
local Host = require "support.host"

local M = {}

M.SERVER_CPU, M.LOAD_CPU = "0", "1"

local function pin(pid)
  local code, _, err = Host.run("taskset", { "-apc", M.SERVER_CPU, pid })
  assert(code == 0, err)
end

local TIDEGATE = {
  workers = 1,
  limits = {
    inflight = 1000, rx_inflight = 1000, queue_messages = 1000000, queue_bytes = "256MiB",
  },
  listeners = {
    { name = "mqtt", adapter = "mqtt", anonymous = true },
    { name = "gt06", adapter = "gt06", anonymous = true },
  },
}

--- @return { pid, mqtt = port, gt06 = port, stop = function }
function M.tidegate()
  local host = Host.start { config = TIDEGATE }
  pin(host.pid)
  return {
    pid = host.pid, mqtt = host.ports.mqtt, gt06 = host.ports.gt06,
    stop = function() host:stop() end,
  }
end

local MOSQUITTO = [[
listener %d 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_dest stderr
log_type error
]]

local function listens(port)
  local ok, conn = pcall(Host.connect, port)
  if ok then conn:close() end
  return ok
end

function M.mosquitto()
  local folder, port = Host.folder(), Host.free_port()
  local config = Host.write(folder .. "/mosquitto.conf", MOSQUITTO:format(port))
  local process = Host.spawn("mosquitto", { "-c", config })
  pin(process.pid)
  Host.await(function()
    Host.pass(10)
    return listens(port)
  end, "mosquitto to listen")
  return {
    pid = process.pid, mqtt = port,
    stop = function()
      process:kill "sigterm"
      process:wait()
    end,
  }
end

local function on_load_cpu(command, args)
  local list = { "-c", M.LOAD_CPU }
  for _, arg in ipairs(command) do list[#list + 1] = arg end
  for _, arg in ipairs(args) do list[#list + 1] = arg end
  local code, out, err = Host.run("taskset", list, { ms = 60000 })
  if out == "" then
    error(("%s failed with %d: %s"):format(table.concat(list, " "), code, err), 0)
  end
  return cjson.decode(out)
end

--- Runs a load generator of this folder on the other core. @return its results
function M.load(build, program, args, server)
  return on_load_cpu({ build .. "/bench/" .. program, "--server-pid", server.pid }, args)
end

--- Runs `tidegate bench` there. @return its report, good or not
function M.bench(args, server)
  return on_load_cpu({ Host.binary, "bench", "--json", "--port", server.mqtt, "--server-pid",
    server.pid }, args)
end

local perf_works

--- Instructions that `pid` retires while `work` runs; nil where the machine does not tell.
function M.instructions(pid, work)
  if perf_works == nil then
    local args = { "stat", "-x,", "-e", "instructions", "true" }
    local ok, code, _, err = pcall(Host.run, "perf", args)
    perf_works = ok and code == 0 and err:match "^%d+," ~= nil
  end
  if not perf_works then return work() end
  local perf = Host.spawn("perf", { "stat", "-x,", "-e", "instructions", "-p", pid })
  local result = work()
  perf:kill "sigint"
  perf:wait()
  return result, tonumber(table.concat(perf.err, "\n"):match "(%d+),")
end

return M
