-- SPDX-License-Identifier: Apache-2.0
-- The real binary, started with a config of the spec's own, on ports of its own, and stopped
-- in order. Once it is ready the host prints one JSON line on a stdout that is no terminal:
--   {"ready":true,"pid":…,"version":…,"admin":"127.0.0.1:…","token_file":…,
--    "listeners":[{"name":…,"adapter":…,"address":…,"transport":…}]}
--
--   local Host = require "support.host"
--   after_each(Host.cleanup)
--   local host = Host.start { config = { workers = 2 } }       -- mqtt and gt06, anonymous
--   local tracker = Host.connect(host.ports.gt06)
--   host:stop()
local uv = require "luv"
local cjson = require "cjson"
local loop = require "support.loop"
local Process = require "support.process"
local Tcp = require "support.tcp"
local Udp = require "support.udp"

local Host = {}
Host.__index = Host

Host.build = os.getenv "TG_BUILD" or "build/release"
Host.binary = Host.build .. "/tidegate"
--- What memory a sanitized build takes says nothing.
Host.sanitized = (Host.build:find "address" or Host.build:find "thread") ~= nil
Host.spawn, Host.run, Host.connect = Process.spawn, Process.run, Tcp.connect
Host.datagrams = Udp.open
Host.await, Host.eventually, Host.pass = loop.await, loop.eventually, loop.pass
Host.free_port = loop.free_port
Host.bytes, Host.hex = Tcp.bytes, Tcp.hex

local folders = {}

--- A fresh folder, removed by cleanup().
function Host.folder()
  local path = assert(uv.fs_mkdtemp "/tmp/tidegate-spec-XXXXXX")
  folders[path] = true
  return path
end

function Host.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
  return path
end

function Host.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function remove(path)
  local scan = uv.fs_scandir(path)
  while scan do
    local name, kind = uv.fs_scandir_next(scan)
    if not name then break end
    local entry = path .. "/" .. name
    if kind == "directory" then remove(entry) else uv.fs_unlink(entry) end
  end
  uv.fs_rmdir(path)
end

local function literal(v)
  if type(v) ~= "table" then return type(v) == "string" and ("%q"):format(v) or tostring(v) end
  local parts = {}
  for _, item in ipairs(v) do parts[#parts + 1] = literal(item) end
  for key, item in pairs(v) do
    if type(key) == "string" then
      parts[#parts + 1] = ("[%q] = %s"):format(key, literal(item))
    end
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

--- The config file's text for a table.
function Host.config_text(config) return "return " .. literal(config) .. "\n" end

--- What a spec did not set: two workers, MQTT and GT06 for anyone on loopback.
local function complete(config, folder)
  local full = {
    workers = 2,
    state_dir = folder .. "/state",
    admin = { bind = "127.0.0.1:" .. loop.free_port() },
    plugins = { mqtt = {}, gt06 = {} },
    listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "gt06", adapter = "gt06", anonymous = true },
    },
  }
  for key, value in pairs(config or {}) do full[key] = value end
  local listeners = {}
  for i, listener in ipairs(full.listeners) do
    local copy = {}
    for key, value in pairs(listener) do copy[key] = value end
    copy.bind = copy.bind or "127.0.0.1:" .. loop.free_port()
    listeners[i] = copy
  end
  full.listeners = listeners
  return full
end

local function take_ready(self, line)
  local ready = cjson.decode(line)
  self.pid, self.admin, self.token_file = ready.pid // 1 | 0, ready.admin, ready.token_file
  self.ports, self.addresses = {}, {}
  for _, listener in ipairs(ready.listeners) do
    self.addresses[listener.name] = listener.address
    self.ports[listener.name] = tonumber(listener.address:match ":(%d+)$")
  end
  self.admin_port = self.admin and tonumber(self.admin:match ":(%d+)$")
  self.token = self.token_file and Host.read(self.token_file):match "%S+"
end

