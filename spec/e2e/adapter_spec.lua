-- SPDX-License-Identifier: Apache-2.0
-- An integrator's first hour: `tidegate new adapter`, its vectors, a frame explained, the
-- adapter in a running host, an edit taken into service, and one that is wrong.
local Host = require "support.host"
local cjson = require "cjson"

local LOGIN = "AA550A01010011223344556C88"
local REPORT = "AA55070202FFC9579158"

local function new_adapter(name)
  local folder = Host.folder() .. "/" .. name
  local code, out = Host.run(Host.binary, { "new", "adapter", name, folder })
  assert.equal(0, code)
  assert.matches("tidegate test " .. folder, out, 1, true)
  return folder
end

local function edit(folder, from, to)
  local text = Host.read(folder .. "/init.lua")
  local at, last = text:find(from, 1, true)
  assert(at, from)
  Host.write(folder .. "/init.lua", text:sub(1, at - 1) .. to .. text:sub(last + 1))
end

describe("a new adapter", function()
  after_each(Host.cleanup)

  it("passes its vectors", function()
    local folder = new_adapter "my-meter"
    local code, out, err = Host.run(Host.binary, { "test", folder })
    assert.equal("", err)
    assert.matches("4 passed, 0 failed", out)
    assert.equal(0, code)
  end)

  it("is clean Lua", function()
    local folder = new_adapter "clean"
    local code, out = Host.run("luacheck", { "--std", "lua54", "--no-color", folder })
    assert.equal(0, code, out)
  end)

  it("shows what a vector wanted and what it got", function()
    local folder = new_adapter "off-by-one"
    edit(folder, "i16be*0.1", "i16be*0.2")
    local code, out = Host.run(Host.binary, { "test", folder })
    assert.equal(1, code)
    assert.matches("FAIL  2 it reports", out)
    assert.matches('publish wanted off%-by%-one/001122334455/report {"temperature":%-5.5', out)
    assert.matches('publish got    .*"temperature":%-11', out)
    assert.matches("2 passed, 2 failed", out)
  end)

  it("takes its options from a config", function()
    local folder = new_adapter "my-meter"
    local config = Host.write(folder .. "/host.lua", Host.config_text {
      plugins = { ["my-meter"] = { interval_max = "soon" } } })
    local code, _, err = Host.run(Host.binary, { "test", folder .. "/", "--config", config })
    assert.equal(1, code)
    assert.matches("plugins%.my%-meter%.interval_max", err)
    Host.write(config, Host.config_text { plugins = { ["my-meter"] = { interval_max = "5m" } } })
    assert.equal(0, (Host.run(Host.binary, { "test", folder, "--config", config })))
  end)

  it("is not tested when it does not load, and says where", function()
    local folder = new_adapter "torn"
    edit(folder, "local M = tg.adapter {", "local M = tg.adaptr {")
    local code, _, err = Host.run(Host.binary, { "test", folder })
    assert.equal(1, code)
    assert.matches("init%.lua:%d+", err)
  end)

  it("explains a frame without a host", function()
    local folder = new_adapter "my-meter"
    local code, out = Host.run(Host.binary, { "decode", folder, REPORT:sub(1, 4), REPORT:sub(5) })
    assert.equal(0, code)
    assert.matches("     0       2  AA55 +_magic", out)
    assert.matches("     3       1  02 +type +report", out)
    assert.matches("     5       2  FFC9 +temperature +%-5%.5", out)
    local _, json = Host.run(Host.binary, { "decode", folder, "-", "--json" }, {})
    assert.equal("", json) -- an empty stdin is no frame
  end)

  it("does not write into a folder that is there, nor under a wrong name", function()
    local folder = new_adapter "twice"
    local code, _, err = Host.run(Host.binary, { "new", "adapter", "twice", folder })
    assert.equal(1, code)
    assert.matches("File exists", err)
    code = Host.run(Host.binary, { "new", "adapter", "../evil", folder .. "2" })
    assert.equal(2, code)
  end)
end)

describe("an adapter in a running host", function()
  after_each(Host.cleanup)

  local function start(folder)
    return Host.start { config = {
      plugins = { "mqtt", { name = folder } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "meters", adapter = "my-meter", anonymous = true },
      },
    } }
  end

  local function login(host)
    return Host.connect(host.ports.meters):send(Host.bytes(LOGIN))
      :expect(Host.bytes "AA550581010184A9")
  end

  it("reports to MQTT, and takes a command from there", function()
    local host = start(new_adapter "my-meter")
    local sub = Host.spawn("stdbuf", { "-oL", "mosquitto_sub", "-p", host.ports.mqtt,
      "-t", "my-meter/#", "-v", "-d" })
    sub:line "Subscribed"
    local device = login(host)
    assert.matches('^my%-meter/001122334455/login {"device":"001122334455"}', sub:line "^my")
    device:send(Host.bytes(REPORT)):read(8)
    assert.matches('report {"battery":87,"temperature":%-5.5}', sub:line "^my")
    host:cli("publish", "my-meter/001122334455/down",
      '{"command": "interval", "args": {"seconds": 60}}')
    assert.equal(Host.bytes "AA55068201003C", device:read(9):sub(1, 7))
    local _, out = host:cli "clients"
    assert.matches("001122334455%s+yes", out)
    sub:kill()
    sub:wait()
    device:close()
    host:stop()
  end)

  it("explains frames with the code that runs", function()
    local host = start(new_adapter "my-meter")
    local code, out = host:cli("decode", "my-meter", REPORT)
    assert.equal(0, code)
    assert.matches("FFC9 +temperature +%-5%.5", out)
    local _, json = host:cli("decode", "my-meter", REPORT, "--json")
    local fields = cjson.decode(json).fields
    assert.same({ "battery", 7, 1, "57", "87" }, { fields[6].name, fields[6].offset,
      fields[6].length, fields[6].raw, fields[6].value })
    host:stop()
  end)

  it("takes an edit into service for new connections, and leaves the old ones alone", function()
    local folder = new_adapter "my-meter"
    local host = start(folder)
    local old = login(host)
    edit(folder, 'version = "0.1.0"', 'version = "0.2.0"')
    edit(folder, "of = message.serial", "of = message.serial + 1")
    local code, out = host:cli("reload", "my-meter")
    assert.equal(0, code)
    assert.equal("my-meter: version 0.2.0 (number 2) takes new connections.\n", out)
    local _, plugins = host:cli "plugins"
    assert.matches("my%-meter%s+0%.1%.0%s+1%s+draining%s+lua%s+%S+%s+1%s", plugins)
    assert.matches("my%-meter%s+0%.2%.0%s+2%s+live", plugins)
    old:send(Host.bytes(REPORT)):expect(Host.bytes "AA5505810202C458")
    local fresh = Host.connect(host.ports.meters):send(Host.bytes(LOGIN))
    assert.equal("\2", fresh:read(8):sub(6, 6))
    fresh:close()
    old:close()
    Host.eventually(function()
      local _, list = host:cli "plugins"
      return not list:find "draining"
    end, "the old version to end")
    host:stop()
  end)

  it("keeps the running version when an edit is wrong", function()
    local folder = new_adapter "my-meter"
    local host = start(folder)
    edit(folder, "local M =", "local M == ")
    local code, _, err = host:cli("reload", "my-meter")
    assert.equal(1, code)
    assert.matches("init%.lua:%d+", err)
    login(host):close()
    local _, plugins = host:cli "plugins"
    assert.matches("my%-meter%s+0%.1%.0%s+1%s+live", plugins)
    host:stop()
  end)
end)
