-- SPDX-License-Identifier: Apache-2.0
-- The servers under test, each with one thread for its clients on one core, so that what is
-- compared is the work that a message costs. None limits what the load may queue; all send
-- small packets at once.
local cjson = require "cjson"
local Host = require "support.host"

local M = {}

M.SERVER_CPU, M.LOAD_CPU = "0", "1"

local function pin(pid)
  local code, _, err = Host.run("taskset", { "-apc", M.SERVER_CPU, pid })
  assert(code == 0, err)
end

local certificate

--- A key and a certificate for TLS, made once: ECDSA on P-256.
local function identity()
  if certificate then return certificate end
  local folder = Host.folder()
  certificate = { cert = folder .. "/cert.pem", key = folder .. "/key.pem" }
  local code, _, err = Host.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
    "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=localhost",
    "-keyout", certificate.key, "-out", certificate.cert })
  assert(code == 0, err)
  return certificate
end

-- Adapters in Lua take a minute to load under a tool that counts each instruction.
local function plugins(under)
  if under then return { "mqtt" }, { "mqtt", "tls" } end
  return { "mqtt", "gt06", "jt808" }, { "mqtt", "tls", "gt06", "jt808" }
end

--- under: a command that runs the server's, as a list; then there is MQTT alone. workers: with
--- more than one it may use every core.
--- @return { pid, mqtt, tls, gt06, jt808 = ports, stop = function, err = its lines }
function M.tidegate(under, workers)
  local names, ports = plugins(under)
  local config = {
    workers = workers or 1, plugins = {}, listeners = {},
    limits = {
      inflight = 1000, rx_inflight = 1000, queue_messages = 1000000, queue_bytes = "256MiB",
    },
  }
  for i, name in ipairs(names) do config.plugins[i] = { name = name } end
  for i, name in ipairs(ports) do
    config.listeners[i] = { name = name, adapter = name == "tls" and "mqtt" or name,
      anonymous = true, tls = name == "tls" and identity() or nil }
  end
  local host = Host.start { under = under, ms = under and 300000 or 60000, config = config }
  if not workers then pin(host.pid) end
  return {
    pid = host.pid, mqtt = host.ports.mqtt, tls = host.ports.tls, gt06 = host.ports.gt06,
    jt808 = host.ports.jt808, everywhere = workers ~= nil, err = host.log,
    stop = function() host:stop(60000) end,
  }
end

local function listens(port)
  local ok, conn = pcall(Host.connect, port)
  if ok then conn:close() end
  return ok
end

-- A process that listens once it is ready, and ends on SIGTERM.
local function start(under, command, args, ports)
  local list = { table.unpack(under or {}) }
  list[#list + 1] = command
  for _, arg in ipairs(args) do list[#list + 1] = arg end
  local process = Host.spawn(list[1], { table.unpack(list, 2) })
  pin(process.pid)
  Host.await(function()
    Host.pass(10)
    if process.code then
      error(("%s ended: %s"):format(command, table.concat(process.err, "\n")), 0)
    end
    return listens(ports.mqtt or ports.jt808)
  end, command .. " to listen", 60000)
  ports.pid, ports.err = process.pid, process.err
  function ports.stop()
    process:kill "sigterm"
    process:wait(60000)
  end
  return ports
end

-- Where root starts it, it would give up the right to read the key.
local MOSQUITTO = [[
user root
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_dest stderr
log_type error
listener %d 127.0.0.1
listener %d 127.0.0.1
certfile %s
keyfile %s
]]

function M.mosquitto(under)
  local ports, id = { mqtt = Host.free_port(), tls = Host.free_port() }, identity()
  local text = MOSQUITTO:format(ports.mqtt, ports.tls, id.cert, id.key)
  local config = Host.write(Host.folder() .. "/mosquitto.conf", text)
  return start(under, "mosquitto", { "-c", config }, ports)
end

--- The bare forwarder of floor.c.
function M.floor()
  local ports = { mqtt = Host.free_port() }
  return start(nil, Host.build .. "/bench/floor", { ports.mqtt }, ports)
end

--- Another server of JT/T 808, of which we know the command and the port.
function M.other(command, port)
  local words = {}
  for word in command:gmatch "%S+" do words[#words + 1] = word end
  return start(nil, words[1], { table.unpack(words, 2) }, { jt808 = port })
end

local function run_on(cpus, command, args)
  local list = { "-c", cpus }
  for _, arg in ipairs(command) do list[#list + 1] = arg end
  for _, arg in ipairs(args) do list[#list + 1] = arg end
  local code, out, err = Host.run("taskset", list, { ms = 120000 })
  if out == "" then
    error(("%s failed with %d: %s"):format(table.concat(list, " "), code, err), 0)
  end
  return cjson.decode(out)
end

--- Runs a fleet of devices. @return its results
function M.devices(build, protocol, args, server)
  local cpus = server.everywhere and M.SERVER_CPU .. "," .. M.LOAD_CPU or M.LOAD_CPU
  local command = { build .. "/bench/device_load", protocol, "--server-pid", server.pid }
  return run_on(cpus, command, args)
end

--- Runs `tidegate bench` on the other core. @return its report, good or not
function M.bench(args, server)
  return run_on(M.LOAD_CPU, { Host.binary, "bench", "--json", "--server-pid", server.pid, "--port",
    server.mqtt }, args)
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
