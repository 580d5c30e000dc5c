-- SPDX-License-Identifier: Apache-2.0
-- Sessions and wills, statement by statement: what outlives a connection, what does not, and
-- what the last word of a client becomes.
local uv = require "luv"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local tags = require "support.statements"
local wire = Mqtt.wire

local host

local function client(id, v, more)
  return Mqtt.connect(host.ports.mqtt, { id = id, version = v }, more)
end

local function kept(id, v, more)
  return Mqtt.connect(host.ports.mqtt, { id = id, version = v, clean = false,
    props = { session_expiry = 100 } }, more)
end

for v = 4, 5 do
  describe(Mqtt.names[v] .. " sessions", function()
    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)

    it("go on where they were" .. tags(v, { [4] = "3.1.2-4, 3.1.2-5, 3.1.3-2, 4.1.0-1",
      [5] = "3.1.2-5, 3.1.2-23, 3.1.3-2" }), function()
      local c, other, pub = kept("c", v), kept("other", v), client("pub", v)
      assert.is_false(c.connack.present)
      c:subscribe({ { "s/+", 1 } }, nil, { sub_id = v == 5 and 5 or nil })
      c:send(wire.publish(v, "s/x", "half", { qos = 2, packet_id = 77 }))
      c:drop()
      other:drop()
      for i = 1, 3 do pub:publish("s/x", tostring(i), { qos = 1 }) end
      pub:publish("s/x", "0", { qos = 2 })
      other = kept("other", v)
      assert.is_true(other.connack.present)
      assert.same({}, other:settle()) -- nothing of another client's
      c = kept("c", v)
      assert.is_true(c.connack.present)
      local got = {}
      for i = 1, 5 do
        local m = c:receive()
        got[i] = m.payload
        if v == 5 then assert.same({ 5 }, m.props.sub_ids) end
      end
      assert.same({ "half", "1", "2", "3", "0" }, got)
      c:send(wire.publish(v, "s/x", "half", { qos = 2, packet_id = 77, dup = true }))
      c:send(wire.ack("PUBREL", 77))
      for _, packet in ipairs(c:settle()) do assert.is_true(packet.type ~= "PUBLISH") end
      c:disconnect()
      other:disconnect()
      for _, id in ipairs { "c", "other" } do client(id, v):disconnect() end
      pub:disconnect()
    end)

    it("begin anew when they are to be clean, and end with their connection"
      .. tags(v, { [4] = "3.1.2-6, 4.1.0-2", [5] = "3.1.2-4, 4.1.0-1" }), function()
      local pub = client("pub", v)
      local c = kept("clean", v)
      c:subscribe("c/old", 1)
      c:drop()
      pub:publish("c/old", "waits", { qos = 1 })
      c = client("clean", v)
      assert.is_false(c.connack.present)
      pub:publish("c/old", "x", { qos = 1 })
      assert.same({}, c:settle()) -- neither subscription nor message
      c:subscribe("c/new", 1)
      pub:publish("c/new", "while connected", { qos = 1 })
      assert.equal("while connected", c:receive().payload)
      c:settle()
      c:disconnect()
      pub:publish("c/new", "gone", { qos = 1 })
      c = kept("clean", v)
      assert.is_false(c.connack.present)
      assert.same({}, c:settle())
      c:disconnect()
      client("clean", v):disconnect()
      pub:disconnect()
    end)

    it("leave retained messages behind" .. tags(v, { [4] = "3.1.2-7" }), function()
      local c = client("retainer", v)
      c:publish("left", "behind", { qos = 1, retain = true })
      c:disconnect()
      client("retainer", v):disconnect()
      local sub = client("sub", v)
      sub:subscribe("left", 0)
      assert.equal("behind", sub:receive().payload)
      sub:publish("left", "", { retain = true })
      sub:settle()
      sub:drop()
    end)
  end)

  describe(Mqtt.names[v] .. " wills", function()
    local sub

    setup(function() host = Host.start {} end)
    teardown(function() host:stop() Host.cleanup() end)
    before_each(function()
      sub = client("sub", v)
      sub:subscribe({ { "will/#", 2 | (v == 5 and 8 or 0) } })
    end)
    after_each(function() sub:drop() end)

    local function will(more)
      local w = { topic = "will/x", payload = "gone", qos = 1 }
      for key, value in pairs(more or {}) do w[key] = value end
      return w
    end

    -- Everything that is published before this, in order.
    local function published()
      local list = {}
      local pub = client("marker", v)
      pub:publish("will/end", "end", { qos = 2 })
      pub:disconnect()
      repeat
        local m = sub:receive()
        list[#list + 1] = m
      until m.topic == "will/end"
      list[#list] = nil
      return list
    end

    it("are published once when the connection is lost, whatever way"
      .. tags(v, { [4] = "3.1.2-8, 3.1.2-10", [5] = "3.1.2-7, 3.1.2-8, 3.1.2-10" }),
      function()
        client("drops", v, { will = will() }):drop()
        assert.equal("gone", sub:receive().payload)
        client("resets", v, { will = will { payload = "reset" } }).tcp:reset()
        assert.equal("reset", sub:receive().payload)
        local c = client("breaks", v, { will = will { payload = "broken" } })
        c:send "\0\0"
        c:dismissed(0x81)
        assert.equal("broken", sub:receive().payload)
        client("drops", v):drop() -- its will was the other connection's
        assert.same({}, published())
      end)

    it("are not published after DISCONNECT" .. tags(v, { [4] = "3.1.2-8, 3.1.2-10, 3.14.4-3",
      [5] = "3.1.2-8, 3.1.2-10, 3.14.4-3" }), function()
      for _, last in ipairs { "\xE0\0", v == 5 and "\xE0\1\0" or "\xE0\0" } do
        local c = client("polite", v, { will = will() })
        c:send(last)
        c:closed()
      end
      assert.same({}, published())
    end)

    it("are there only with the flag" .. tags(v, { [4] = "3.1.2-12" }), function()
      client("plain", v):drop()
      client("plain", v, { flags = 2 }).tcp:reset()
      assert.same({}, published())
    end)

    it("are kept or pass, as will retain says" .. tags(v, { [4] = "3.1.2-16, 3.1.2-17",
      [5] = "3.1.2-14, 3.1.2-15" }), function()
      for _, retain in ipairs { false, true } do
        client("keeps", v, { will = will { retain = retain, qos = 2 } }):drop()
        local m = sub:receive()
        assert.equal(2, m.qos)
        if v == 5 then assert.equal(retain, m.retain) end -- retain as published
        local late = client("late", v)
        late:subscribe { { "will/x", 2 }, { "none", 0 } }
        local first = late:settle()[1]
        assert.equal(retain and "gone" or nil, first and first.payload)
        late:publish("will/x", "", { retain = true })
        assert.equal("", sub:receive().payload)
        late:drop()
      end
    end)
  end)
end

describe("MQTT 3.1.1 keep alive", function()
  it("of silence ends a connection one and a half times over [3.1.1: 3.1.2-24]", function()
    finally(Host.cleanup)
    host = Host.start {}
    local off, alive = client("off", 4, { keepalive = 0 }), client("alive", 4, { keepalive = 2 })
    alive:subscribe("silent", 1)
    local began = uv.hrtime()
    local silent = client("silent", 4, { keepalive = 2,
      will = { topic = "silent", payload = "as if the network had failed", qos = 1 } })
    local will
    repeat
      Host.pass(500)
      for _, packet in ipairs(alive:settle()) do
        will = packet.payload
        alive:send(wire.ack("PUBACK", packet.packet_id))
      end
    until will or uv.hrtime() - began > 60000000000
    assert.is_true(uv.hrtime() - began > 2500000000)
    silent:closed()
    assert.equal("as if the network had failed", will)
    alive:settle()
    off:settle()
    alive:disconnect()
    off:disconnect()
    host:stop()
  end)
end)

describe("MQTT 5.0 wills", function()
  local sub

  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)
  before_each(function()
    sub = client("sub", 5)
    sub:subscribe("will/#", 1)
  end)
  after_each(function() sub:drop() end)

  it("bring their properties, user properties in order [5.0: 3.1.3-10, 3.3.2-17]", function()
    local user = {}
    for i = 1, 20 do user[i] = { "n" .. i % 3, tostring(i) } end
    local props = { payload_format = 1, content_type = "text/plain", response_topic = "re",
      correlation = "\0\1", user = user }
    client("props", 5, { will = { topic = "will/props", payload = "x", props = props } }):drop()
    assert.same(props, sub:receive().props)
  end)

  it("wait for their delay, the session's end at most, and not for who is back "
    .. "[5.0: 3.1.2-8, 3.1.3-9, 3.14.4-3]", function()
    local function will(name, delay)
      return { topic = "will/" .. name, payload = name, props = { will_delay = delay } }
    end
    -- A clean start ends the session, and with that the will's waiting.
    kept("anew", 5, { will = will("anew", 100) }):drop()
    client("anew", 5):disconnect()
    assert.equal("anew", sub:receive().payload)
    -- Its session ends long before the delay.
    client("ends", 5, { clean = false, props = { session_expiry = 1 }, will = will("ends", 100) })
      :drop()
    local n, began = 0
    repeat -- until it was in time
      n, began = n + 1, uv.hrtime()
      kept("back", 5, { will = will("back " .. n, 2) }):drop()
      kept("back", 5):disconnect()
    until uv.hrtime() - began < 1900000000
    kept("waits", 5, { will = will("waits", 2) }):drop()
    kept("polite", 5, { will = will("polite", 1) }):disconnect()
    kept("asks", 5, { will = will("asks", 1) }):disconnect(0x04)
    local got, due = {}, { ends = true, waits = true, asks = true }
    repeat
      local payload = sub:receive().payload
      got[payload], due[payload] = true, nil
    until next(due) == nil
    for i = 1, n - 1 do got["back " .. i] = nil end -- these were not
    assert.same({ ends = true, waits = true, asks = true }, got)
    assert.same({}, sub:settle())
  end)
end)
