-- SPDX-License-Identifier: Apache-2.0
-- The host's life: how it starts and refuses to, what signals do, what a broken plugin costs.
local Host = require "support.host"
local uv = require "luv"

local function mqtt_at(port, more)
  local listener = { name = "mqtt", adapter = "mqtt", anonymous = true }
  listener.bind = "127.0.0.1:" .. port
  for key, value in pairs(more or {}) do listener[key] = value end
  return listener
end

--- A host whose config file the spec can write again.
local function start(config)
  config.plugins = config.plugins or { mqtt = {} }
  config.admin = config.admin or { bind = "127.0.0.1:0" }
  local state = Host.folder()
  config.state_dir = state
  local host = Host.start { config = Host.config_text(config) }
  function host:rewrite(new)
    for key, value in pairs(new) do config[key] = value end
    Host.write(self.config, Host.config_text(config))
    self:signal "sighup"
  end
  return host
end

--- An MQTT 3.1.1 CONNECT with a clean session.
local function connect_packet(id)
  local body = "\0\4MQTT\4\2\0\60" .. string.pack(">s2", id)
  return "\x10" .. string.char(#body) .. body
end

local CONNECT = connect_packet "a"

local function accepts(port)
  local ok, conn = pcall(Host.connect, port)
  if ok then conn:close() end
  return ok
end

describe("the host starts", function()
  after_each(Host.cleanup)

  it("makes its folder of state for itself alone", function()
    local folder = Host.folder() .. "/a/b"
    local host = Host.start { config = Host.config_text {
      state_dir = folder, admin = { bind = "127.0.0.1:0" }, plugins = {}, listeners = {} } }
    assert.equal(tonumber("700", 8), uv.fs_stat(folder).mode % 512)
    host:stop()
    assert.is_nil(uv.fs_stat(folder .. "/admin.address"))
  end)

  it("keeps its token over a restart", function()
    local host = start { listeners = {} }
    local state, token = host.token_file:match "^(.*)/", host.token
    host:stop()
    local again = Host.start { config = Host.config_text {
      state_dir = state, admin = { bind = "127.0.0.1:0" }, plugins = {}, listeners = {} } }
    assert.equal(token, again.token)
    again:stop()
  end)

  it("refuses a folder of state that another host uses", function()
    local host = start { listeners = {} }
    local code, _, err = Host.try { config = Host.config_text {
      state_dir = host.token_file:match "^(.*)/", plugins = {}, listeners = {} } }
    assert.equal(1, code)
    assert.matches("another host runs with", err)
    host:stop()
  end)

  it("refuses a listener whose address is taken, and names it", function()
    local port = Host.free_port()
    local taken = uv.new_tcp()
    taken:bind("127.0.0.1", port)
    taken:listen(1, function() end)
    local code, _, err = Host.try { config = {
      plugins = { mqtt = {} }, listeners = { mqtt_at(port) } } }
    taken:close()
    assert.equal(1, code)
    assert.matches("listeners%[1%]", err)
    assert.matches("in use", err)
  end)

  it("refuses a token file that others can read", function()
    local file = Host.folder() .. "/token"
    Host.write(file, ("a"):rep(64) .. "\n")
    uv.fs_chmod(file, tonumber("644", 8))
    local code, _, err = Host.try { config = {
      admin = { bind = "127.0.0.1:0", token_file = file }, plugins = {}, listeners = {} } }
    assert.equal(1, code)
    assert.matches("chmod 600", err)
  end)

  it("goes on without a plugin that fails, and says so", function()
    local bad = Host.folder() .. "/broken"
    uv.fs_mkdir(bad, tonumber("755", 8))
    Host.write(bad .. "/init.lua", "return {")
    local host = Host.start { config = {
      plugins = { "mqtt", { name = bad }, { name = "nowhere" } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "broken", adapter = "broken" },
      },
      admin = { bind = "127.0.0.1:0" },
    } }
    host:log_line "nowhere is left out"
    host:log_line "listener is left out"
    Host.connect(host.ports.mqtt):send(CONNECT):expect "\x20\2\0\0"
    local status, body = host:api("GET", "/health")
    assert.equal(200, status)
    assert.equal("degraded", body.status)
    assert.matches("init%.lua:1", body.problems)
    assert.matches("nowhere", body.problems)
    host:stop()
  end)

  it("warns about a listener that is open to everybody", function()
    local host = start { listeners = { mqtt_at(0, { bind = "0.0.0.0:" .. Host.free_port() }) } }
    Host.await(function()
      for _, line in ipairs(host.log) do
        if line:find '"warn"' and line:find "anonymous" then return true end
      end
    end, "the warning")
    host:stop()
  end)
end)

