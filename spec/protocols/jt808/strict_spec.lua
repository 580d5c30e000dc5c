-- SPDX-License-Identifier: Apache-2.0
-- auth = "strict" takes codes that were issued here, also after the host was killed: a store on
-- disk has them.
local cjson = require "cjson"
local Host = require "support.host"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local REGISTER = string.pack(">I2I2c5c20c7B", 31, 100, "MAKER", "model", "0000001", 2) .. "PLATE1"

describe("strict authentication", function()
  after_each(Host.cleanup)

  local function start(store)
    return Host.start { config = {
      store = { plugin = "lmdb", path = store },
      plugins = { jt808 = { auth = "strict" } },
      listeners = { { name = "jt808", adapter = "jt808", anonymous = true } },
    } }
  end

  local function ask(host, id, body)
    local conn = Host.connect(host.ports.jt808)
    conn:send(terminal.frame(id, body))
    Host.await(function() return select(2, conn.data:gsub("~", "")) >= 2 end, "an answer")
    local answer = terminal.read(conn.data)[1]
    conn:close()
    return answer
  end

  it("knows the codes that it issued after kill -9, and no others", function()
    local store = Host.folder() .. "/store"
    local host = start(store)
    local registered = ask(host, 0x0100, REGISTER)
    assert.equal(0x8100, registered.id)
    local code = registered.body:sub(4)
    assert.equal(16, #code)
    host.process:kill "sigkill"
    host.process:wait()

    host = start(store)
    assert.equal(1, terminal.answer(ask(host, 0x0102, "another code"))[3])
    assert.equal(0, terminal.answer(ask(host, 0x0102, code))[3])
    host:stop()
  end)
end)

describe("codes that are passwords", function()
  after_each(Host.cleanup)

  it("are looked up among the host's users, over TLS as well", function()
    local folder = Host.folder()
    local cert, key = folder .. "/cert.pem", folder .. "/key.pem"
    assert.equal(0, Host.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
      "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=localhost",
      "-keyout", key, "-out", cert }))
    local host = Host.start { config = {
      users = { { user = "013900000001", password = "secret" },
        { user = "013900000002", password = "another" } },
      plugins = { mqtt = {}, jt808 = { code_is = "password", registration = "accept",
        codes = { ["013900000001"] = "secret", ["013900000002"] = "secret" } } },
      listeners = {
        { name = "jt808", adapter = "jt808", tls = { cert = cert, key = key } },
        { name = "mqtt", adapter = "mqtt", anonymous = true },
      },
    } }
    local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "jt808/+/location" })
    local sim = Host.spawn(Host.binary, { "sim", "jt808", "--port", host.ports.jt808, "--tls",
      "true", "--insecure", "true", "--devices", 2, "--rate", 20, "--json" })
    Host.eventually(function()
      local status, device = host:api("GET", "/api/v1/devices/013900000001")
      return status == 200 and device.connected and device.transport == "tls"
    end, "the one whose code is its password")
    sub:line "latitude"
    Host.eventually(function() -- the other one comes back again and again
      return (host:metric 'tidegate_listener_events_total{listener="jt808",event="accepted"}'
        or 0) >= 3
    end, "a refusal")
    assert.equal(404, (host:api("GET", "/api/v1/devices/013900000002")))
    sim:kill "sigterm"
    local report = cjson.decode(sim:line "connected")
    sim:wait()
    assert.equal(1, report.logins)
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)
end)