--- options: config (a table that replaces the defaults key by key, or a whole file's text),
--- args (more arguments for `run`), env, binary, under (a command that runs it, as a list), ms
--- (how long starting may take). @return a running host
function Host.start(options)
  options = options or {}
  local self = setmetatable({ folder = Host.folder() }, Host)
  local config = options.config
  if type(config) ~= "string" then config = Host.config_text(complete(config, self.folder)) end
  self.config = Host.write(self.folder .. "/tidegate.lua", config)
  local args = { "run", "--config", self.config }
  for _, arg in ipairs(options.args or {}) do args[#args + 1] = arg end
  local command = { table.unpack(options.under or {}) }
  command[#command + 1] = options.binary or Host.binary
  for _, arg in ipairs(args) do command[#command + 1] = arg end
  self.process = Process.spawn(command[1], { table.unpack(command, 2) }, { env = options.env })
  self.log = self.process.err
  take_ready(self, self.process:line('^{"ready"', options.ms))
  return self
end

--- Starts a host that should not come up. @return exit code, stdout, stderr
function Host.try(options)
  local folder = Host.folder()
  local config = options.config
  if type(config) ~= "string" then config = Host.config_text(complete(config, folder)) end
  local path = Host.write(folder .. "/tidegate.lua", config)
  return Process.run(options.binary or Host.binary, { "run", "--config", path },
    { env = options.env })
end

--- Runs a CLI command against this host. @return exit code, stdout, stderr
function Host:cli(...)
  local args = { ... }
  return Process.run(Host.binary, args, { env = self:cli_env() })
end

--- Starts a CLI command against this host and gives the process (for `subscribe`).
function Host:cli_spawn(...)
  return Process.spawn(Host.binary, { ... }, { env = self:cli_env() })
end

function Host:cli_env()
  return { TIDEGATE_HOST = self.admin, TIDEGATE_TOKEN_FILE = self.token_file }
end

--- One call of the REST API. headers: more or other ones (false leaves one out).
--- @return status, body (decoded where it is JSON), header text
function Host:api(method, path, body, headers)
  local all = { Host = self.admin, Authorization = "Bearer " .. self.token, Connection = "close" }
  if type(body) == "table" then
    body = cjson.encode(body)
    all["Content-Type"] = "application/json"
  end
  for name, value in pairs(headers or {}) do all[name] = value or nil end
  if body then all["Content-Length"] = #body end
  local request = { ("%s %s HTTP/1.1"):format(method, path) }
  for name, value in pairs(all) do request[#request + 1] = name .. ": " .. value end
  local conn = Tcp.connect(self.admin_port)
  conn:send(table.concat(request, "\r\n") .. "\r\n\r\n" .. (body or ""))
  local reply = conn:read_all()
  conn:close()
  local head, content = reply:match "^(.-)\r\n\r\n(.*)$"
  assert(head, "no HTTP answer: " .. reply)
  local json = head:lower():match "content%-type: application/[%w+]*json\r?\n?"
  return tonumber(head:match "^HTTP/1.1 (%d+)"), json and cjson.decode(content) or content, head
end

--- The next log line with `pattern`.
function Host:log_line(pattern, ms) return self.process:line(pattern, ms, self.log) end

--- A value of /metrics by name and labels as printed there: `name{a="b"}`; nil if missing.
function Host:metric(name)
  local _, text = self:api("GET", "/metrics")
  for line in text:gmatch "[^\n]+" do
    local series, value = line:match "^(.-) (%-?[%d.e+]+)$"
    if series == name then return tonumber(value) end
  end
end

function Host:signal(name) self.process:kill(name) end

--- Asks it to end and demands that it ended well. @return its log lines
function Host:stop(ms)
  self.process:kill "sigterm"
  local code, signal = self.process:wait(ms)
  Process.assert_no_report()
  if code ~= 0 or signal ~= 0 then
    error(("the host ended with code %d, signal %d:\n%s"):format(
      code, signal, table.concat(self.log, "\n")), 2)
  end
  remove(self.folder)
  folders[self.folder] = nil
  return self.log
end

--- For `after_each`: whatever a test left, failed or not. Fails when a sanitizer has found
--- something in any process that the test had started.
function Host.cleanup()
  Tcp.cleanup()
  Udp.cleanup()
  Process.cleanup()
  for path in pairs(folders) do remove(path) end
  folders = {}
  Process.assert_no_report()
end

return Host