describe("the greeting", function()
  after_each(Host.cleanup)

  it("tells a person where the host listens and what to try", function()
    local folder = Host.folder()
    local port = Host.free_port()
    local config = Host.write(folder .. "/c.lua", Host.config_text {
      state_dir = folder .. "/state", admin = { bind = "127.0.0.1:0" }, plugins = { mqtt = {} },
      listeners = { mqtt_at(port) } })
    local terminal = Host.spawn("script", { "-qefc",
      ("exec %s run --config %s"):format(Host.binary, config), "/dev/null" },
      { env = { SHELL = "/bin/sh" } }) -- it runs the user's, which may be any, or none
    terminal:line "Tidegate %d+%.%d+%.%d+ is up"
    terminal:line("mqtt%s+127%.0%.0%.1:" .. port)
    terminal:line "admin%s+http://127%.0%.0%.1:%d+/api/v1, token in "
    terminal:line("mosquitto_sub %-p " .. port)
    terminal:line "tidegate subscribe '#'"
    terminal:write "\3" -- Ctrl-C
    assert.equal(0, (terminal:wait()))
  end)
end)

describe("the service manager", function()
  after_each(Host.cleanup)

  it("is told when the host is ready, reads its config again, and ends", function()
    local path = Host.folder() .. "/notify"
    local manager = Host.spawn("python3", { "-u", "-c", [[
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound")
while True: print(s.recv(1024).decode())]], path })
    manager:line "bound"
    local host = Host.start { env = { NOTIFY_SOCKET = path }, config = {
      admin = { bind = "127.0.0.1:0" }, plugins = {}, listeners = {} } }
    manager:line "READY=1"
    host:signal "sighup"
    manager:line "RELOADING=1"
    manager:line "READY=1"
    host:stop()
    manager:line "STOPPING=1"
    manager:kill()
    manager:wait()
  end)
end)

describe("a host without descriptors", function()
  after_each(Host.cleanup)

  it("pauses accepting, still answers its operator, and recovers", function()
    local folder = Host.folder()
    local few = Host.write(folder .. "/few", ("#!/bin/sh\nulimit -n 160\nexec %s \"$@\"\n")
      :format(uv.fs_realpath(Host.binary)))
    uv.fs_chmod(few, tonumber("755", 8))
    local host = Host.start { binary = few, config = {
      plugins = { mqtt = {} }, limits = { descriptors = 16 },
      listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } } } }
    local conns, began = {}, uv.hrtime()
    for i = 1, 200 do
      conns[i] = Host.connect(host.ports.mqtt):send(connect_packet("c" .. i))
    end
    host:log_line "descriptor"
    local status, body = host:api("GET", "/api/v1/status")
    assert.equal(200, status)
    assert.is_true(body.connections > 50)
    assert.equal(0, (host:cli "clients"))
    local lines = 0
    for _, line in ipairs(host.log) do lines = lines + (line:find "accepting pauses" and 1 or 0) end
    local minutes = 1 + (uv.hrtime() - began) // 60000000000
    assert.is_true(lines >= 1 and lines <= minutes, lines .. " lines about it")
    for _, conn in ipairs(conns) do conn:close() end
    Host.connect(host.ports.mqtt):send(CONNECT):expect "\x20\2\0\0"
    host:stop()
  end)
end)

