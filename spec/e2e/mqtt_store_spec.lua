-- SPDX-License-Identifier: Apache-2.0
-- A store that takes its time delays the acknowledgements of what it must keep, keeps their
-- order, and stalls nobody else.
local uv = require "luv"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host, gate

local function open_gate() Host.write(gate, "") end

local function shut_gate() assert(uv.fs_unlink(gate)) end

local function start(options, shutdown)
  gate = Host.folder() .. "/gate"
  open_gate()
  options.gate = gate
  host = Host.start { config = {
    shutdown = shutdown,
    store = "slow",
    plugins = {
      { name = Host.build .. "/spec/plugins/slow_store.so", options = options },
      { name = "mqtt" },
    },
    listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } },
  } }
end

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

local function keeper(id, version)
  local c = client { id = id, version = version, clean = false, props = { session_expiry = 100 } }
  c:subscribe("kept/#", 2)
  return c
end

describe("a slow store", function()
  after_each(Host.cleanup)

  it("delays acknowledgements in order, and only those that wait for it "
    .. "[3.1.1: 4.6.0-2, 4.6.0-3]", function()
    start { delay = "50ms" }
    for _, version in ipairs { 4, 5 } do
      local kept = keeper("kept" .. version, version)
      local pub = client { id = "pub" .. version, version = version }
      local other = client { id = "other" .. version, version = version }
      shut_gate()
      for i = 1, 12 do
        pub:send(wire.publish(version, "kept/x", tostring(i), { qos = 1 + i % 2, packet_id = i }))
      end
      assert.same({}, pub:settle()) -- it is served, and nothing was acknowledged yet
      other:subscribe("free", 1)
      other:send(wire.publish(version, "free", "x", { qos = 1, packet_id = 7 }))
      local kinds = { [other:read().type] = true, [other:read().type] = true }
      assert.same({ PUBLISH = true, PUBACK = true }, kinds)
      assert.same({}, pub:settle())
      open_gate()
      for i = 1, 12 do
        assert.equal(i, pub:read(i % 2 == 0 and "PUBACK" or "PUBREC").packet_id)
      end
      for i = 1, 12 do assert.equal(tostring(i), kept:receive().payload) end
      for _, c in ipairs { pub, other } do c:disconnect() end
      kept:drop()
    end
    host:stop()
  end)

  it("does not delay what nobody must keep", function()
    start { delay = "1h" }
    local c = client { id = "c" }
    assert.equal(0x10, c:publish("nobody", "x", { qos = 1 }).reason)
    assert.equal("PUBCOMP", c:publish("nobody", "x", { qos = 2 }).type)
    c:disconnect()
    host:stop()
  end)

  it("may be left by clients that wait for it", function()
    start { delay = "300ms" }
    local kept = keeper("kept", 5)
    for i = 1, 20 do
      local c = client { id = "c" .. i }
      c:send(wire.publish(5, "kept/x", "x", { qos = 1, packet_id = 1 }))
      c:drop()
    end
    for _ = 1, 20 do kept:receive() end
    kept:drop()
    host:stop()
  end)
end)

describe("a host that ends", function()
  after_each(Host.cleanup)

  --- Ends the host while a publish waits for the store, which answers once the host is told to
  --- end, if at all. @return the store was stopped too early
  local function ends_early(shutdown, answers)
    start({ delay = "10ms" }, shutdown)
    local kept = keeper("kept", 5)
    local pub = client { id = "pub" }
    shut_gate()
    pub:send(wire.publish(5, "kept/x", "x", { qos = 1, packet_id = 1 }))
    kept:receive()
    host:signal "sigterm"
    host:log_line "ending"
    if answers then open_gate() end
    assert.same({ 0, 0 }, { host.process:wait() })
    for _, line in ipairs(host.log) do
      if line:find "commits under way" then return true end
    end
    return false
  end

  it("waits for what its store has been given", function()
    assert.is_false(ends_early("1h", true))
  end)

  it("waits no longer than it may", function()
    assert.is_true(ends_early("200ms", false))
  end)
end)

describe("a store that fails", function()
  after_each(Host.cleanup)

  it("is not acknowledged for [3.1.1: 4.8.0-2, 4.3.2-2] [5.0: 4.3.2-4]", function()
    start { delay = "10ms", good = 30 }
    local kept = keeper("kept", 5)
    local five = client { id = "five" }
    local reason
    for _ = 1, 100 do
      reason = five:publish("kept/x", "x", { qos = 1 }).reason
      if reason ~= 0 then break end
    end
    assert.equal(0x80, reason)
    local four = client { id = "four", version = 4 }
    four:send(wire.publish(4, "kept/x", "x", { qos = 1, packet_id = 1 }))
    four:closed() -- it will send again
    five:disconnect()
    kept:drop()
    host:stop()
  end)
end)
