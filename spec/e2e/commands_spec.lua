-- SPDX-License-Identifier: Apache-2.0
-- Devices and the commands for them, over the API and the command line: a tracker and a
-- terminal on sockets of the real host.
local cjson = require "cjson"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local Tracker = require "support.tracker"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local IMEI, PHONE = "353419037123456", "013800138000"

--- A call whose answer comes later. @return a function that takes the answer
local function call(host, device, body)
  local text = cjson.encode(body)
  local conn = Host.connect(host.admin_port)
  conn:send(table.concat({
    "POST /api/v1/devices/" .. device .. "/commands HTTP/1.1", "Host: " .. host.admin,
    "Authorization: Bearer " .. host.token, "Connection: close",
    "Content-Length: " .. #text, "", text }, "\r\n"))
  return function()
    local reply = conn:read_all()
    return tonumber(reply:match "^HTTP/1.1 (%d+)"), cjson.decode(reply:match "\r\n\r\n(.*)$")
  end
end

-- A site's attributes may have any names.
local OWN_ATTRIBUTES = [[
local tg = require "tidegate"
local M = tg.adapter { id = "own", version = "1.0.0", api = 1, frame = { kind = "line" },
  down = "own/${device}/down" }
function M.decode(line) return { type = "login", device = line } end
function M.on_message(conn, msg)
  conn:bind(msg.device, { adapter = "x", down = "elsewhere", ["$down"] = "y", floor = 3 },
    { expiry = 60 })
  conn:send("hello\n")
end
function M.on_downlink(conn, msg) conn:send(msg.payload .. "\n") end
M.commands.ring = function() return { state = "acked" } end
return M
]]

describe("commands", function()
  local host

  --- `patience`: how long an answer may take.
  local function start(patience)
    host = Host.start { config = {
      plugins = { mqtt = {}, gt06 = { command_timeout = patience },
        jt808 = { command_timeout = patience, command_tries = 1 } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "gt06", adapter = "gt06", anonymous = true },
        { name = "jt808", adapter = "jt808", anonymous = true },
      },
    } }
  end

  before_each(function() start "10m" end)
  after_each(Host.cleanup)

  local function device(id)
    local status, body = host:api("GET", "/api/v1/devices/" .. id)
    return status == 200 and body or nil
  end

  local function tracker()
    local t = Tracker.connect(host.ports.gt06, IMEI):login()
    Host.eventually(function() return device(IMEI) end, "the tracker")
    return t
  end

  local function frames(conn, n)
    Host.await(function()
      local _, flags = conn.data:gsub("~", "")
      return flags >= 2 * n
    end, n .. " frames")
    local got = terminal.read(conn.data)
    conn.data = ""
    return got
  end

  local function truck()
    local conn = Host.connect(host.ports.jt808)
    conn:send(terminal.frame(0x0102, "code", { serial = 0 }))
    frames(conn, 1)
    return conn
  end

  it("are answered by a tracker with its reply", function()
    local t = tracker()
    local answer = call(host, IMEI, { name = "send", args = { text = "STATUS#" }, id = "job-1" })
    local text, flag = t:command()
    assert.equal("STATUS#", text)
    t:answer(flag, "Battery:4.1V")
    local status, body = answer()
    assert.equal(200, status)
    assert.same({ IMEI, "send", "job-1", "acked" },
      { body.device, body.command, body.id, body.fate })
    assert.equal("Battery:4.1V", body.answer.reply)
    host:stop()
  end)

  it("expire where the device does not answer, and are refused where they are wrong", function()
    host:stop()
    start "500ms"
    local t = tracker()
    local answer = call(host, IMEI, { name = "status" })
    assert.equal("STATUS#", (t:command()))
    local status, body = answer()
    assert.same({ 200, "expired", "TIMEOUT" }, { status, body.fate, body.error.code })
    status, body = host:api("POST", "/api/v1/devices/" .. IMEI .. "/commands",
      { name = "relay", args = { cut = true } })
    assert.same({ 200, "refused", "DENIED" }, { status, body.fate, body.error.code })
    assert.matches("allow_cut", body.error.message)
    status, body = host:api("POST", "/api/v1/devices/" .. IMEI .. "/commands", { name = "send" })
    assert.same({ 200, "refused", "INVAL" }, { status, body.fate, body.error.code })
    host:stop()
  end)

  it("go on after a caller that waits no longer", function()
    local t = tracker()
    local status, body = host:api("POST", "/api/v1/devices/" .. IMEI .. "/commands",
      { name = "where", timeout = "500ms" })
    assert.same({ 202, "sent" }, { status, body.fate })
    assert.equal("WHERE#", (t:command()))
    t:close()
    host:stop()
  end)

  it("are answered by a terminal, with what the caller calls them", function()
    local conn = truck()
    local answer = call(host, PHONE, { name = "query_location", id = "job-7" })
    local ask = frames(conn, 1)[1]
    assert.equal(0x8201, ask.id)
    conn:send(terminal.frame(0x0201, string.pack(">I2", ask.serial) .. terminal.POSITION,
      { serial = 1 }))
    local status, body = answer()
    assert.same({ 200, "acked" }, { status, body.fate })
    assert.near(31.23, body.answer.answer.location.latitude, 1e-9)
    assert.equal("job-7", body.answer.id)

    answer = call(host, PHONE, { name = "text", args = { text = "hello" } })
    local text = frames(conn, 1)[1]
    conn:send(terminal.frame(0x0001, string.pack(">I2I2B", text.serial, 0x8300, 1),
      { serial = 2 }))
    status, body = answer()
    assert.same({ 200, "refused", 1 }, { status, body.fate, body.answer.result })
    conn:close()
    host:stop()
  end)

  it("wait for a terminal that is away, unless they should not", function()
    local conn = truck()
    conn:close()
    Host.eventually(function() return not device(PHONE).connected end, "it to be away")
    local at = "/api/v1/devices/" .. PHONE .. "/commands"
    local status, body = host:api("POST", at, { name = "check_link", queue = false })
    assert.same({ 409, "offline" }, { status, body.code })
    status, body = host:api("POST", at, { name = "check_links" })
    assert.same({ 404, "unknown_command" }, { status, body.code })
    status, body = host:api("POST", at, { name = "check_link", id = "job-9", ttl = "1h" })
    assert.same({ 202, "queued" }, { status, body.fate })
    assert.equal(1, device(PHONE).queued)
    conn = Host.connect(host.ports.jt808)
    conn:send(terminal.frame(0x0102, "code", { serial = 0 }))
    local got = frames(conn, 2)
    assert.is_true(got[1].id == 0x8204 or got[2].id == 0x8204)
    conn:close()
    host:stop()
  end)

  it("that nobody knows are named with those that are, and so are devices", function()
    tracker()
    local status, body = host:api("POST", "/api/v1/devices/" .. IMEI .. "/commands",
      { name = "fly" })
    assert.same({ 404, "unknown_command" }, { status, body.code })
    assert.same({ "address", "reboot", "relay", "send", "status", "where" }, body.known)
    status, body = host:api("POST", "/api/v1/devices/nobody/commands", { name = "fly" })
    assert.same({ 404, "not_found" }, { status, body.code })
    status = host:api("POST", "/api/v1/devices/" .. IMEI .. "/commands", { nam = "fly" })
    assert.equal(400, status)
    status = host:api("POST", "/api/v1/devices/" .. IMEI .. "/commands", { name = "status" },
      { Authorization = false })
    assert.equal(401, status)
    host:stop()
  end)

  it("have devices, which are listed with their connection", function()
    tracker()
    local conn = truck()
    local client = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "x", "-i", "app" })
    Host.eventually(function()
      return host:api("GET", "/api/v1/clients/app") == 200
    end, "the client")
    local _, body = host:api("GET", "/api/v1/devices")
    assert.equal(2, #body.items) -- and not the client
    assert.same({ PHONE, IMEI }, { body.items[1].id, body.items[2].id })
    _, body = host:api("GET", "/api/v1/devices?adapter=gt06")
    assert.equal(1, #body.items)
    local one = device(IMEI)
    assert.same({ "gt06", true, "gt06", "tcp", "gt06/" .. IMEI .. "/down" },
      { one.adapter, one.connected, one.listener, one.transport, one.down })
    assert.matches("^127%.0%.0%.1:%d+$", one.peer)
    assert.is_true(one.last_seen >= one.connected_since)
    assert.equal("send", one.commands[4])
    assert.is_nil(device "app")
    client:kill "sigterm"
    conn:close()
    host:stop()
  end)

  it("wait on the device's topic, whatever its attributes are called", function()
    host:stop()
    local path = Host.write(Host.folder() .. "/own.lua", OWN_ATTRIBUTES)
    host = Host.start { config = {
      plugins = { { name = path } },
      listeners = { { name = "own", adapter = "own", anonymous = true } },
    } }
    local conn = Host.connect(host.ports.own)
    conn:send "meter\n"
    conn:read_to "\n"
    local one = device "meter"
    assert.same({ "own", "own/meter/down" }, { one.adapter, one.down })
    assert.same({ adapter = "x", down = "elsewhere", floor = 3 }, one.attributes)
    conn:close()
    Host.eventually(function() return not device("meter").connected end, "it to be away")
    local status, body = host:api("POST", "/api/v1/devices/meter/commands", { name = "ring" })
    assert.same({ 202, "queued" }, { status, body.fate })
    conn = Host.connect(host.ports.own)
    conn:send "meter\n"
    Host.await(function() return conn.data:find '"ring"' end, "the command")
    conn:close()
    host:stop()
  end)

  it("whose fate is told slowly are bounded while the device is away", function()
    host:stop()
    local path = Host.write(Host.folder() .. "/own.lua", OWN_ATTRIBUTES:gsub("return M%s*$",
      'function M.on_away() tg.sleep "1h" end\nreturn M\n'))
    host = Host.start { config = {
      workers = 1, plugins = { { name = path }, { name = "mqtt" } },
      listeners = { { name = "own", adapter = "own", anonymous = true },
        { name = "mqtt", adapter = "mqtt", anonymous = true } },
    } }
    local conn = Host.connect(host.ports.own)
    conn:send "meter\n"
    conn:read_to "\n"
    conn:close()
    Host.eventually(function() return not device("meter").connected end, "it to be away")
    local app = Mqtt.connect(host.ports.mqtt, { id = "app" })
    for _ = 1, 1100 do app:publish("own/meter/down", "{}", { qos = 1 }) end
    Host.eventually(function()
      return host:metric "tidegate_own_script_away_untold_total" == 1100 - 1024
    end, "the last of them to be told to nobody")
    assert.equal(0, host:metric "tidegate_own_script_errors_total")
    app:disconnect()
    host:stop()
  end)

  it("are sent from the command line, with exit codes for scripts", function()
    local t = tracker()
    local process = host:cli_spawn("command", IMEI, "send", '{"text": "STATUS#"}', "--id", "a")
    local _, flag = t:command()
    t:answer(flag, "fine")
    assert.equal(0, (process:wait()))
    assert.matches("^" .. IMEI .. ": send acked", process.out[1])
    assert.matches('"reply":"fine"', process.out[2])
    local code, out = host:cli("command", IMEI, "relay", '{"cut": true}')
    assert.equal(1, code)
    assert.matches("relay refused: cutting the engine is off", out)
    code, out = host:cli("command", IMEI, "relay", '{"cut": true}', "--json")
    assert.equal(1, code)
    assert.equal("refused", cjson.decode(out).fate)
    local _, _, err = host:cli("command", IMEI, "fly")
    assert.matches("has no command 'fly'", err)
    code, _, err = host:cli("command", IMEI, "send", "text")
    assert.equal(2, code)
    assert.matches("must be a JSON object", err)
    code, out = host:cli "devices"
    assert.equal(0, code)
    assert.matches(IMEI .. "%s+gt06%s+yes%s+gt06%s+127%.0%.0%.1:%d+", out)
    code, out = host:cli("devices", IMEI)
    assert.equal(0, code)
    assert.matches("commands%s+%[\"address\"", out)
    host:stop()
  end)
end)