describe("SIGHUP", function()
  after_each(Host.cleanup)

  it("opens, closes and moves listeners, and leaves connections alone", function()
    local a, b, c = Host.free_port(), Host.free_port(), Host.free_port()
    local host = start { listeners = { mqtt_at(a), mqtt_at(b, { name = "second" }) } }
    local kept = Host.connect(b):send(CONNECT):expect "\x20\2\0\0"
    host:rewrite { listeners = { mqtt_at(a), mqtt_at(c, { name = "third" }) } }
    host:log_line "1 listeners closed, 1 opened"
    assert.is_true(accepts(a))
    assert.is_true(accepts(c))
    Host.eventually(function() return not accepts(b) end, "the old listener to close")
    kept:send "\xc0\0":expect "\xd0\0" -- PINGREQ, PINGRESP
    host:rewrite { listeners = {
      mqtt_at(a, { anonymous = false }), mqtt_at(c, { name = "third" }) } }
    host:log_line "1 listeners closed, 1 opened"
    Host.connect(a):send(CONNECT):expect "\x20\2\0\5" -- not authorized
    host:stop()
  end)

  it("changes log levels", function()
    local host = start { listeners = {} }
    host:rewrite { log = { level = "error", levels = { net = "debug" } } }
    Host.eventually(function()
      local _, log = host:api("GET", "/api/v1/log")
      return log.levels.hub == "error" and log.levels.net == "debug"
    end, "the levels")
    host:stop()
  end)

  it("opens the log file again", function()
    local folder = Host.folder()
    local host = start { listeners = {}, log = { file = folder .. "/log" } }
    assert.matches("ready", Host.read(folder .. "/log"))
    uv.fs_rename(folder .. "/log", folder .. "/log.1")
    host:signal "sighup"
    Host.eventually(function()
      return uv.fs_stat(folder .. "/log") and Host.read(folder .. "/log"):find "config read again"
    end, "the new log file")
    host:stop()
  end)

  it("keeps the running config when the new one is wrong", function()
    local a = Host.free_port()
    local host = start { listeners = { mqtt_at(a) } }
    host:rewrite { listeners = { mqtt_at(a, { anonymus = true }) } }
    host:log_line "the running config stays: .*did you mean 'anonymous'"
    assert.is_true(accepts(a))
    host:stop()
  end)

  it("names what takes a restart, and loads new plugins", function()
    local host = start { listeners = {} , plugins = {} }
    host:rewrite { plugins = { mqtt = {} }, workers = 1, listeners = { mqtt_at(Host.free_port()) } }
    host:log_line "'workers' has changed"
    host:log_line "1 opened, 1 plugins loaded"
    host:stop()
  end)

  it("tries again what was left out", function()
    local folder = Host.folder()
    Host.write(folder .. "/init.lua", "return {")
    local port = Host.free_port()
    local host = start {
      plugins = { { name = folder } },
      listeners = { mqtt_at(port, { name = "later", adapter = "later" }) },
    }
    assert.equal("degraded", select(2, host:api("GET", "/health")).status)
    Host.write(folder .. "/init.lua", [[
      local M = require "tidegate".adapter { id = "later", api = 1, frame = { kind = "line" } }
      function M.decode(frame) return { type = "line", data = frame } end
      function M.on_message(conn, message) conn:send("ok\n") end
      return M]])
    host:signal "sighup"
    host:log_line "1 opened, 1 plugins loaded"
    assert.equal("ok", select(2, host:api("GET", "/health")).status)
    Host.connect(port):send("hello\n"):expect "ok\n"
    host:stop()
  end)

  it("takes new certificates for new connections", function()
    local folder = Host.folder()
    local function certify(name)
      local code, _, err = Host.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=" .. name,
        "-keyout", folder .. "/key.pem", "-out", folder .. "/cert.pem" })
      assert(code == 0, err)
    end
    certify "first.example"
    local port = Host.free_port()
    local host = start { listeners = { mqtt_at(port, {
      tls = { cert = folder .. "/cert.pem", key = folder .. "/key.pem" } }) } }
    local function subject()
      local _, out = Host.run("openssl", { "s_client", "-connect", "127.0.0.1:" .. port })
      return out:match "subject=CN = (%S+)"
    end
    assert.equal("first.example", subject())
    certify "second.example"
    host:signal "sighup"
    host:log_line "config read again"
    assert.equal("second.example", subject())
    Host.write(folder .. "/cert.pem", "no certificate\n")
    host:signal "sighup"
    host:log_line "old certificate stays"
    assert.equal("second.example", subject())
    host:stop()
  end)
end)

describe("SIGTERM", function()
  after_each(Host.cleanup)

  it("tells clients, closes everything and ends with 0", function()
    local port = Host.free_port()
    local host = start { listeners = { mqtt_at(port) } }
    local v5 = Host.connect(port)
    v5:send("\x10\x0e\0\4MQTT\5\2\0\60\0\0\1v"):read_to "\x20"
    host:signal "sigterm"
    assert.matches("\xe0.\x8b", (v5:read_all())) -- DISCONNECT, server shutting down
    assert.equal(0, (host.process:wait()))
    assert.is_false(accepts(port))
  end)

  it("ends at once when it comes twice, whatever is waited for", function()
    local port = Host.free_port()
    local host = start { shutdown = "1h", listeners = { mqtt_at(port) } }
    local stuck = Host.connect(port):send(CONNECT):expect "\x20\2\0\0"
    stuck:send "\x82\6\0\1\0\1b\0":expect "\x90\3\0\1\0" -- SUBSCRIBE to "b"
    stuck:pause()
    for _ = 1, 12 do
      assert.equal(0, (Host.run(Host.binary, { "publish", "b", ("x"):rep(100000) },
        { env = host:cli_env() })))
    end
    host:signal "sigterm"
    host:log_line "ending"
    host:signal "sigterm"
    local code, signal = host.process:wait()
    assert.same({ 0, uv.constants.SIGTERM }, { code, signal })
  end)
end)
